"""Trusts over HTTP: an agent's card, and what the members of a study see of its Trusts."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import Response

from flipnb.contracts import envelope
from flipnb.contracts.problem import FlipError
from flipnb.contracts.trust_card import TrustCard, TrustPresence, TrustPresences
from flipnb.hub.authorisation import authorise
from flipnb.hub.runs import moment
from flipnb.hub.service import Here, Signed, answer, nothing
from flipnb.hub.store.tables import JoinRow
from flipnb.hub.waits import EVENTS

_CARD_BYTES = 256 << 10

routes = APIRouter(prefix="/v1")


@routes.put("/card")
async def put_card(hub: Here, signed: Signed) -> Response:
    """An agent says what its Trust has and allows; the last word counts."""
    with signed.transaction() as session:
        authorise(session, signed.caller, ("trust",))
    if len(signed.body) > _CARD_BYTES:
        raise FlipError("body-too-large", f"A card may have at most {_CARD_BYTES} bytes.", status=413)
    trust = signed.caller.key_id
    opened = envelope.unseal(signed.body, envelope.CARD, {trust: hub.ring.public_keys[trust]}, "The card")
    card = opened.parse(TrustCard, "The card")
    if card.trust != trust:
        raise FlipError("wrong-trust", "The card is another Trust's.", status=403)
    hub.presence.take_card(card, signed.body.decode())
    hub.presence.hear(trust)
    hub.waits.ring(EVENTS)
    return nothing()


@routes.get("/studies/{study}/trusts")
async def list_trusts(hub: Here, signed: Signed, study: str) -> Response:
    """Each Trust of the roster: whether it joined, whether its agent is there, and its card."""
    with signed.transaction() as session:
        _, roster = authorise(session, signed.caller, ("researcher", "trust"), study=study).in_study
        joined = set(session.scalars(select(JoinRow.trust).where(JoinRow.study == study)))
    presences = []
    for trust in roster.trusts:
        heard = hub.presence.heard(trust.key_id)
        presences.append(
            TrustPresence(
                trust=trust.key_id,
                joined=trust.key_id in joined,
                online=hub.presence.online(trust.key_id),
                heard=moment(heard) if heard is not None else None,
                card=hub.presence.card(trust.key_id),
            )
        )
    return answer(TrustPresences(trusts=tuple(presences)))
