"""What runs and Trusts are called: the same in a terminal, in Python and on the screens."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from flipnb.contracts import envelope
from flipnb.contracts.choices import Choices
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.parameters import Parameter, telling
from flipnb.contracts.run import TrustPart
from flipnb.contracts.study import Researcher, Roster, Trust
from flipnb.workbench.home import Home
from flipnb.workbench.names import duration, ran, run_name, trust_titles, waited
from flipnb.workbench.studies import roster_path

CASES = json.loads((Path(__file__).parents[3] / "labextension" / "tests" / "naming.json").read_text())
SENT = datetime(2026, 11, 1, 14, 2, tzinfo=UTC)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_run_is_called_as_on_the_screens(case):
    run = {name: case[name] for name in ("title", "point", "telling")}
    assert run_name(SimpleNamespace(**run, choices=Choices(**case.get("choices", {})))) == case["name"]


SPACE = (
    Parameter(name="seed", type="int", default=0),
    Parameter(name="lr", type="float", default=0.5, minimum=0, maximum=1),
    Parameter(name="l2", type="float", default=0.001, minimum=0, maximum=1),
)


def test_no_two_points_of_a_space_have_one_name():
    points = [{"seed": 0, "lr": lr, "l2": l2} for lr in (0.1, 0.5, 1) for l2 in (0.001, 0.1)]
    names = [
        run_name(SimpleNamespace(title="t", point=p, telling=telling(SPACE, p), choices=Choices())) for p in points
    ]
    assert names == ["t · lr 0.1", "t · lr 0.1, l2 0.1", "t · lr 0.5", "t · l2 0.1", "t · lr 1", "t · lr 1, l2 0.1"]


def test_a_run_that_can_vary_in_nothing_is_called_by_its_title():
    assert telling(SPACE[:1], {"seed": 0}) == ()


def test_trusts_are_called_by_the_titles_of_the_roster(tmp_path):
    key, node = SigningKey.generate(), SigningKey.generate()
    trust = Trust(name="long-beach", title="Long Beach VA", public_key=node.public_key)
    part = TrustPart(trust=trust.key_id, name="long-beach", state="running")
    home = Home(tmp_path)
    assert trust_titles(home, "heart", [part]) == {trust.key_id: "long-beach"}, "a roster that is not here"
    me = Researcher(name="me", public_key=key.public_key)
    roster = Roster(study="heart", purpose="p", researchers=(me,), trusts=(trust,))
    path = roster_path(home, "heart")
    path.parent.mkdir(parents=True)
    path.write_bytes(envelope.seal(roster, envelope.ROSTER, key))
    assert trust_titles(home, "heart", [part]) == {trust.key_id: "Long Beach VA"}


@pytest.mark.parametrize(
    ("started", "finished", "times"),
    [
        (None, None, ("10 min", "")),
        (None, 120, ("2 min", "")),
        (60, None, ("1 min", "9 min")),
        (8, 35, ("8 s", "27 s")),
    ],
)
def test_waiting_and_running_are_apart(started, finished, times):
    at = [None if seconds is None else SENT + timedelta(seconds=seconds) for seconds in (started, finished)]
    run = SimpleNamespace(submitted=SENT, started=at[0], finished=at[1])
    now = SENT + timedelta(minutes=10)
    assert (duration(waited(run, now)), duration(ran(run, now))) == times
    assert duration(3900) == "1 h 05 min"
