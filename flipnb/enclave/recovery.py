"""Going on after a loss: what can't be known any more is taken as spent, and a data controller's declaration says so.

Nothing that is lost is made good in silence. A secret is made anew, a ledger or a budget that nobody vouches for is
spent whole, executions that nobody vouches for are withdrawn, and what was there is kept beside, as evidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.envelope import LOSS, unseal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.loss import Loss, LostFile
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.anchors import Anchors
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory, make_secret
from flipnb.enclave.stores.inspection import inspect
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.opening import Stores, sole_user
from flipnb.enclave.stores.store import Store
from flipnb.files.whole import PARTIAL, publish, sync, write

Kind = TypeVar("Kind", Store, Ledger)
_NO_LOSS = ("open-to-others", "newer", "unreadable")
_RUN_LOST = "The Trust has lost its state; the run is over here."


@dataclass(frozen=True)
class Consequences:
    """What a declared loss costs: which of the files are made anew, whether a whole budget is taken as ``spent``,
    whether all approvals are ``withdrawn``."""

    secrets: tuple[str, ...]
    log: bool
    ledger: bool
    state: bool
    spent: bool
    withdrawn: bool

    @classmethod
    def of(cls, loss: Loss) -> Consequences:
        """Log and anchor vouch for ledger and state; where both are lost nobody does."""
        faults = {file.name: file.fault for file in loss.files}
        secrets = tuple(name for name in faults if name.endswith(".key"))
        noise = "disclosure.key" in secrets
        unvouched = loss.restored or {"audit.jsonl", "anchor"} <= set(faults)
        return cls(
            secrets=secrets,
            log="audit.jsonl" in faults,
            ledger=noise or faults.get("ledger.sqlite") in ("missing", "damaged"),
            state=faults.get("state.sqlite") in ("missing", "damaged"),
            spent=noise or "ledger.sqlite" in faults or unvouched,
            withdrawn="state.sqlite" in faults or unvouched,
        )

    def told(self) -> tuple[str, ...]:
        """In sentences, for the person who declares it."""
        said = {
            f"Made anew, so that noise or pseudonyms are others: {', '.join(self.secrets)}.": self.secrets,
            "The audit log begins anew; what is left of the old one is kept beside it.": self.log,
            "The whole budget of counts is taken as spent; it comes back after the policy's period.": self.spent,
            "What was paid and answered before is forgotten.": self.ledger,
            "No approval holds any more, and no run goes on: what is still to run is approved anew.": self.withdrawn,
            "Requests that were put before this Trust are forgotten; researchers send them again.": self.state,
        }
        return (*(sentence for sentence, holds in said.items() if holds), "The anchor is made anew.")


def losses(enclave: EnclaveDirectory) -> tuple[LostFile, ...]:
    """What a declaration of now has to name; nothing where all is well.

    Raises FlipError for what is no loss and can be mended: a file that others can read, a store of a newer version, one
    that can't be looked at because the disk is full.
    """
    found = []
    for problem in inspect(enclave, enclave.load_node_key()).problems:
        if problem.fault in _NO_LOSS:
            raise problem.error()
        name = "anchor" if problem.file == enclave.anchor else problem.file.name
        found.append(LostFile(name=name, fault=problem.fault))
    return tuple(found)


def declaration(enclave: EnclaveDirectory, *, restored: bool) -> Loss:
    """What a data controller signs. Raises FlipError ``nothing-lost``, and as ``losses``."""
    files = losses(enclave)
    if not files and not restored:
        raise FlipError(
            "nothing-lost",
            "Nothing is missing, damaged or older than what was written last.",
            remedy="Where the whole enclave was put back from a backup, which nothing here can tell, say --restored.",
        )
    trust = enclave.load_node_key().key_id
    return Loss(trust=trust, files=files, restored=restored, declared=datetime.now(UTC))


def recover(enclave: EnclaveDirectory, sealed: bytes | None = None) -> Consequences:
    """Carry out what a data controller has declared and sealed; or, without it, go on with what was begun.

    No agent may run. Killed at any moment, it goes on when it is called again. A declaration is carried out once, and
    of what is lost now. Raises FlipError ``agent-running``, ``no-recovery``, ``wrong-trust``, ``declared-before``,
    ``loss-changed``, ``disk-full``, and as ``unseal``.
    """
    key = enclave.load_node_key()
    with sole_user(enclave):
        begun = sealed is None
        if sealed is None:
            if not enclave.recovery.exists():
                raise FlipError("no-recovery", f"No recovery was begun in {enclave.directory}.")
            sealed = enclave.recovery.read_bytes()
        trusted = {controller.key_id: controller for controller in enclave.controllers()}
        keys = {key_id: controller.public_key for key_id, controller in trusted.items()}
        opened = unseal(sealed, LOSS, keys, "The declaration")
        loss = opened.parse(Loss, "The declaration")
        if loss.trust != key.key_id:
            raise FlipError("wrong-trust", "The declaration was signed for another Trust's key.", status=403)
        _refuse_again(enclave, sealed)
        if not begun:
            if losses(enclave) != loss.files:
                raise FlipError(
                    "loss-changed", "What is lost is not what was declared.", remedy="Declare it anew.", status=409
                )
            _begin(enclave, sealed)
        consequences = Consequences.of(loss)
        _Recovery(enclave, key, loss, consequences).carry_out(trusted[opened.signer].name, sealed)
        enclave.recovery.unlink()
        sync(enclave.directory)
    return consequences


def _refuse_again(enclave: EnclaveDirectory, sealed: bytes) -> None:
    """Whoever puts an old declaration back may not have it carried out again: what it takes as spent was spent then.

    Only where it is the last that the audit log has, it was killed before it ended, and nothing was paid since.
    """
    told = sealed.decode()
    for log in enclave.directory.glob("audit.jsonl*"):
        entries = [details.get("declaration") for _, details in _entries(log)]
        while log == enclave.audit and entries and entries[-1] == told:
            del entries[-1]
        if told in entries:
            raise FlipError(
                "declared-before",
                f"This declaration was carried out before: {log} has it.",
                remedy=f"Remove {enclave.recovery}, if it is there, and see what `flip enclave doctor` says.",
                status=409,
            )


def _begin(enclave: EnclaveDirectory, sealed: bytes) -> None:
    try:
        write(enclave.recovery, sealed, mode=0o600)
    except OSError as error:
        if is_full(error):
            raise disk_full("this Trust's") from None
        raise


class _Recovery:
    """Every step may be taken twice."""

    def __init__(self, enclave: EnclaveDirectory, key: SigningKey, loss: Loss, consequences: Consequences) -> None:
        self._enclave, self._key, self._loss, self._all = enclave, key, loss, consequences

    def carry_out(self, controller: str, sealed: bytes) -> None:
        for name in self._all.secrets:
            self._put_aside(self._enclave.keys / name)
            make_secret(self._enclave.keys / name)
        make_secret(self._enclave.disclosure)
        for membership in self._enclave.memberships.glob("*.dsse"):
            make_secret(self._enclave.study_file(membership.stem))
        if self._all.log:
            self._put_aside(self._enclave.audit)
        self._mend_ledger()
        self._mend_state()
        store, ledger = Store(self._enclave.state), Ledger(self._enclave.ledger)
        anchors = Anchors(self._enclave.anchor, self._key, ledger, self._enclave.secrets())
        audit = AuditLog(self._enclave.audit, self._key, store.anchor, witness=anchors.hold)
        audit.append(
            "loss-declared",
            controller=controller,
            files=[file.model_dump(mode="json") for file in self._loss.files],
            restored=self._loss.restored,
            spent=self._all.spent,
            withdrawn=self._all.withdrawn,
            declaration=sealed.decode(),
            paid=ledger.ever()[1],
        )
        Stores(self._enclave, store, ledger, audit, anchors).close()

    def _mend_ledger(self) -> None:
        path, policy = self._enclave.ledger, self._enclave.policy().counts

        def fill(ledger: Ledger) -> None:
            if self._all.spent:
                ledger.spend_all(policy, self._loss.digest())

        self._mend(path, Ledger, fill, anew=self._all.ledger)

    def _mend_state(self) -> None:
        started = dict(_started(self._enclave.directory)) if self._all.withdrawn else {}

        def fill(store: Store) -> None:
            with store.together():
                if self._all.log:
                    store.anchor.clear()
                if self._all.withdrawn:
                    store.approvals.withdraw_all()
                    for stored in store.runs.all():
                        store.runs.advance(stored.run, "stopped", code="state-lost", reason=_RUN_LOST)
                for run, bundle in started.items():
                    store.runs.add_lost(run, bundle=bundle, reason=_RUN_LOST)

        self._mend(self._enclave.state, Store, fill, anew=self._all.state)

    def _mend(self, path: Path, kind: type[Kind], fill: Callable[[Kind], None], *, anew: bool) -> None:
        """Fill the store that is there; or one that takes its place whole, where it is to be made anew."""
        if not anew and path.exists():
            with closing(kind(path)) as store:
                fill(store)
            return
        partial = path.with_name(path.name + PARTIAL)
        for left in path.parent.glob(f"{partial.name}*"):
            left.unlink()
        with closing(kind(partial)) as store:
            fill(store)
        self._put_aside(path)
        publish(partial, path)

    def _put_aside(self, path: Path) -> None:
        """Keep what there is beside its place; what an earlier try has put there already stays."""
        aside = path.with_name(f"{path.name}.lost-{self._loss.declared:%Y%m%dT%H%M%SZ}")
        first = not aside.exists()
        for part in ("", "-wal", "-shm"):
            there = path.with_name(path.name + part)
            if there.exists():
                there.replace(aside.with_name(aside.name + part)) if first else there.unlink()


def _started(directory: Path) -> Iterator[tuple[str, str]]:
    """Runs that any of the audit logs here, whole or not, has seen start, and the bundle of each."""
    for log in sorted(directory.glob("audit.jsonl*")):
        for kind, details in _entries(log):
            if kind == "run-started" and {"run", "bundle"} <= details.keys():
                yield str(details["run"]), str(details["bundle"])


def _entries(log: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kind and details of each line that can be read, of a log that need not be whole."""
    for line in log.read_bytes().splitlines() if log.exists() else ():
        try:
            entry = json.loads(line)
            kind, details = entry["kind"], entry["details"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(details, dict):
            yield str(kind), details
