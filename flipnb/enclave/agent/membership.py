"""The studies that this Trust joined: rosters that a data controller of its own signed, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from flipnb.contracts.controller import Controller
from flipnb.contracts.envelope import MEMBERSHIP, unseal
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Membership, Roster
from flipnb.enclave.agent.configuration import write_file


class Memberships:
    """``memberships/{study}.dsse``, verified when read. Thread-safe."""

    def __init__(self, directory: Path, *, controllers: Callable[[], Iterable[Controller]], own_key: str) -> None:
        self._directory = directory
        self._controllers = controllers
        self._own_key = own_key
        self._lock = threading.Lock()
        self._rosters: dict[str, Roster] = {}
        for file in sorted(directory.glob("*.dsse")):
            roster = self._verified(file.read_bytes(), f"The membership {file}")
            if roster.study != file.stem:
                raise FlipError("wrong-membership", f"The membership {file} is of the study {roster.study}.")
            self._rosters[roster.study] = roster

    def accept(self, envelope: bytes) -> Roster:
        """Verify and store a membership; it takes the place of an earlier one of the same study.

        Raises FlipError: ``unknown-key`` (not sealed by a controller of this Trust), ``wrong-membership`` (of another
        Trust, or a roster without this Trust's own key).
        """
        roster = self._verified(envelope, "The membership")
        with self._lock:
            write_file(self._directory / f"{roster.study}.dsse", envelope)
            self._rosters[roster.study] = roster
        return roster

    def roster(self, study: str) -> Roster:
        """Raises FlipError ``not-joined``."""
        with self._lock:
            roster = self._rosters.get(study)
        if roster is None:
            raise FlipError(
                "not-joined",
                f"This Trust has not joined the study {study}.",
                remedy="Its data controller joins with `flip study join`, after comparing fingerprints.",
                status=403,
            )
        return roster

    def studies(self) -> dict[str, Roster]:
        with self._lock:
            return dict(self._rosters)

    def _verified(self, envelope: bytes, what: str) -> Roster:
        trusted = {controller.key_id: controller.public_key for controller in self._controllers()}
        membership = unseal(envelope, MEMBERSHIP, trusted, what).parse(Membership, what)
        if membership.trust != self._own_key:
            raise FlipError("wrong-membership", f"{what} was signed for another Trust's key.", status=403)
        if self._own_key not in membership.roster.trust_keys():
            raise FlipError("wrong-membership", f"{what} has a roster without this Trust's own key.", status=403)
        return membership.roster
