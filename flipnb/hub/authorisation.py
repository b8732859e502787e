"""Who may touch what: the one function that every route asks.

What belongs to a study or a run in which the caller has no part does not exist for them (404), so that nobody learns
of it. Within a study, a part that is not theirs to play is named (403).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from flipnb.contracts import envelope
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster
from flipnb.hub.authentication import Caller, Role
from flipnb.hub.store.tables import MemberRow, PartRow, RunRow, StudyRow


@dataclass(frozen=True)
class Standing:
    """What the caller was admitted to."""

    study: StudyRow | None = None
    roster: Roster | None = None
    run: RunRow | None = None

    @property
    def in_study(self) -> tuple[StudyRow, Roster]:
        """The study and its roster; RuntimeError where a route did not ask for one."""
        if self.study is None or self.roster is None:
            raise RuntimeError("asked for a study without one")
        return self.study, self.roster

    @property
    def in_run(self) -> RunRow:
        """The run; RuntimeError where a route did not ask for one."""
        if self.run is None:
            raise RuntimeError("asked for a run without one")
        return self.run


def not_found(what: str = "This") -> FlipError:
    """The FlipError ``not-found`` (404) for what is not there and for what the caller has no part in, alike."""
    return FlipError("not-found", f"{what} is not here, or you have no part in it.", status=404)


def authorise(
    session: Session, caller: Caller, roles: Iterable[Role], *, study: str | None = None, run: str | None = None
) -> Standing:
    """Admit ``caller`` to a study, to a run, or (with neither) to what belongs to their role alone.

    Raises FlipError ``not-found`` (404) where the caller has no part in it or it does not exist, ``wrong-role``
    (403) where they have a part, but not one of ``roles``.
    """
    permitted = caller.role in tuple(roles)
    if run is not None:
        run_row = session.get(RunRow, run)
        if run_row is None or (study is not None and run_row.study != study):
            raise not_found("The run")
        if caller.role == "coordinator":
            allowed = caller.run == run
        elif caller.role == "trust":
            allowed = session.get(PartRow, (run, caller.key_id)) is not None
        else:
            allowed = _is_member(session, caller, run_row.study)
        if not allowed:
            raise not_found("The run")
        if caller.role == "coordinator":
            standing = Standing(run=run_row)  # of the study it has no need
        else:
            study_row = session.get_one(StudyRow, run_row.study)
            standing = Standing(study_row, roster_of(study_row), run_row)
    elif study is not None:
        found = session.get(StudyRow, study)
        if found is None or not _is_member(session, caller, study):
            raise not_found("The study")
        standing = Standing(found, roster_of(found))
    else:
        if not permitted:
            raise not_found()
        standing = Standing()
    if not permitted:
        raise FlipError("wrong-role", f"A {caller.role} may not do this.", status=403)
    return standing


def _is_member(session: Session, caller: Caller, study: str) -> bool:
    return session.get(MemberRow, (caller.key_id, caller.role, study)) is not None


def studies_of(caller: Caller) -> Select[str]:
    """The names of the studies whose rosters name the caller in their role; no roster is read for it."""
    return select(MemberRow.study).where(MemberRow.key_id == caller.key_id, MemberRow.role == caller.role)


def roster_of(study: StudyRow) -> Roster:
    """A study's roster, parsed; the last 256 are kept."""
    return _roster(study.roster, study.envelope)


@lru_cache(maxsize=256)
def _roster(digest: str, sealed: bytes) -> Roster:
    return parse(Roster, envelope.peek(sealed, "The roster"), f"The roster {digest[:12]}")
