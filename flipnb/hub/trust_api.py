"""Trusts over HTTP: an agent's card, and what the members of a study see of its Trusts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import Response

from flipnb.contracts import envelope
from flipnb.contracts.problem import FlipError
from flipnb.contracts.trust_card import TrustCard, TrustPresence, TrustPresences
from flipnb.hub.authentication import SignedRequest
from flipnb.hub.authorisation import authorise
from flipnb.hub.runs import moment
from flipnb.hub.service import Here, Signed, answer, nothing, up_to
from flipnb.hub.store.tables import JoinRow
from flipnb.hub.waits import EVENTS

_CARD_BYTES = 256 << 10

routes = APIRouter(prefix="/v1")


@routes.put("/card")
async def put_card(hub: Here, signed: Annotated[SignedRequest, up_to(_CARD_BYTES)]) -> Response:
    """An agent says what its Trust has and allows; the last word counts."""
    with signed.transaction() as session:
        authorise(session, signed.caller, ("trust",))
    trust = signed.caller.key_id
    card = await hub.apart(_read_card, signed.body, trust, hub.ring.public_keys[trust])
    if card.trust != trust:
        raise FlipError("wrong-trust", "The card is another Trust's.", status=403)
    hub.presence.take_card(card, signed.body.decode())
    hub.presence.hear(trust)
    hub.waits.ring(EVENTS)
    return nothing()


def _read_card(sealed: bytes, trust: str, public_key: str) -> TrustCard:
    return envelope.unseal(sealed, envelope.CARD, {trust: public_key}, "The card").parse(TrustCard, "The card")


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
