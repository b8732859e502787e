"""Bundles as the hub keeps them: envelopes that it relays and of which it vouches for nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse
from flipnb.contracts.known_bundle import KnownBundle, KnownBundles
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster
from flipnb.federation.installed import require_installed
from flipnb.hub.store.tables import AllowanceRow, BundleRow, PartRow, RunRow

_MOST_KNOWN = 5


@dataclass(frozen=True)
class Received:
    """A bundle that a researcher of its study signed; ``sealed`` is its envelope, ``content`` its
    ``content_digest``."""

    digest: str
    content: str
    signer: str
    sealed: bytes


@dataclass(frozen=True)
class Terms:
    """What clock and line of runs ask of a bundle again and again: so little that those of every bundle are kept."""

    minimum_trusts: int
    expires: datetime
    run_seconds: int

    @classmethod
    def of(cls, bundle: Bundle) -> Terms:
        """Those of a bundle, whatever its runs choose."""
        return cls(bundle.minimum_trusts, bundle.expires, bundle.plan.run_seconds)


_terms: dict[str, Terms] = {}
"""By a bundle's digest, which names its content in every hub."""


def verify(study: str, roster_digest: str, roster: Roster, sealed: bytes) -> Received:
    """A bundle for a study under its roster. It takes as long as to read it: not in an event loop.

    Raises FlipError ``unknown-key``, ``bad-signature`` (403), ``wrong-study``, ``wrong-membership``,
    ``unknown-trust``, ``unknown-strategy`` (422), and what is wrong with the document.
    """
    opened = envelope.unseal(sealed, envelope.BUNDLE, roster.researcher_keys(), "The bundle")
    bundle = opened.parse(Bundle, "The bundle")
    if bundle.study != study:
        raise FlipError("wrong-study", f"The bundle is of the study {bundle.study}, not {study}.", status=422)
    if bundle.membership != roster_digest:
        raise FlipError(
            "wrong-membership",
            f"The bundle names the roster {bundle.membership[:16]}…; that of {study} is {roster_digest[:16]}….",
            remedy="Make the bundle again with the study's roster.",
            status=422,
        )
    strangers = set(bundle.trusts) - set(roster.trust_keys())
    if strangers:
        raise FlipError(
            "unknown-trust", f"The bundle names the key {min(strangers)[:16]}…, no Trust of {study}.", status=422
        )
    require_installed(bundle.plan.strategy)
    _parsed(opened.digest, sealed)  # for its runs, which look it up within transactions
    _terms[opened.digest] = Terms.of(bundle)
    return Received(opened.digest, bundle.content_digest, opened.signer, sealed)


def keep(session: Session, study: str, received: Received) -> bool:
    """Keep a bundle's envelope; whether it is new."""
    if session.get(BundleRow, received.digest) is not None:
        return False
    session.add(
        BundleRow(
            digest=received.digest,
            content=received.content,
            study=study,
            envelope=received.sealed,
            signer=received.signer,
            created=time.time(),
        )
    )
    return True


def known(session: Session, study: str, content: str, signer: str) -> KnownBundles:
    """The last bundles of a study with this content that ``signer`` sealed, and what is left of their approvals.

    One that a Trust has declined is not among them: who sends it again wants to ask that Trust again.
    """
    declined = select(RunRow.bundle).join(PartRow, PartRow.run == RunRow.id)
    declined = declined.where(RunRow.study == study, PartRow.state == "declined")
    rows = session.scalars(
        select(BundleRow)
        .where(BundleRow.content == content, BundleRow.study == study, BundleRow.signer == signer)
        .where(BundleRow.digest.not_in(declined))
        .order_by(BundleRow.created.desc())
        .limit(_MOST_KNOWN)
    ).all()
    return KnownBundles(
        bundles=tuple(
            KnownBundle(
                bundle=row.digest,
                expires=_parsed(row.digest, row.envelope).expires,
                executions_left=executions_left(session, row.digest),
            )
            for row in rows
        )
    )


def executions_left(session: Session, bundle: str) -> dict[str, int]:
    """By Trust, what each said last; who said nothing is not there."""
    rows = session.scalars(select(AllowanceRow).where(AllowanceRow.bundle == bundle))
    return {row.trust: row.executions_left for row in rows}


def all_executions_left(session: Session, bundles: Iterable[str]) -> dict[str, dict[str, int]]:
    """As ``executions_left``, by bundle."""
    found: dict[str, dict[str, int]] = {bundle: {} for bundle in bundles}
    for row in session.scalars(select(AllowanceRow).where(AllowanceRow.bundle.in_(found))):
        found[row.bundle][row.trust] = row.executions_left
    return found


def keep_executions_left(session: Session, bundle: str, trust: str, executions: int) -> None:
    """What a Trust says takes the place of what it said before."""
    session.merge(AllowanceRow(bundle=bundle, trust=trust, executions_left=executions))


def bundle_of(session: Session, digest: str) -> Bundle:
    """The parsed bundle of a run; its envelope was verified when it was received."""
    return _parsed(digest, session.get_one(BundleRow, digest).envelope)


def terms_of(session: Session, digest: str) -> Terms:
    """The terms of a run's bundle, which is parsed for them once, however many go on."""
    if digest not in _terms:
        _terms[digest] = Terms.of(bundle_of(session, digest))
    return _terms[digest]


@lru_cache(maxsize=64)
def _parsed(digest: str, sealed: bytes) -> Bundle:
    return parse(Bundle, envelope.peek(sealed, "The bundle"), f"The bundle {digest[:12]}")
