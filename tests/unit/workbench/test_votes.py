"""Votes of a consensus and Trusts' shares, as a researcher reads them: in a terminal, in sentences, in results."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.run import Failure, RoundSummary, RunEvent, RunView, TrustPart
from flipnb.workbench import home, runs
from flipnb.workbench.agreement import find_hold_outs
from flipnb.workbench.narrative import describe
from flipnb.workbench.results import Results

NORTH, SOUTH = "a" * 64, "b" * 64
NAMES = {NORTH: "north", SOUTH: "south"}


def summary(number, votes, agreements, *, training=True):
    return RoundSummary(
        round=number, of=9, training=training, members=(NORTH, SOUTH), weights="0" * 64, metrics={"loss": 0.5},
        trust_metrics={NORTH: {"loss": 0.4}}, votes=votes, voters=None if votes is None else 2, agreements=agreements,
        seconds=0.1, shares={NORTH: "over-50", **({SOUTH: "10-to-25"} if number == 1 else {})},
    )  # fmt: skip


ROUNDS = (
    summary(1, 1, {NORTH: 0.9}),
    summary(2, 2, {NORTH: 0.995}),
    summary(3, None, {}, training=False),
)


def test_the_votes_of_each_round_are_shown(monkeypatch, tmp_path):
    parts = tuple(TrustPart(trust=key, name=name, state="finished") for key, name in NAMES.items())
    view = RunView(
        run="0" * 32, study="heart", title="t", bundle="0" * 64, researcher=NORTH, point={}, state="succeeded",
        code="agreed", reason="Agreed at round 2.", submitted=datetime.now(UTC), rounds_done=2, rounds=9, trusts=parts,
        last_event=9,
    )  # fmt: skip
    monkeypatch.setattr(home.Home, "find", lambda: home.Home(tmp_path))
    monkeypatch.setattr(runs, "view_run", lambda home, run: view)
    monkeypatch.setattr(runs, "view_rounds", lambda home, run: ROUNDS)
    monkeypatch.setattr(runs, "view_rule", lambda home, run: Consensus())
    said = CliRunner().invoke(app, ["runs", "0" * 32])
    assert said.exit_code == 0, said.output
    assert "succeeded, round 2 of 9. Agreed at round 2." in said.output
    rows = [" ".join(line.split()) for line in said.output.splitlines()]
    assert rows[-5:] == [
        "1 1 of 2 0.9",
        "2 2 of 2 0.995",
        "Needed to agree: 0.99 at every Trust that votes, in 2 rounds in a row.",
        "In round 2 all agreed.",
        "Final model, evaluated once, after training: loss 0.500",
    ]
    assert any("share of people" in row for row in rows)
    assert any(row.startswith("north finished") and row.endswith("over 50 %") for row in rows)
    assert any(row.startswith("south finished") and row.endswith("10 to 25 %") for row in rows)
    as_json = CliRunner().invoke(app, ["runs", "0" * 32, "--json"])
    assert '"votes": 1' in as_json.output


HELD_OUT = {  # votes of four, the figures that are let out, and who is said to hold out
    "a figure that is let out": (3, {NORTH: 0.941, SOUTH: 0.995}, "north 0.941"),
    "a figure that is just too low": (3, {NORTH: 0.9899}, "north 0.989"),
    "one that is kept": (3, {NORTH: 0.99}, "one Trust that keeps its figure"),
    "both": (2, {NORTH: 0.941}, "north 0.941, and one Trust that keeps its figure"),
    "several": (0, {NORTH: 0.9, SOUTH: 0.8}, "south 0.800, north 0.900, and 2 Trusts that keep theirs"),
    "nobody": (4, {NORTH: 0.99, SOUTH: 1.0}, ""),
}


@pytest.mark.parametrize("votes", HELD_OUT)
def test_who_holds_out_is_told_as_far_as_policies_let_it(votes):
    yes, figures, said = HELD_OUT[votes]
    given = summary(1, yes, figures).model_copy(update={"voters": 4})
    assert find_hold_outs(given, Consensus()).describe(NAMES) == said


def test_a_round_without_a_vote_has_nobody_who_holds_out():
    assert find_hold_outs(ROUNDS[2], Consensus()) is None


def test_a_round_as_a_sentence_has_its_votes():
    event = RunEvent(run="0" * 32, number=1, at=datetime.now(UTC), kind="round", round=ROUNDS[0])
    assert describe(event, NAMES) == "Round 1 of 9: loss 0.5; 1 of 2 agree (2 Trusts, 0.10 s)"


def test_results_have_votes_and_the_figures_that_policies_let_out(tmp_path):
    table = Results(tmp_path, SimpleNamespace(rounds=ROUNDS, members=NAMES)).metrics()  # as from a folder alone
    everybody = table[table["trust"] == "(all)"]
    assert everybody["votes"].tolist()[:2] == [1, 2]
    assert everybody["voters"].tolist()[:2] == [2, 2]
    assert table[table["trust"] == "north"]["agreement"].tolist()[:2] == [0.9, 0.995]


def test_results_say_who_held_out_in_each_round(tmp_path):
    record = SimpleNamespace(rounds=ROUNDS, members=NAMES, consensus=Consensus())
    table = Results(tmp_path, record).agreement()
    assert table["needed"].tolist() == [0.99, 0.99]
    assert table["holds_out"].tolist() == ["north 0.900", ""]
    assert Results(tmp_path, SimpleNamespace(rounds=ROUNDS, members=NAMES, consensus=None)).agreement().empty


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (Failure(error_class="KeyError", cell=3, line=7, round=2), "KeyError in cell 3, line 7, round 2"),
        (Failure(error_class="OutOfMemory"), "OutOfMemory"),
        (
            Failure(error_class="FlipError", cell=3, refusal="output-out-of-bounds"),
            "FlipError in cell 3: it reports a number out of its declared bounds",
        ),
    ],
)
def test_a_failure_says_class_place_and_what_was_refused(failure, says):
    event = RunEvent(
        run="0" * 32, number=1, at=datetime.now(UTC), kind="trust", trust=NORTH, trust_state="failed", failure=failure
    )
    assert describe(event, NAMES) == f"north is failed: {says}"
