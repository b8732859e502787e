"""When a count is answered, and whether, says nothing of a person's records: played on real time, with a worker's
process."""

from __future__ import annotations

from pathlib import Path

from time_attack import DAILY, LARGE, OFTEN, TIMED, Hospital, Hurried, Played, arrival, play, run, stopped

from flipnb.contracts.policy import CountPolicy

POLICY = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4, answer_seconds=1)
UNHURRIED = POLICY.model_copy(update={"answer_seconds": 60.0})
"""Under which nothing is stopped: without the control, an answer comes when it is ready."""
WITHIN = POLICY.model_copy(update={"answer_seconds": 4.0})
"""Under which a loaded machine, too, answers people whose records are few."""
GAMES, FEWER = 20, 12


def test_thousands_of_records_can_not_be_told_by_when_the_answer_comes(tmp_path: Path) -> None:
    async def playing(both: tuple[Hospital, Hospital]) -> tuple[Played, Played]:
        without = await play(both, TIMED, UNHURRIED, arrival, pace=Hurried, n=FEWER)
        return without, await play(both, TIMED[:1], POLICY, arrival, n=GAMES)

    without, ours = run(playing, tmp_path, DAILY)
    print(f"\nwithout: {without}\nours: {ours}")
    assert without.right > without.bound + without.slack, "the attack could not tell whether the control works"
    assert ours.right <= ours.bound + ours.slack


def test_three_hundred_records_can_not_be_told_by_whether_there_is_an_answer(tmp_path: Path) -> None:
    """The people are surely many, so that an answer without a number is one that was stopped."""

    async def playing(both: tuple[Hospital, Hospital]) -> Played:
        return await play(both, LARGE, WITHIN, stopped, n=FEWER)

    ours = run(playing, tmp_path, OFTEN)
    print(f"\nours: {ours}")
    assert ours.right <= ours.bound + ours.slack
