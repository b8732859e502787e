"""The Trusts of a study as they say they are: presence by the hub, cards by their own signatures."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.document import Document, Moment, invalid
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.study import Roster, Trust
from flipnb.contracts.text import Line, Name
from flipnb.contracts.trust_card import BuiltEnvironment, TrustCard, TrustPresence, TrustPresences
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.studies import read_roster


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
        return _trusts(hub, roster)


def packages_of(home: Home, hub: HubClient, record: RunRecord) -> dict[str, str]:
    """Distribution → version of the environment that a run names, as the cards that have it say alike; else nothing."""
    try:
        found = _trusts(hub, read_roster(home, record.study))
    except FlipError:
        return {}
    return said_alike(found, record.environment.lock)


def said_alike(trusts: Iterable[StudyTrust], lock: str) -> dict[str, str]:
    """Distribution → version of the environment with this lock's digest, in all cards that say its versions.

    Every Trust's has the same lock; what it names is each Trust's word. People install what is said here: where one
    Trust says otherwise than another, neither is believed.
    """
    cards = [environment_of(trust.card, lock) for trust in trusts]
    said = [built.releases.items() for built in cards if built is not None and built.releases]
    return dict(sorted(set.intersection(*map(set, said)))) if said else {}


def environment_of(card: TrustCard | None, lock: str) -> BuiltEnvironment | None:
    """The card's environment with this lock's digest; None where the Trust has not built it."""
    return next((built for built in (card.environments if card else ()) if built.lock == lock), None)


def _trusts(hub: HubClient, roster: Roster) -> tuple[StudyTrust, ...]:
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
