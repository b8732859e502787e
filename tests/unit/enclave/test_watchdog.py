"""What takes too long is interrupted by what it costs, not by how busy the machine is."""

from __future__ import annotations

import threading
import time

import pytest

from flipnb.enclave.estate_worker.watchdog import interrupted


class Connection:
    def __init__(self) -> None:
        self.told = threading.Event()

    def interrupt(self) -> None:
        self.told.set()


def busy(until: threading.Event, at_most: float = 20.0) -> None:
    end = time.monotonic() + at_most
    while not until.is_set() and time.monotonic() < end:
        pass


def test_who_waits_for_a_processor_is_not_interrupted_before_the_clock_says_so() -> None:
    one = Connection()
    with interrupted(60.0, one, cpu=0.5):
        assert not one.told.wait(1.0)


def test_who_uses_the_processor_too_long_is() -> None:
    one = Connection()
    with interrupted(60.0, one, cpu=0.2):
        busy(one.told)
        assert one.told.is_set()


@pytest.mark.parametrize("cpu", [None, 60.0])
def test_the_clock_ends_it_in_any_case(cpu: float | None) -> None:
    one = Connection()
    with interrupted(0.2, one, cpu=cpu):
        assert one.told.wait(20.0)
