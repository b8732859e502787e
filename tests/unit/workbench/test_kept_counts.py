"""What Trusts told is kept: a question is free where it was paid for, and counts come back to their cohort."""

from __future__ import annotations

import json
import os
import stat
from copy import deepcopy
from pathlib import Path

import pytest

from flipnb.contracts.asked import Asked
from flipnb.contracts.chart import SexChart
from flipnb.contracts.count import Budget, CountReply, Step
from flipnb.contracts.problem import FlipError
from flipnb.workbench import kept_counts
from flipnb.workbench.counting import rule_names, total
from flipnb.workbench.home import Home

CLEVELAND, HUNGARY = "c" * 64, "d" * 64


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def cohort(tutorial):
    return json.loads(tutorial.with_name("heart_disease.cohort.json").read_text())


def told(people=120, *, estate="v1", noise=10.0, **more):
    budget = Budget(cost=1, left=99, of=100, days=365)
    return CountReply(
        trust=CLEVELAND, request="0" * 64, budget=budget, people=people, estate_version=estate, noise=noise, **more
    )


def asked(cohort, **what):
    return Asked.of(cohort, **({"people": True, "funnel": False} | what))


def test_what_was_told_is_free_at_that_trust_alone(home, cohort):
    count, funnel = asked(cohort), asked(cohort, funnel=True, charts=[SexChart()])
    steps = len(cohort["InclusionRules"])
    assert kept_counts.price_at(home, CLEVELAND, count) == 1
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    assert kept_counts.price_at(home, CLEVELAND, count) == 0
    assert kept_counts.price_at(home, HUNGARY, count) == 1
    assert kept_counts.price_at(home, CLEVELAND, funnel) == steps + 2
    kept_counts.keep(home, "other", funnel, {CLEVELAND: told()})  # the ledger is one for all studies
    assert kept_counts.price_at(home, CLEVELAND, funnel) == 0
    shorter = cohort | {"InclusionRules": cohort["InclusionRules"][:1]}
    assert kept_counts.price_at(home, CLEVELAND, asked(shorter)) == 0


def test_new_records_or_other_noise_are_paid_for_anew_and_refusals_pay_for_nothing(home, cohort):
    count = asked(cohort)
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    budgets = asked(cohort, people=False)
    kept_counts.keep(home, "heart", budgets, {CLEVELAND: told(None)})
    assert kept_counts.price_at(home, CLEVELAND, count) == 0
    kept_counts.keep(home, "heart", budgets, {CLEVELAND: told(None, estate="v2")})
    assert kept_counts.price_at(home, CLEVELAND, count) == 1
    kept_counts.keep(home, "heart", count, {CLEVELAND: told(estate="v2")})
    kept_counts.keep(home, "heart", budgets, {CLEVELAND: told(None, estate="v2", noise=20.0)})
    assert kept_counts.price_at(home, CLEVELAND, count) == 1
    problem = FlipError("budget-spent", "Nothing is left.").problem()
    kept_counts.keep(home, "heart", count, {HUNGARY: told(None, problem=problem)})
    assert kept_counts.price_at(home, HUNGARY, count) == 1


def test_counts_come_back_to_every_wording_of_their_cohort_and_to_no_other(home, cohort):
    count = asked(cohort, funnel=True)
    reply = told(funnel=[Step(rules=0, people=130), Step(rules=1, people=None)])
    kept_counts.keep(home, "heart", count, {CLEVELAND: reply})
    reworded = deepcopy(cohort) | {"Title": "in other words"}
    reworded["InclusionRules"][0]["name"] = "renamed"
    kept = kept_counts.last_counts(home, "heart", asked(reworded).whole)
    assert kept is not None and kept.replies == {CLEVELAND: reply}
    assert kept_counts.last_counts(home, "other", count.whole) is None
    fewer = cohort | {"InclusionRules": []}
    assert kept_counts.last_counts(home, "heart", asked(fewer).whole) is None
    kept_counts.keep(home, "heart", asked(cohort, people=False), {CLEVELAND: told(None)})
    assert kept_counts.last_counts(home, "heart", count.whole) == kept


def test_what_is_kept_is_for_its_owner_and_a_broken_file_is_none(home, cohort):
    count = asked(cohort)
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    files = list((home.directory / "counts").rglob("*.json"))
    assert len(files) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    for path in files:
        path.write_text("{")
    assert kept_counts.last_counts(home, "heart", count.whole) is None
    assert kept_counts.price_at(home, CLEVELAND, count) == 1
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    assert kept_counts.price_at(home, CLEVELAND, count) == 0


def test_a_total_says_when_a_trust_is_not_in_it():
    assert total([300, 320]) == "≈ 620"
    assert total([1300, None]) == "at least ≈ 1,300"
    assert total([None, None]) == total([]) == "no number"


def test_a_funnels_steps_are_called_by_their_rules(cohort):
    names = rule_names(cohort | {"InclusionRules": [{"name": "Adults"}, {}]})
    assert names == ["enter", "1 Adults", "2 rule without a name"]


def poisoned(kept, **changes):
    """The file's content with something of the one reply changed."""
    reply = {**kept["replies"][CLEVELAND], **changes}
    return json.dumps({**kept, "replies": {CLEVELAND: reply}}, separators=(",", ":"), sort_keys=True).encode()


def test_what_lies_there_and_was_never_written_so_is_no_count(home, cohort):
    count = asked(cohort)
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    (file,) = (home.directory / "counts" / "studies" / "heart").iterdir()
    whole = file.read_bytes()
    kept = json.loads(whole)
    assert poisoned(kept) == whole
    for content in (
        poisoned(kept, trust=HUNGARY),
        poisoned(kept, people="120"),
        poisoned(kept, problem={"code": "x", "message": "\u202e021 \x1b[31m", "remedy": ""}),
        whole.replace(b'{"asked"', b'{"study":"other","asked"'),
        whole.replace(b":", b": "),
        b"[" * 100_000,
        b"\xff",
        whole + b" " * (9 << 20),
    ):
        file.write_bytes(content)
        assert kept_counts.last_counts(home, "heart", count.whole) is None, content[:200]
    file.write_bytes(whole)
    assert kept_counts.last_counts(home, "heart", count.whole) is not None


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_count_and_nobody_waits_for_it(make, home, cohort):
    """A pipe held a thread of JupyterLab's for ever, an endless file all of its memory."""
    count = asked(cohort)
    kept_counts.keep(home, "heart", count, {CLEVELAND: told()})
    files = [path for path in (home.directory / "counts").rglob("*.json") if path.is_file()]
    assert len(files) == 2
    for file in files:
        file.unlink()
        make(file)
    assert kept_counts.last_counts(home, "heart", count.whole) is None
    assert kept_counts.price_at(home, CLEVELAND, count) == 1
