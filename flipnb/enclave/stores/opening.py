"""Making an enclave's stores, once, and opening them for the one agent that works with them."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.anchors import Anchors
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory, make_secret
from flipnb.enclave.stores.inspection import inspect
from flipnb.enclave.stores.ledger import Ledger
from flipnb.enclave.stores.store import Store

_LOG = logging.getLogger("flipnb.enclave.stores")


@contextlib.contextmanager
def sole_user(directory: EnclaveDirectory) -> Iterator[None]:
    """One agent per enclave: a lock that Linux gives back however it ends.

    Raises FlipError ``agent-running``, ``disk-full``.
    """
    handle = os.open(directory.directory / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb", buffering=0):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlipError("agent-running", f"An agent runs in {directory.directory} already.") from None
        os.ftruncate(handle, 0)
        try:
            os.write(handle, f"{os.getpid()}\n".encode())
        except OSError as error:
            if is_full(error):
                raise disk_full("this Trust's") from None
            raise
        yield


@dataclass(frozen=True)
class Stores:
    """What an agent writes to: state, ledger, audit log, and the anchors that keep them in step."""

    directory: EnclaveDirectory
    store: Store
    ledger: Ledger
    audit: AuditLog
    anchors: Anchors

    @classmethod
    def open(cls, directory: EnclaveDirectory, key: SigningKey) -> Stores:
        """For the ``sole_user`` alone; ``key`` is the node's. What is not there is not made.

        An enclave of before there were anchors is taken over, and the audit log says so. Raises FlipError
        ``file-missing``, ``file-damaged``, ``file-older``, ``file-newer``, ``file-open-to-others``,
        ``file-recovery-unfinished``, ``audit-broken``, and as ``Database``.
        """
        found = inspect(directory, key)
        for problem in found.problems:
            raise problem.error()
        if (behind := found.clock_behind()) is not None:
            _LOG.warning("this machine's clock is %s behind the last entry of the audit log", behind)
        if found.adopt:
            _make_secrets(directory)
        assert found.log is not None
        ledger = Ledger(directory.ledger)
        anchors = Anchors(directory.anchor, key, ledger, directory.secrets())
        if found.adopt:
            anchors.hold(found.log.tree.size, found.log.tree.hexadecimal(), 0)
        store = Store(directory.state)
        audit = AuditLog(directory.audit, key, store.anchor, witness=anchors.hold, found=found.log)
        if not found.log.anchored:
            audit.append("anchored")
        return cls(directory, store, ledger, audit, anchors)

    def join(self, study: str) -> None:
        """Make a study's secret where there is none yet."""
        secret = self.directory.study_file(study)
        make_secret(secret)
        self.anchors.hold_secret(secret)

    def close(self) -> None:
        """Close the files."""
        self.audit.close()
        self.anchors.close()
        self.ledger.close()
        self.store.close()


def make_stores(directory: EnclaveDirectory, key: SigningKey) -> None:
    """Secrets, ledger, state and audit log of a new enclave, in that order; the log's first entry ends it."""
    _make_secrets(directory)
    store, ledger = Store(directory.state), Ledger(directory.ledger)
    anchors = Anchors(directory.anchor, key, ledger, directory.secrets())
    audit = AuditLog(directory.audit, key, store.anchor, witness=anchors.hold)
    audit.append("anchored")
    Stores(directory, store, ledger, audit, anchors).close()


def _make_secrets(directory: EnclaveDirectory) -> None:
    """The secret of counts, and one for each study that was joined."""
    make_secret(directory.disclosure)
    for membership in directory.memberships.glob("*.dsse"):
        make_secret(directory.study_file(membership.stem))
