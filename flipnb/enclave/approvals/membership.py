"""The studies that this Trust joined: rosters that a data controller of its own signed, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from flipnb.contracts.controller import Controller
from flipnb.contracts.envelope import MEMBERSHIP, signer_of, unseal
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Membership, Roster
from flipnb.files.whole import write


class Memberships:
    """``memberships/{study}.dsse``, verified when read; each holds while who signed it decides here. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        *,
        controllers: Callable[[], Iterable[Controller]],
        own_key: str,
        joining: Callable[[str], object] = lambda study: None,
    ) -> None:
        """``joining`` is called with a study's name before its membership is kept."""
        self._directory = directory
        self._joining = joining
        self._controllers = controllers
        self._own_key = own_key
        self._lock = threading.Lock()
        self._rosters: dict[str, Roster] = {}
        self._signers: dict[str, str] = {}
        deciding = self._deciding()
        for file in sorted(directory.glob("*.dsse")):
            envelope, what = file.read_bytes(), f"The membership {file}"
            self._signers[file.stem] = signer_of(envelope, what)
            if self._signers[file.stem] not in deciding:
                continue
            roster, _ = self._verified(envelope, what)
            if roster.study != file.stem:
                raise FlipError("wrong-membership", f"{what} is of the study {roster.study}.")
            self._rosters[roster.study] = roster

    def accept(self, envelope: bytes) -> Roster:
        """Verify and store a membership; it takes the place of an earlier one of the same study.

        Raises FlipError: ``unknown-key`` (not sealed by a controller of this Trust), ``wrong-membership`` (of another
        Trust, or a roster without this Trust's own key).
        """
        roster, signer = self._verified(envelope, "The membership")
        self._joining(roster.study)
        with self._lock:
            write(self._directory / f"{roster.study}.dsse", envelope, mode=0o600)
            self._rosters[roster.study] = roster
            self._signers[roster.study] = signer
        return roster

    def roster(self, study: str) -> Roster:
        """Raises FlipError ``not-joined``."""
        with self._lock:
            roster, signer = self._rosters.get(study), self._signers.get(study)
        if roster is not None and signer in self._deciding():
            return roster
        why = f"This Trust has not joined the study {study}."
        if signer is not None:
            why = f"Who signed this Trust's membership in the study {study} decides here no more."
        raise FlipError(
            "not-joined",
            why,
            remedy="Its data controller joins with `flip study join`, after comparing fingerprints.",
            status=403,
        )

    def studies(self) -> dict[str, Roster]:
        """Those whose membership holds."""
        deciding = self._deciding()
        with self._lock:
            return {study: roster for study, roster in self._rosters.items() if self._signers[study] in deciding}

    def void(self) -> tuple[str, ...]:
        """Studies that were joined by somebody who decides here no more."""
        deciding = self._deciding()
        with self._lock:
            return tuple(sorted(study for study, signer in self._signers.items() if signer not in deciding))

    def _deciding(self) -> dict[str, str]:
        """Public keys of who decides here now, by their id."""
        return {controller.key_id: controller.public_key for controller in self._controllers()}

    def _verified(self, envelope: bytes, what: str) -> tuple[Roster, str]:
        """The roster, and the key that signed it."""
        opened = unseal(envelope, MEMBERSHIP, self._deciding(), what)
        membership = opened.parse(Membership, what)
        if membership.trust != self._own_key:
            raise FlipError("wrong-membership", f"{what} was signed for another Trust's key.", status=403)
        if self._own_key not in membership.roster.trust_keys():
            raise FlipError("wrong-membership", f"{what} has a roster without this Trust's own key.", status=403)
        return membership.roster, opened.signer
