"""The Trusts of a study: whether they are there, and what each says of itself in words that its key signed."""

from __future__ import annotations

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.document import Document, Moment, invalid
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, Trust
from flipnb.contracts.text import Line, Name
from flipnb.contracts.trust_card import TrustCard, TrustPresence, TrustPresences
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient


class StudyTrust(Document):
    """A Trust of the roster that this researcher keeps. ``card`` is verified with its key; None until it sends one."""

    key: KeyId
    name: Name
    title: Line
    joined: bool
    online: bool
    heard: Moment | None
    card: TrustCard | None


def study_trusts(home: Home, roster: Roster) -> tuple[StudyTrust, ...]:
    """The roster's Trusts, each with what the hub last heard of it. Raises FlipError ``invalid-document``."""
    with HubClient.of(home) as hub:
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
