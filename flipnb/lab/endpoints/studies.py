"""The researcher's studies and their Trusts."""

from __future__ import annotations

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.document import Digest, Document, Moment, invalid
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, Trust
from flipnb.contracts.text import Line, Name
from flipnb.contracts.trust_card import TrustCard, TrustPresence, TrustPresences
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench import studies
from flipnb.workbench.hub_client import HubClient


class Study(Document):
    """``kept``: the roster is here, so that bundles can be made and counts be verified; else the hub alone knows it."""

    study: Name
    purpose: Line
    roster: Digest
    kept: bool


class StudyList(Document):
    """The studies of which the hub lets this researcher know."""

    studies: tuple[Study, ...]


class StudyTrust(Document):
    """A Trust of the roster that this researcher keeps. ``card`` is verified with its key; None until it sends one."""

    key: KeyId
    name: Name
    title: Line
    joined: bool
    online: bool
    heard: Moment | None
    card: TrustCard | None


class StudyTrusts(Document):
    """A study's Trusts, in the roster's order."""

    trusts: tuple[StudyTrust, ...]


@endpoint("GET", "studies", "studies")
def list_studies(bench: Bench) -> StudyList:
    """The studies in which this researcher has a part, by name."""
    found = studies.list_studies(bench.home)
    return StudyList(
        studies=tuple(
            Study(
                study=study["study"],
                purpose=study["purpose"],
                roster=study["roster"],
                kept=_kept(bench, study["study"], study["roster"]),
            )
            for study in found
        )
    )


@endpoint("GET", "studies/{study}/trusts", "studies")
def list_trusts(bench: Bench, study: Name) -> StudyTrusts:
    """The Trusts of a study: whether they are there, and what they say of themselves."""
    return StudyTrusts(trusts=study_trusts(bench, studies.read_roster(bench.home, study)))


def study_trusts(bench: Bench, roster: Roster) -> tuple[StudyTrust, ...]:
    """The roster's Trusts, each with what the hub last heard of it. Raises FlipError ``invalid-document``."""
    with HubClient.of(bench.home) as hub:
        answer = hub.get(f"/v1/studies/{roster.study}/trusts")
    try:
        presences = TrustPresences.model_validate_json(answer).trusts
    except ValidationError as error:
        raise invalid(error, "The hub's answer") from None
    known = {presence.trust: presence for presence in presences}
    return tuple(_trust(trust, known.get(trust.key_id)) for trust in roster.trusts)


def _trust(trust: Trust, presence: TrustPresence | None) -> StudyTrust:
    return StudyTrust(
        key=trust.key_id,
        name=trust.name,
        title=trust.title,
        joined=presence is not None and presence.joined,
        online=presence is not None and presence.online,
        heard=presence.heard if presence is not None else None,
        card=_card(trust, presence.card) if presence is not None and presence.card is not None else None,
    )


def _card(trust: Trust, sealed: str) -> TrustCard | None:
    """The card in the Trust's own words; what another key signed is none."""
    what = f"The card of {trust.title}"
    try:
        opened = envelope.unseal(sealed.encode(), envelope.CARD, {trust.key_id: trust.public_key}, what)
        card = opened.parse(TrustCard, what)
    except FlipError:
        return None
    return card if card.trust == trust.key_id else None


def _kept(bench: Bench, study: str, roster: str) -> bool:
    try:
        return studies.read_roster(bench.home, study).digest() == roster
    except FlipError:
        return False
