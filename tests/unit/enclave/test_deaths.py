"""Which kernels are started anew, how often, and what of a death leaves the enclave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enclave_scenario import Chamber, Study

from flipnb.contracts.channels import DEATHS_IN_A_RUN
from flipnb.contracts.run import Failure, Progress
from flipnb.enclave.runner.order import Reason, Verdict
from flipnb.enclave.runs.deaths import IN_A_ROUND, Deaths, failure_of

KILLED = Verdict(outcome="failed", error_class="KernelDied", cell=2, reason="signal", status=137)


@pytest.mark.parametrize("reason", ["signal", "runner", "start"])
def test_what_came_from_outside_is_mended_a_few_times_in_a_round(reason: Reason) -> None:
    deaths = Deaths()
    verdict = Verdict(outcome="failed", error_class="KernelDied", reason=reason)
    tries = [deaths.start_anew(verdict, 1) for _ in range(IN_A_ROUND)]
    assert tries == [True] * (IN_A_ROUND - 1) + [False]
    assert deaths.start_anew(verdict, 2)


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(outcome="finished"),
        Verdict(outcome="failed", error_class="ValueError", cell=2, line=3),
        Verdict(outcome="failed", error_class="KernelDied", cell=2, reason="exit", status=3),
        Verdict(outcome="failed", error_class="OutOfMemory", cell=2, reason="memory", status=137),
        Verdict(outcome="failed", error_class="TimeLimit", cell=2, reason="cell-time"),
    ],
)
def test_a_notebooks_own_end_is_no_death_to_mend(verdict: Verdict) -> None:
    assert not Deaths().start_anew(verdict, 1)


def test_a_kernel_that_dies_in_every_round_is_given_up() -> None:
    deaths = Deaths()
    assert [deaths.start_anew(KILLED, number) for number in range(DEATHS_IN_A_RUN)].count(True) == DEATHS_IN_A_RUN - 1


def test_a_death_is_told_by_class_cell_and_round_never_by_its_status() -> None:
    assert failure_of(KILLED, 5, 3) == Failure(error_class="KernelDied", cell=2, round=3)
    runner = Verdict(outcome="failed", error_class="KernelDied", reason="runner")
    assert failure_of(runner, 5, 3) == Failure(error_class="KernelDied", cell=5, round=3)
    assert failure_of(Verdict(outcome="stopped"), 5, None) == Failure(error_class="KernelDied", cell=5)


def test_progress_does_not_overwrite_a_death_that_waits_to_be_told(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path)
    store = chamber.store
    store.runs.progress(chamber.run, Progress(cell=1, cells=2))
    store.runs.tell_death(chamber.run, Failure(error_class="KernelDied", cell=1), "recovering", "again")
    store.runs.progress(chamber.run, Progress(cell=1, cells=2, seconds=1.0))
    store.runs.progress(chamber.run, Progress(cell=2, cells=2, seconds=2.0))
    told = []
    while (report := store.outbox.next()) is not None:
        told.append(json.loads(report.body))
        store.outbox.sent(report.number)
    assert [(said["sequence"], said.get("code")) for said in told] == [(1, None), (2, "recovering"), (3, None)]
    assert told[2]["progress"]["cell"] == 2
