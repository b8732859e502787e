"""Why a run is as it is, for people: Trusts by the titles that screens call them by, states in the screens' words."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from flipnb.contracts.run import TRUST_WORDS, Failure
from flipnb.hub.authorisation import roster_of
from flipnb.hub.store.tables import PartRow, RunRow, StudyRow


def title_of(session: Session, run: RunRow, part: PartRow) -> str:
    """A Trust's title in the roster of the run's study; its name where that roster has it no more."""
    trust = roster_of(session.get_one(StudyRow, run.study)).trust_named(part.trust)
    return trust.title if trust is not None else part.name


def why_of(part: PartRow) -> str:
    """A part's state and the reason for it: ``waits for a slot (All of its slots are in use.)``."""
    word = TRUST_WORDS[part.state]
    if part.failure:
        return f"{word} with {Failure.model_validate_json(part.failure).describe()}"
    return f"{word} ({part.reason})" if part.reason else word


def named(session: Session, run: RunRow, parts: Iterable[PartRow]) -> str:
    """Each part's Trust and how it is."""
    return "; ".join(f"{title_of(session, run, part)}: {why_of(part)}" for part in parts)
