"""A run's events as lines of `flip logs`: Trusts by their titles, states in the words of the screens."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from flipnb.contracts.run import RUN_WORDS, TRUST_WORDS, Failure, RunEvent, RunState, TrustState
from flipnb.workbench.narrative import describe

KEY = "ab" * 32


def told(kind: str, **said: object) -> str:
    event = {"run": "0" * 32, "number": 1, "at": datetime(2026, 12, 1, tzinfo=UTC), "kind": kind, **said}
    return describe(RunEvent.model_validate(event), {KEY: "Cleveland"})


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"kind": "state", "state": "queued"}, "The run waits for slots"),
        ({"kind": "state", "state": "waiting"}, "The run waits for approvals"),
        ({"kind": "state", "state": "failed", "reason": "No."}, "The run is failed: No."),
        (
            {"kind": "trust", "trust": KEY, "trust_state": "queued", "reason": "All of its slots are in use."},
            "Cleveland waits for a slot: All of its slots are in use.",
        ),
        ({"kind": "trust", "trust": KEY, "trust_state": "left-out", "reason": "late"}, "Cleveland is left out: late"),
        ({"kind": "trust", "trust": KEY, "trust_state": "waiting"}, "Cleveland is awaiting approval"),
        (
            {"kind": "trust", "trust": KEY, "trust_state": "running", "estate": "c" * 32},
            "Cleveland runs on its estate cccccccc",
        ),
        (
            {"kind": "trust", "trust": KEY, "trust_state": "starting", "images": {"ct": "75-to-90", "xray": "few"}},
            "Cleveland: images ct: 75 to 90 % of them could be used; images xray: too few people have them for a share "
            "to be told",
        ),
    ],
)
def test_lines(event, line):
    assert told(**event) == line


@pytest.mark.parametrize("state", get_args(TrustState))
def test_every_state_of_a_trust_is_said_in_its_word_with_what_went_wrong(state):
    failure = Failure(error_class="ValueError", cell=2)
    line = told("trust", trust=KEY, trust_state=state, failure=failure)
    assert line.startswith("Cleveland ") and f"{TRUST_WORDS[state]}: ValueError" in line


@pytest.mark.parametrize("state", get_args(RunState))
def test_every_state_of_a_run_is_said_in_its_word(state):
    assert told("state", state=state) in (f"The run {RUN_WORDS[state]}", f"The run is {RUN_WORDS[state]}")
