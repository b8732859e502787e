"""Only who had brief and code before them may approve: kept by digest and person, in the audit log."""

from contextlib import closing

import pytest
from enclave_scenario import Study

from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import Opening
from flipnb.contracts.problem import FlipError
from flipnb.enclave.desk.openings import Openings
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

ONE, OTHER = "a" * 64, "b" * 64


def test_a_request_is_read_by_a_person_part_by_part_and_stays_so_over_a_restart(tmp_path):
    study = Study()
    known = [Controller(name="anna", public_key=study.node.public_key),
             Controller(name="ben", public_key=study.other.public_key)]  # fmt: skip
    with closing(Store(tmp_path / "state.sqlite")) as store:
        log = AuditLog(tmp_path / "audit.jsonl", study.node, store.anchor)
        log.append("declined", bundle=ONE, reason='"kind":"opened"')
        openings = Openings(log, lambda: known)
        for part in ("brief", "code", "brief", "code"):
            assert openings.of(OTHER) == ()
            openings.note(ONE, Opening(controller="anna", part=part))
        assert log.size == 3  # each part once
        openings.note(ONE, Opening(controller="ben", part="code"))

        for again in (openings, Openings(log, lambda: known)):
            assert [one.name for one in again.readers(ONE)] == ["anna"]
            again.require_reader(ONE, known[0].key_id)
            again.require_reader(ONE, "c" * 64)  # whose key it is not, the signature says
            with pytest.raises(FlipError, match="ben has not opened the brief of this request"):
                again.require_reader(ONE, known[1].key_id)
            with pytest.raises(FlipError, match="ben has not opened the brief and the code") as refused:
                again.require_reader(OTHER, known[1].key_id)
            assert refused.value.status == 409
            with pytest.raises(FlipError, match="Nobody here has opened both"):
                again.readers(OTHER)
        with pytest.raises(FlipError, match="No data controller"):
            openings.note(ONE, Opening(controller="carl", part="code"))
        known.pop(0)  # who is gone has read nothing
        with pytest.raises(FlipError, match="Nobody here"):
            openings.readers(ONE)


def test_who_comes_by_the_name_of_one_who_is_gone_has_opened_nothing(tmp_path):
    """Names come back: one controller leaves, another of the name comes, and has a key of their own."""
    study = Study()
    known = [Controller(name="anna", public_key=study.node.public_key)]
    with closing(Store(tmp_path / "state.sqlite")) as store:
        log = AuditLog(tmp_path / "audit.jsonl", study.node, store.anchor)
        openings = Openings(log, lambda: known)
        for part in ("brief", "code"):
            openings.note(ONE, Opening(controller="anna", part=part))
        assert [one.name for one in openings.readers(ONE)] == ["anna"]
        known[:] = [Controller(name="anna", public_key=study.other.public_key)]
        for again in (openings, Openings(log, lambda: known)):
            assert again.of(ONE) == ()
            with pytest.raises(FlipError, match="Nobody here"):
                again.readers(ONE)
            with pytest.raises(FlipError, match="anna has not opened the brief and the code"):
                again.require_reader(ONE, known[0].key_id)
        for part in ("brief", "code"):
            openings.note(ONE, Opening(controller="anna", part=part))
        for again in (openings, Openings(log, lambda: known)):
            again.require_reader(ONE, known[0].key_id)
        assert log.size == 4
