"""GPU memory of a kernel: what is measured, what of it is told, and what happens without a driver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
from gpu_driver import GIB, Gpu, GpuDriver, until

from flipnb.enclave.kernels import gpu
from flipnb.enclave.kernels.gpu import GpuWatch, gpu_count, gpus_watched

NOT_AVAILABLE = 2**64 - 1


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuDriver:
    return GpuDriver(tmp_path, monkeypatch)


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process.pid


def measured(*uses: tuple[Gpu, int]) -> list[tuple[int, int]]:
    """What is told while this process uses so many bytes of these GPUs, one after the other."""
    told: list[tuple[int, int]] = []
    watch = GpuWatch(os.getpid(), lambda *rise: told.append(rise))
    for one, used in uses:
        one.runs((os.getpid(), used))
        watch.measure()
    return told


def test_only_rises_are_told_and_only_in_eighths(driver: GpuDriver) -> None:
    used = [1, 10 * GIB, 10 * GIB + 1, 5 * GIB, 79 * GIB, 80 * GIB, 0, 80 * GIB]
    assert measured(*((driver.large, each) for each in used)) == [(1, 80 * GIB), (2, 80 * GIB), (8, 80 * GIB)]


def test_of_several_gpus_the_fullest_is_told(driver: GpuDriver) -> None:
    assert measured((driver.large, 30 * GIB), (driver.small, 4 * GIB), (driver.small, 15 * GIB)) == [
        (3, 80 * GIB),
        (8, 16 * GIB),
    ]


def test_a_kernel_is_all_its_processes_and_no_other(driver: GpuDriver, child: int) -> None:
    told: list[tuple[int, int]] = []
    driver.large.runs((os.getpid(), 5 * GIB), (child, 10 * GIB), (1, 60 * GIB))
    GpuWatch(os.getpid(), lambda *rise: told.append(rise)).measure()
    GpuWatch(child, lambda *rise: told.append(rise)).measure()
    assert told == [(2, 80 * GIB), (1, 80 * GIB)]


def test_a_process_that_is_gone_uses_nothing(driver: GpuDriver) -> None:
    driver.large.runs((2**22 - 1, 5 * GIB))
    GpuWatch(2**22 - 1, lambda *_: pytest.fail("nobody is there")).measure()


def test_a_gpu_that_cannot_say_who_uses_it_hides_no_other(driver: GpuDriver) -> None:
    driver.small.unsupported = 1
    assert measured((driver.small, 16 * GIB), (driver.large, 1)) == [(1, 80 * GIB)]


def test_memory_that_the_driver_does_not_tell_is_none(driver: GpuDriver) -> None:
    assert measured((driver.large, NOT_AVAILABLE)) == []


def test_a_watch_measures_until_it_is_closed(driver: GpuDriver) -> None:
    told: list[tuple[int, int]] = []
    with gpus_watched(os.getpid(), lambda *rise: told.append(rise)):
        until(lambda: driver.opened == 1)
        driver.small.runs((os.getpid(), 3 * GIB))
        until(lambda: told == [(2, 16 * GIB)])
    until(lambda: driver.opened == 0)
    driver.small.runs((os.getpid(), 16 * GIB))
    time.sleep(0.1)
    assert told == [(2, 16 * GIB)]


def test_without_a_driver_nothing_is_imported() -> None:
    check = """
import os, pathlib, sys, threading
from flipnb.enclave.kernels import gpu
gpu._GPUS = pathlib.Path("/nowhere")
with gpu.gpus_watched(os.getpid(), print):
    assert threading.active_count() == 1 and gpu.gpu_count() == 0
assert "pynvml" not in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", check], check=True)


def test_without_nvidias_library_nothing_is_told(
    driver: GpuDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", missing)
    driver.large.runs((os.getpid(), 80 * GIB))
    with gpus_watched(os.getpid(), lambda *_: pytest.fail("there is no library")):
        until(lambda: "GPU memory is not measured: NVML Shared Library Not Found" in caplog.text)


def test_processes_of_a_container_are_not_looked_for(driver: GpuDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers number processes as the machine does: another's number could be the kernel's."""
    monkeypatch.setattr(gpu, "_MACHINE", 1)
    with gpus_watched(os.getpid(), lambda *_: pytest.fail("whose are they?")):
        assert driver.opened == 0
    assert gpu_count() == 2
