"""When a count is answered says nothing of a person's records: played on real time, with an estate worker's process."""

from __future__ import annotations

from pathlib import Path

from time_attack import TIMED, Hospital, Hurried, Played, arrival, play, run

from flipnb.contracts.policy import CountPolicy

POLICY = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4, answer_seconds=1)
UNHURRIED = POLICY.model_copy(update={"answer_seconds": 60.0})
"""Under which nothing is stopped: without the control, an answer comes when it is ready."""
GAMES = 20


def test_three_hundred_records_can_not_be_told_by_when_the_answer_comes(tmp_path: Path) -> None:
    async def playing(both: tuple[Hospital, Hospital]) -> tuple[Played, Played]:
        without = await play(both, TIMED, UNHURRIED, arrival, pace=Hurried, n=GAMES)
        return without, await play(both, TIMED[:1], POLICY, arrival, n=GAMES)

    without, ours = run(playing, tmp_path)
    print(f"\nwithout: {without}\nours: {ours}")
    assert without.right > without.bound + without.slack, "the attack could not tell whether the control works"
    assert ours.right <= ours.bound + ours.slack
