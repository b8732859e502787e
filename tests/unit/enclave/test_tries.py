"""Wrong passphrases are few, written down, and forgotten in time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from enclave_scenario import Study

from flipnb.contracts.controller import Controller
from flipnb.contracts.problem import FlipError
from flipnb.enclave.desk.tries import Tries
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store


def test_five_are_borne_in_a_quarter_of_an_hour_for_each_controller(tmp_path: Path) -> None:
    study, now = Study(), [0.0]
    known = [
        Controller(name=name, public_key=key.public_key) for name, key in (("anna", study.node), ("ben", study.other))
    ]
    with closing(Store(tmp_path / "state.sqlite")) as store:
        log = AuditLog(tmp_path / "audit.jsonl", study.node, store.anchor)
        tries = Tries(log, lambda: known, clock=lambda: now[0])
        for left in (5, 4, 3, 2, 1):
            assert tries.left("anna") == left
            tries.wrong("anna")
            now[0] += 60
        for _ in range(100):
            with pytest.raises(FlipError, match="Try again in 10 minutes"):
                tries.wrong("anna")
        assert tries.left("ben") == 5
        assert log.size == 5
        now[0] = 900.0
        assert tries.left("anna") == 1
        for name in ("nobody", "", "a" * 1000):
            with pytest.raises(FlipError, match="No data controller"):
                tries.wrong(name)
        assert log.size == 5
        log.close()
