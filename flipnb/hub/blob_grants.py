"""For whom a blob was put, and so who may read it."""

from __future__ import annotations

import time

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from flipnb.contracts.problem import FlipError
from flipnb.hub.authentication import Caller
from flipnb.hub.authorisation import authorise
from flipnb.hub.store.tables import BlobRow


def is_there(session: Session, sha256: str, *, study: str, run: str | None = None) -> bool:
    """Whether a blob was put for a study or, where ``run`` is given, for that run by its coordinator."""
    reach = "study" if run is None else "run"
    found = select(BlobRow.sha256).where(
        BlobRow.sha256 == sha256, BlobRow.study == study, BlobRow.reach == reach, BlobRow.run == (run or "")
    )
    return session.execute(found.limit(1)).first() is not None


def keep_grant(session: Session, sha256: str, reach: str, *, study: str, run: str, owner: str, size: int) -> bool:
    """Note for whom a blob is there; True where that is new."""
    if session.get(BlobRow, (sha256, reach, study, run, owner)) is not None:
        return False
    session.add(BlobRow(sha256=sha256, reach=reach, study=study, run=run, owner=owner, size=size, created=time.time()))
    return True


def forget_updates(session: Session, run: str) -> list[str]:
    """Take back the grants of a run's updates, which are in the sum now; the blobs that nobody else has.

    Called between two rounds, so that no update of the next one is there yet.
    """
    own = select(BlobRow.sha256).where(BlobRow.run == run, BlobRow.reach == "update")
    spent = set(session.scalars(own))
    session.execute(delete(BlobRow).where(BlobRow.run == run, BlobRow.reach == "update"))
    return sorted(spent - set(session.scalars(select(BlobRow.sha256).where(BlobRow.sha256.in_(spent)))))


def may_read(session: Session, caller: Caller, sha256: str) -> bool:
    """Whether ``caller`` may read a blob; False too where there is none."""
    blobs = session.scalars(select(BlobRow).where(BlobRow.sha256 == sha256)).all()
    return any(_may_read(session, caller, blob) for blob in blobs)


def _may_read(session: Session, caller: Caller, blob: BlobRow) -> bool:
    """A Trust's update is for the run's coordinator alone, which reads it from the hub's disk: nobody else gets it."""
    if blob.owner == caller.key_id:
        return True
    try:
        if blob.reach == "study":
            authorise(session, caller, ("researcher", "trust"), study=blob.study)
        elif blob.reach == "run":
            authorise(session, caller, ("researcher", "trust"), run=blob.run)
        else:
            return False
    except FlipError:
        return False
    return True
