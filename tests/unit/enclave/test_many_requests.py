"""Thousands of requests at a desk: its lists ask the store few questions, and read no bundle twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from enclave_scenario import ESTATE, Study

from flipnb.enclave.approvals.approvals import Terms
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.desk.run_names import RunNames
from flipnb.enclave.desk.summaries import Summaries
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredApproval

STATES = ("waiting", "approved", "declined", "refused")


class Desk:
    """A store with requests in every state, each with a run or two, and what lists them."""

    def __init__(self, directory: Path) -> None:
        self.study = Study()
        self.store = Store(directory / "state.sqlite")
        rest = cast(Any, None)
        place = EnclaveDirectory(directory, rest)
        self.requests = Requests(place, self.study.node.key_id, self.store, rest, rest)
        self.summaries = Summaries(self.store, self.requests)
        self.terms = Terms("policy", ESTATE, frozenset([self.study.controller.key_id]), 1)
        self.questions: list[str] = []
        self.store._database._db.set_trace_callback(self.questions.append)

    def add(self, number: int, first: int = 0) -> None:
        now = datetime.now(UTC)
        with self.store.together():
            for n in range(first, first + number):
                hours = -1 if n % 5 == 0 else 1
                bundle = self.study.bundle(
                    title=f"Request {n}", not_before=now - timedelta(days=1), expires=now + timedelta(hours=hours)
                )
                self.store.requests.add(
                    bundle.digest(), self.study.bundle_envelope(bundle), study="heart", title=bundle.title,
                    researcher="R. Esearcher", researcher_key=self.study.researcher.key_id, state=STATES[n % 4],
                )  # fmt: skip
                for run in range(1 + n % 2):
                    self.store.runs.add(
                        f"{2 * n + run:032x}", bundle=bundle.digest(), study="heart", title=bundle.title, point={}
                    )
                    self.store.runs.advance(f"{2 * n + run:032x}", "waiting")
                if n % 4 == 1:
                    approval = StoredApproval(
                        approval=f"{n:064x}", controller="carol", controller_key=self.study.controller.key_id,
                        policy="policy", estate_version=ESTATE, executions_left=n, approved=now,
                        expires=now + timedelta(hours=1),
                    )  # fmt: skip
                    self.store.approvals.add(bundle.digest(), approval, b"")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("decided", [False, True])
def test_a_list_says_of_each_request_what_is_said_of_it_alone(desk: Desk, decided: bool) -> None:
    desk.add(60)
    found = desk.summaries.all(desk.terms, decided=decided)
    alone = [desk.summaries.of(stored, desk.terms) for stored in desk.store.requests.all()]
    assert list(found) == [one for one in alone if decided or one.state in ("waiting", "approved")]
    assert {one.state for one in alone} == {*STATES, "expired"}
    assert {len(one.runs) for one in found} == {one.runs_waiting for one in found} == {1, 2}
    assert any(one.executions_left for one in found)
    assert desk.summaries.waiting() == sum(one.state == "waiting" for one in found) == 12


def test_lists_ask_as_many_questions_of_many_requests_as_of_few(desk: Desk) -> None:
    """Two for each request, one of which read all runs, and each bundle parsed: 2.5 s for 1,000, in which the agent
    answered nobody."""
    asked = []
    for first in (0, 40):
        desk.add(40, first)
        for list_them in (desk.summaries.waiting, lambda: desk.summaries.all(desk.terms, decided=True)):
            list_them()
            desk.questions.clear()
            list_them()
            asked.append(list(desk.questions))
    assert asked[:2] == asked[2:]
    assert [len(questions) for questions in asked[:2]] == [2, 3]
    assert not any("SELECT *" in question and "requests" in question for questions in asked for question in questions)


def test_a_log_of_runs_reads_each_bundle_for_their_names_once(desk: Desk) -> None:
    """500 lines were 500 bundles, parsed at each look and at each entry while the page was open."""
    names = RunNames(desk.store, desk.requests)
    assert names.of(f"{2:032x}") == "run 00000000"
    desk.add(3)
    first = [names.of(f"{2 * n:032x}") for n in range(3)]
    desk.store.runs.add("a" * 32, bundle=desk.store.requests.all()[0].bundle, study="heart", title="A", point={"lr": 1})
    assert names.of("a" * 32) == "A · lr 1"
    desk.store.runs.add_lost("b" * 32, bundle="c" * 64, reason="the stores were lost")  # neither title nor request
    assert names.of("b" * 32) == "run bbbbbbbb"
    desk.questions.clear()
    assert [names.of(f"{2 * n:032x}") for n in range(3)] == first
    assert desk.questions == []
