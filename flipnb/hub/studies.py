"""Studies over HTTP: rosters, joins, bundles."""

from __future__ import annotations

import json
import time
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from flipnb.contracts import envelope
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Join, Roster
from flipnb.hub import bundles
from flipnb.hub.authentication import SignedRequest
from flipnb.hub.authorisation import authorise, not_found, studies_of
from flipnb.hub.service import Here, Signed, answer, json_answer, nothing, read, up_to
from flipnb.hub.store.tables import BundleRow, JoinRow, MemberRow, StudyRow
from flipnb.hub.waits import EVENTS, ring

_ROSTER_BYTES = 2 << 20
"""A roster names at most 1,000 researchers and 64 Trusts."""

_BUNDLE_BYTES = 12 << 20
"""A document of 8 MiB, in base64."""

routes = APIRouter(prefix="/v1")


@routes.post("/studies")
async def create_study(hub: Here, signed: Annotated[SignedRequest, up_to(_ROSTER_BYTES)]) -> Response:
    """Keep a roster that one of its own researchers sealed and sends; a study's first roster stays its only one."""
    with signed.looking() as session:
        authorise(session, signed.caller, ("researcher",))
    claimed, opened = await hub.apart(_read_roster, signed.body)
    with signed.transaction() as session:
        authorise(session, signed.caller, ("researcher",))
        if signed.caller.key_id not in claimed.researcher_keys():
            raise FlipError("not-a-researcher", "A roster is sent by one of its own researchers.", status=403)
        known = session.get(StudyRow, claimed.study)
        if known is not None and known.roster != opened.digest:
            raise FlipError(
                "study-exists",
                f"There is a study {claimed.study} with another roster.",
                remedy="Choose another name; a roster does not change.",
                status=409,
            )
        if known is None:
            _keep(session, claimed, opened.digest, signed.body)
    answer = json.dumps({"study": claimed.study, "roster": opened.digest})
    return json_answer(answer, 200 if known is not None else 201)


def _read_roster(sealed: bytes) -> tuple[Roster, envelope.Opened]:
    claimed = parse(Roster, envelope.peek(sealed, "The roster"), "The roster")
    return claimed, envelope.unseal(sealed, envelope.ROSTER, claimed.researcher_keys(), "The roster")


def _keep(session: Session, roster: Roster, digest: str, sealed: bytes) -> None:
    session.add(
        StudyRow(name=roster.study, roster=digest, envelope=sealed, created=time.time(), purpose=roster.purpose)
    )
    members = [
        {"key_id": key, "role": role, "study": roster.study}
        for role, keys in (("researcher", roster.researcher_keys()), ("trust", roster.trust_keys()))
        for key in keys
    ]
    session.execute(insert(MemberRow), members)


@routes.get("/studies")
async def list_studies(signed: Signed) -> Response:
    """The studies of which the caller is a member."""
    with signed.transaction() as session:
        authorise(session, signed.caller, ("researcher", "trust"))
        found = [
            {
                "study": name,
                "purpose": purpose,
                "roster": roster,
                "joined": sorted(session.scalars(select(JoinRow.trust).where(JoinRow.study == name))),
            }
            for name, purpose, roster in session.execute(
                select(StudyRow.name, StudyRow.purpose, StudyRow.roster)
                .where(StudyRow.name.in_(studies_of(signed.caller)))
                .order_by(StudyRow.name)
            ).tuples()
        ]
    return json_answer(json.dumps(found))


@routes.get("/studies/{study}/roster")
async def get_roster(signed: Signed, study: str) -> Response:
    """The study's sealed roster, byte for byte as it came."""
    with signed.transaction() as session:
        row, _ = authorise(session, signed.caller, ("researcher", "trust"), study=study).in_study
    return json_answer(row.envelope)


@routes.post("/studies/{study}/joins")
async def join_study(signed: Signed, study: str) -> Response:
    """A Trust says that its data controller signed a membership of this very roster."""
    with signed.looking() as session:
        authorise(session, signed.caller, ("trust",), study=study)
    join = read(Join, signed.body, "The join")
    with signed.transaction() as session:
        row, _ = authorise(session, signed.caller, ("trust",), study=study).in_study
        if join.study != study or join.roster != row.roster:
            raise FlipError(
                "wrong-membership", f"The join is for another roster than that of {study} here.", status=409
            )
        if session.get(JoinRow, (study, signed.caller.key_id)) is None:
            session.add(JoinRow(study=study, trust=signed.caller.key_id, joined=time.time()))
            ring(session, EVENTS)
    return nothing()


@routes.post("/studies/{study}/bundles")
async def post_bundle(hub: Here, signed: Annotated[SignedRequest, up_to(_BUNDLE_BYTES)], study: str) -> Response:
    """Receive a sealed bundle: 201 with its digest, 200 where it came before."""
    with signed.looking() as session:
        row, roster = authorise(session, signed.caller, ("researcher",), study=study).in_study
    received = await hub.apart(bundles.verify, study, row.roster, roster, signed.body)
    with signed.transaction() as session:
        authorise(session, signed.caller, ("researcher",), study=study)
        new = bundles.keep(session, study, received)
    return json_answer(json.dumps({"bundle": received.digest}), 201 if new else 200)


@routes.get("/studies/{study}/bundles")
async def get_known_bundles(signed: Signed, study: str, content: str) -> Response:
    """The caller's own bundles with this content, the newest first, and what Trusts have left of approvals of them."""
    with signed.transaction() as session:
        authorise(session, signed.caller, ("researcher",), study=study)
        found = bundles.known(session, study, content, signed.caller.key_id)
    return answer(found)


@routes.get("/bundles/{digest}")
async def get_bundle(signed: Signed, digest: str) -> Response:
    """The envelope, as it came."""
    with signed.transaction() as session:
        bundle = session.get(BundleRow, digest)
        if bundle is None:
            raise not_found("The bundle")
        try:
            authorise(session, signed.caller, ("researcher", "trust"), study=bundle.study)
        except FlipError:
            raise not_found("The bundle") from None
    return json_answer(bundle.envelope)
