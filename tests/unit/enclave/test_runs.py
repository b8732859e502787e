"""What an agent makes of the runs that an earlier one left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import Chamber, Study

from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.stores.configuration import EnclaveDirectory


@pytest.mark.parametrize("ended", ["finished", "left-out"])
def test_a_run_that_ended_with_the_agent_leaves_nothing_of_people(tmp_path: Path, ended: str) -> None:
    chamber = Chamber(Study(), tmp_path / "chamber")
    rest: Any = None
    directory = EnclaveDirectory(tmp_path, rest)
    for state in ("waiting", "approved", "starting", "running", *(["left-out"] if ended == "left-out" else [])):
        assert chamber.store.runs.advance(chamber.run, state)
    if ended == "finished":
        for number in (1, 2, 3):
            chamber.give(number)
            chamber.answer(number)
    run = directory.runs / chamber.run
    (run / "cohort").mkdir(parents=True)
    for name in ("cohort/cohort.duckdb", "state-3.bin", "executed.ipynb", "round-3.safetensors"):
        (run / name).write_text(name)
    node = chamber.study.node
    requests = Requests(directory, node.key_id, chamber.store, chamber.audit, rest)
    runs = Runs(Enclave(directory, node, chamber.store, chamber.audit, rest, rest), requests, rest, rest)
    asyncio.run(runs.resume())
    stored = chamber.store.runs.get(chamber.run)
    assert stored is not None
    assert stored.state == {"finished": "finished", "left-out": "failed"}[ended]
    assert sorted(path.name for path in run.iterdir()) == ["executed.ipynb", "round-3.safetensors"]
