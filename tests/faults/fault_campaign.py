"""A campaign: one undisturbed run, then runs of the same bundle that faults strike at random moments.

``make faults FAULTS=200 SEED=1`` prints a table and writes it as JSON; exit code 1 where
a run did not end by itself with the undisturbed run's weights, or an invariant does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from enclave_federation import until
from fault_federation import SevenTrusts, plan
from fault_invariants import answers, differing, whole
from fault_kinds import Fault, kinds

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.run import RoundSummary, RunEvent

APART = 2
"""Rounds from one fault to the next: the one that it strikes, and one that begins after it."""


def rounds_for(faults: int) -> int:
    """Training rounds such that the first of so many faults strikes while Trusts start, the last at the very end."""
    return max(APART, APART * faults - APART)


_PATIENCE = 400.0


@dataclass
class Struck:
    """One fault. ``seconds``: until a round was finished that began after it; ``noticed``: until its death was told."""

    kind: str
    what: str
    round: int
    moment: float
    seconds: float = 0.0
    noticed: float | None = None
    same: bool = False


class Follower:
    """A run's events as they come, each with the moment at which it was heard."""

    def __init__(self, federation: SevenTrusts, run: str) -> None:
        self._federation, self.run = federation, run
        self.heard: list[tuple[float, RunEvent]] = []

    @property
    def rounds(self) -> list[RoundSummary]:
        return [event.round for _, event in self.heard if event.round is not None]

    @property
    def state(self) -> str | None:
        states = [event.state for _, event in self.heard if event.kind == "state"]
        return states[-1] if states else None

    def listen(self) -> None:
        after = self.heard[-1][1].number if self.heard else 0
        self.heard += [(time.monotonic(), event) for event in self._federation.events(self.run, after, 2.0)]

    def until_round(self, number: int) -> None:
        """Until so many rounds are finished. Raises AssertionError where the run ends before, or nothing happens."""
        deadline = time.monotonic() + _PATIENCE
        while len(self.rounds) < number and self.state not in ("failed", "stopped"):
            assert time.monotonic() < deadline, f"round {number} was not finished; {self.story()}"
            self.listen()
        assert len(self.rounds) >= number, self.story()

    def to_the_end(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self.state not in ("succeeded", "failed", "stopped"):
            assert time.monotonic() < deadline, f"the run does not end; {self.story()}"
            self.listen()

    def story(self) -> str:
        told = [e for _, e in self.heard if e.kind != "progress"]
        return "\n".join(e.model_dump_json(exclude_none=True) for e in told[-25:])


def undisturbed(federation: SevenTrusts, bundle: Bundle, *, executions: int) -> Follower:
    follower = Follower(federation, federation.run(bundle, executions=executions))
    follower.to_the_end()
    assert follower.state == "succeeded", follower.story()
    return follower


def disturbed(
    federation: SevenTrusts,
    bundle: Bundle,
    faults: Sequence[tuple[str, Fault]],
    steady: Follower,
    chance: random.Random,
) -> list[Struck]:
    """One run that ``faults`` strike one after another; the first before its first round is finished."""
    follower = Follower(federation, federation.run(bundle, executions=1))
    pace = steady.rounds[1].seconds
    struck = []
    for number, (kind, fault) in enumerate(faults):
        follower.until_round(APART * number)
        pause = chance.uniform(0, pace if number else 4 * pace)
        time.sleep(pause)
        began, known = time.monotonic(), len(follower.heard)
        what = fault(federation, follower.run, chance)
        one = Struck(kind, what, APART * number + 1, round(pause, 2))
        follower.until_round(min(APART * number + APART, len(steady.rounds)))
        one.seconds = round(follower.heard[-1][0] - began, 1)
        told = [at - began for at, event in follower.heard[known:] if event.code == "recovering"]
        one.noticed = round(told[0], 1) if told else None
        affected = slice(one.round - 1, one.round + APART - 1)
        one.same = untimed(follower.rounds[affected]) == untimed(steady.rounds[affected])
        struck.append(one)
        print(row(one), flush=True)
    follower.to_the_end()
    assert follower.state == "succeeded", follower.story()
    until(lambda: federation.finished(follower.run), 120)
    assert untimed(follower.rounds) == untimed(steady.rounds), "the weights differ"
    assert differing(answers(federation, follower.run), answers(federation, steady.run)) == []
    return struck


def untimed(summaries: Sequence[RoundSummary]) -> list[RoundSummary]:
    return [summary.model_copy(update={"seconds": 0.0}) for summary in summaries]


def campaign(federation: SevenTrusts, faults: int, per_run: int, seed: int, network_seconds: float) -> list[Struck]:
    """``faults`` faults of all kinds by turns, in an order, on Trusts and at moments that ``seed`` fixes."""
    chance = random.Random(seed)
    named = kinds(network_seconds)
    order: list[tuple[str, Fault]] = []
    while len(order) < faults:
        turn = list(named.items())
        chance.shuffle(turn)
        order += turn
    order = order[:faults]
    runs = [order[start : start + per_run] for start in range(0, faults, per_run)]
    bundle = federation.bundle_for(plan(rounds_for(min(per_run, faults))))
    steady = undisturbed(federation, bundle, executions=len(runs) + 2)
    struck = []
    for some in runs:
        struck += disturbed(federation, bundle, some, steady, chance)
    print(f"a run that was stopped had ended everywhere after {stop(federation, bundle):.1f} s", flush=True)
    return struck


def stop(federation: SevenTrusts, bundle: Bundle) -> float:
    """Stop a run of seven Trusts; seconds until no kernel, runner or coordinator of it was left."""
    follower = Follower(federation, federation.run(bundle, executions=1))
    follower.until_round(1)
    began = time.monotonic()
    federation.ask("POST", f"/v1/runs/{follower.run}/stop")
    until(lambda: not federation.alive(follower.run), 120)
    return time.monotonic() - began


def row(one: Struck) -> str:
    noticed = f"{one.noticed:.1f}" if one.noticed is not None else "-"
    same = "same" if one.same else "OTHER"
    return f"{one.what:45} round {one.round:3} +{one.moment:4.1f} s   {one.seconds:6.1f} s   {noticed:>5}   {same}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Strike a federation of seven Trusts with faults.")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--per-run", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=Path("build/faults.json"))
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="flip-faults-"))
    federation = SevenTrusts(directory)
    try:
        federation.start()
        print(f"{'fault':45} {'moment':16} recovered   noticed   weights")
        struck = campaign(federation, options.faults, options.per_run, options.seed, options.network_seconds)
    finally:
        federation.close()
    whole(federation)
    shutil.rmtree(directory)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(one) for one in struck], indent=1) + "\n")
    return 0 if all(one.same for one in struck) else 1


if __name__ == "__main__":
    sys.exit(main())
