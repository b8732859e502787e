"""Hours and rates, by clocks of the tests' own."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flipnb.enclave.collector.asking import DAYS, Hours
from flipnb.enclave.collector.pace import Pace, is_open, opens_at

MONDAY = datetime(2026, 11, 30)


def hours(since: str, until: str, *days: str) -> Hours:
    return Hours.model_validate({"from": since, "until": until, "days": days or DAYS})


def test_a_night_begins_on_its_day():
    night = (hours("19:00", "07:00", "mon"),)
    told = {h: is_open(night, MONDAY + timedelta(hours=h)) for h in (6, 18, 19, 23, 24, 30, 31, 44)}
    assert told == {6: False, 18: False, 19: True, 23: True, 24: True, 30: True, 31: False, 44: False}
    assert opens_at(night, MONDAY + timedelta(days=2)) == MONDAY + timedelta(days=7, hours=19)


def test_without_hours_it_is_always_open():
    assert is_open((), MONDAY) and opens_at((), MONDAY) == MONDAY


@given(
    since=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    until=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    minutes=st.integers(0, 14 * 24 * 60),
)
def test_each_opening_is_that_of_a_day(since, until, days, minutes):
    """A minute is open where a window that begins on one of the days covers it, written as intervals."""
    one = Hours(**{"from": since, "until": until, "days": tuple(days)})
    now = MONDAY + timedelta(minutes=minutes)
    covered = False
    for back in range(9):
        begins = datetime.combine(now.date() - timedelta(days=back), since)
        ends = datetime.combine(begins.date(), until)
        if ends <= begins:
            ends += timedelta(days=1)
        covered |= DAYS[begins.weekday()] in days and begins <= now < ends
    assert is_open((one,), now) == covered


def test_studies_and_bytes_keep_their_rate():
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(6, 1000, wait=wait, clock=lambda: now[0])
    began = []
    for _ in range(5):
        pace.study()
        began.append(now[0])
    assert began == [0, 10, 20, 30, 40]
    pace.bytes(5000)
    pace.bytes(1)
    assert now[0] == 45
    free = Pace(0, 0, wait=wait, clock=lambda: now[0])
    for _ in range(100):
        free.study()
        free.bytes(10**9)
    assert now[0] == 45
