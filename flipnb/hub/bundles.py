"""Bundles as the hub keeps them: envelopes that it relays and of which it vouches for nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy.orm import Session

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster
from flipnb.federation.installed import require_installed
from flipnb.hub.store.tables import BundleRow


@dataclass(frozen=True)
class Received:
    """A bundle that a researcher of its study signed; ``sealed`` is its envelope."""

    digest: str
    signer: str
    sealed: bytes


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
    return Received(opened.digest, opened.signer, sealed)


def keep(session: Session, study: str, received: Received) -> bool:
    """Keep a bundle's envelope; whether it is new."""
    if session.get(BundleRow, received.digest) is not None:
        return False
    session.add(
        BundleRow(
            digest=received.digest,
            study=study,
            envelope=received.sealed,
            signer=received.signer,
            created=time.time(),
        )
    )
    return True


def bundle_of(session: Session, digest: str) -> Bundle:
    """The parsed bundle of a run; its envelope was verified when it was received."""
    return _parsed(digest, session.get_one(BundleRow, digest).envelope)


@lru_cache(maxsize=64)
def _parsed(digest: str, sealed: bytes) -> Bundle:
    return parse(Bundle, envelope.peek(sealed, "The bundle"), f"The bundle {digest[:12]}")
