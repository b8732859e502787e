"""How long a round waits: the plan's time at first, then what rounds took, never below the floor."""

from flipnb.contracts.plan import Plan
from flipnb.contracts.run import RoundSummary
from flipnb.federation.coordinator.patience import Patience


def summary(number: int, seconds: float, *, late: tuple[str, ...] = ()) -> RoundSummary:
    return RoundSummary(
        round=number,
        of=100,
        training=True,
        members=("a" * 64,),
        late=late,
        weights="0" * 64,
        metrics={},
        seconds=seconds,
    )


def test_nothing_is_learned_at_first() -> None:
    patience = Patience(Plan(rounds=3, clip_norm=1.0, round_seconds=300, start_seconds=50))
    assert patience.seconds(1) == 350
    assert patience.seconds(2) == 300


def test_quick_rounds_leave_the_floor() -> None:
    patience = Patience(Plan(rounds=3, clip_norm=1.0))
    patience.learn(summary(1, 0.2))
    assert patience.seconds(2) == 120


def test_long_rounds_are_waited_for_three_times_as_long_up_to_the_plans_limit() -> None:
    patience = Patience(Plan(rounds=9, clip_norm=1.0, round_seconds=1000), [summary(1, 100.0), summary(2, 90.0)])
    assert patience.seconds(3) == 300
    patience.learn(summary(3, 400.0))
    assert patience.seconds(4) == 1000


def test_old_rounds_and_those_with_a_late_trust_teach_nothing() -> None:
    patience = Patience(Plan(rounds=9, clip_norm=1.0, round_seconds=1000), [summary(1, 300.0)])
    for number in range(2, 7):
        patience.learn(summary(number, 50.0))
    patience.learn(summary(7, 900.0, late=("b" * 64,)))
    assert patience.seconds(8) == 150


def test_the_plans_limit_is_above_the_floor() -> None:
    patience = Patience(Plan(rounds=9, clip_norm=1.0, round_seconds=5), [summary(1, 0.1)])
    assert patience.seconds(2) == 5
