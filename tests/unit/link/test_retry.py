"""Patience: what is waited out, for how long, and what ends it."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.link import retry as retrying
from flipnb.link.exchange import BROKEN, NotNow
from flipnb.link.retry import Retry


def away(status=503):
    return NotNow("hub-unreachable", "The hub can't be reached.", status=status)


class Attempts:
    """Fails as it is told, then returns ``"done"``."""

    def __init__(self, *failures):
        self.failures, self.made = list(failures), 0

    def __call__(self):
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def in_a_loop(self):
        return self()


def call(retry, attempts, **more):
    return retry.call(attempts, **more)


def call_async(retry, attempts, **more):
    return asyncio.run(retry.call_async(attempts.in_a_loop, **more))


both = pytest.mark.parametrize("called", [call, call_async])
BRIEF = Retry(first=0.001, longest=0.002)


@pytest.fixture
def clock(monkeypatch):
    """Time passes by waiting alone; returns the pauses so far."""
    pauses = []

    class Never(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return self.is_set()

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(retrying, "threading", SimpleNamespace(Event=Never))
    monkeypatch.setattr(retrying, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(retrying, "time", SimpleNamespace(monotonic=lambda: 1000.0 + sum(pauses)))
    return pauses


@both
def test_what_may_pass_is_waited_out(called):
    attempts = Attempts(away(), away(401), away(429), away(500))
    assert called(BRIEF, attempts) == "done"
    assert attempts.made == 5


@both
def test_a_refusal_passes_at_once(called):
    attempts = Attempts(FlipError("not-found", "There is none.", status=404))
    with pytest.raises(FlipError, match="There is none"):
        called(BRIEF, attempts)
    assert attempts.made == 1


@both
def test_statuses_that_are_not_named_are_not_waited_out(called):
    patient = Retry(first=0.001, longest=0.002, statuses=BROKEN)
    assert called(patient, Attempts(away(500), away(502), away(503), away(504))) == "done"
    for status in (401, 408, 429, 507):
        with pytest.raises(NotNow) as caught:
            called(patient, Attempts(away(status)))
        assert caught.value.status == status


@both
def test_pauses_grow_are_jittered_and_bounded(called, clock):
    assert called(Retry(first=0.2, longest=15.0), Attempts(*[away() for _ in range(40)])) == "done"
    assert len(clock) == 40
    full = [min(0.2 * 2**n, 15.0) for n in range(40)]
    assert all(pause / 2 <= waited <= pause for pause, waited in zip(full, clock, strict=True))
    assert len(set(clock)) > 30


@both
def test_patience_ends(called, clock):
    attempts = Attempts(*[away() for _ in range(10_000)])
    with pytest.raises(NotNow):
        called(Retry(first=0.1, longest=2.0, patience=120.0), attempts)
    assert 120.0 < sum(clock) <= 122.0


@both
def test_progress_needs_no_pause_and_begins_patience_anew(called, clock):
    """Each attempt moves one byte further before it breaks: as often as it takes."""
    attempts = Attempts(*[away() for _ in range(500)])
    assert called(Retry(first=1.0, longest=9.0, patience=1.0), attempts, moved=lambda: attempts.made) == "done"
    assert sum(clock) == 0.0


@both
def test_what_moves_back_is_no_progress(called, clock):
    attempts = Attempts(*[away() for _ in range(10)])
    with pytest.raises(NotNow):
        called(Retry(first=1.0, longest=1.0, patience=3.0), attempts, moved=lambda: -attempts.made)
    assert sum(clock) > 3.0


def test_a_cancelled_wait_ends():
    attempts = Attempts(away())
    failed = asyncio.Event()

    async def attempt():
        failed.set()
        return attempts()

    async def run():
        waiting = asyncio.create_task(Retry(first=3600.0, longest=3600.0).call_async(attempt))
        await failed.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(asyncio.wait_for(run(), 30))
    assert attempts.made == 1


def test_another_thread_ends_a_pause():
    stop, failed, ended = threading.Event(), threading.Event(), threading.Event()

    def attempt():
        if stop.is_set():
            raise FlipError("called-off", "Stopped.")
        failed.set()
        raise away()

    def work():
        with pytest.raises(FlipError, match="Stopped"):
            Retry(first=3600.0, longest=3600.0).call(attempt, stop=stop)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert failed.wait(30)
    stop.set()
    assert ended.wait(30)
