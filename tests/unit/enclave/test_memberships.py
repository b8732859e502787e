"""A membership holds while the data controller who signed it decides at the Trust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from enclave_scenario import Study

from flipnb.contracts.controller import Controller
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.membership import Memberships


def test_a_membership_ends_with_its_controller(tmp_path: Path) -> None:
    study = Study()
    ben = SigningKey.generate()
    anna_decides = Controller(name="anna", public_key=study.controller.public_key)
    ben_decides = Controller(name="ben", public_key=ben.public_key)
    deciding = [anna_decides, ben_decides]

    def opened() -> Memberships:
        return Memberships(tmp_path, controllers=lambda: deciding, own_key=study.node.key_id)

    memberships = opened()
    with pytest.raises(FlipError, match="has not joined the study heart"):
        memberships.roster("heart")
    memberships.accept(study.membership())
    assert memberships.roster("heart") == study.roster and memberships.void() == ()

    deciding.remove(anna_decides)
    for now in (memberships, opened()):
        with pytest.raises(FlipError, match="decides here no more") as refused:
            now.roster("heart")
        assert refused.value.code == "not-joined"
        assert (now.studies(), now.void()) == ({}, ("heart",))
    with pytest.raises(FlipError) as unknown:
        memberships.accept(study.membership())
    assert unknown.value.code == "unknown-key"

    memberships.accept(replace(study, controller=ben).membership())
    for now in (memberships, opened()):
        assert now.roster("heart") == study.roster and now.void() == ()


def test_a_membership_of_a_known_controller_that_was_changed_is_refused(tmp_path: Path) -> None:
    """Unlike one of a controller who has left, it is no ordinary thing: the agent does not start."""
    study = Study()
    anna = Controller(name="anna", public_key=study.controller.public_key)
    (tmp_path / "other.dsse").write_bytes(study.membership())
    with pytest.raises(FlipError) as refused:
        Memberships(tmp_path, controllers=lambda: [anna], own_key=study.node.key_id)
    assert refused.value.code == "wrong-membership"
