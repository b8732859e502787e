"""Answering how many people a cohort has: who asks, sealed replies, and when they leave."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from flipnb.contracts.count import CountAnswer, CountReply, CountRequest, SignedCount
from flipnb.contracts.document import sha256
from flipnb.contracts.envelope import COUNT_REPLY, COUNT_REQUEST, SESSION, Opened, peek, seal, unseal
from flipnb.contracts.keys import SigningKey, key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, SessionCertificate
from flipnb.contracts.task import TaskAnswer
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.counting.pace import Pace
from flipnb.enclave.counting.questions import Question, Questions
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

_LONGEST = timedelta(hours=24)
_CLOCK_TOLERANCE = timedelta(minutes=5)


def verify_count(
    signed: SignedCount, roster: Roster, *, now: datetime | None = None
) -> tuple[CountRequest, Opened, str]:
    """The request, its envelope as opened, and the key id of the researcher whose session asks.

    Raises FlipError: ``unknown-key``, ``bad-signature``, ``wrong-study``, ``wrong-membership``, ``expired``,
    ``too-long``, and those of ``document.parse`` (``unsupported-cohort`` is one of ``invalid-document``).
    """
    now = now or datetime.now(UTC)
    certificate = unseal(signed.certificate.encode(), SESSION, roster.researcher_keys(), "The session certificate")
    session = certificate.parse(SessionCertificate, "The session certificate")
    if session.study != roster.study:
        raise FlipError("wrong-study", f"The session is of the study {session.study}, not {roster.study}.", status=403)
    if not session.not_before - _CLOCK_TOLERANCE <= now < session.expires:
        raise FlipError("expired", "The researcher's session is over.", remedy="Ask again: it makes a new session.")
    trusted = {key_id(session.session_key): session.session_key}
    opened = unseal(signed.request.encode(), COUNT_REQUEST, trusted, "The count request")
    request = opened.parse(CountRequest, "The count request")
    if request.study != roster.study:
        raise FlipError("wrong-study", f"The count is of the study {request.study}, not {roster.study}.", status=403)
    if request.membership != roster.digest():
        raise FlipError(
            "wrong-membership",
            "The count was asked under another membership of the study than the one that this Trust signed.",
            status=403,
        )
    if now >= request.expires:
        raise FlipError("expired", "The count request has expired.", remedy="Ask again.")
    if request.expires > now + _LONGEST:
        raise FlipError("too-long", "A count request is valid for at most 24 hours.")
    return request, opened, certificate.signer


class Counts:
    """Answers count tasks: who asks is verified here, what may be said is the questions' business."""

    def __init__(
        self,
        *,
        key: SigningKey,
        store: Store,
        audit: AuditLog,
        memberships: Memberships,
        questions: Questions,
        pace: Pace,
    ) -> None:
        self._key, self._store, self._audit = key, store, audit
        self._memberships, self._questions, self._pace = memberships, questions, pace
        self._turn = asyncio.Lock()

    async def answer(self, study: str, signed: SignedCount) -> TaskAnswer:
        """The sealed reply; the same request gets the same bytes. Refusals are sealed too, and nothing leaves early."""
        began = self._pace.now()
        async with self._turn:
            answer, seconds = await self._answer(study, signed)
        await self._pace.until_grid(began, seconds)
        return answer

    async def _answer(self, study: str, signed: SignedCount) -> tuple[TaskAnswer, float]:
        """The reply, and the least time that it takes to leave."""
        try:
            request, opened, researcher = verify_count(signed, self._memberships.roster(study))
            stored = self._store.counts.reply(opened.digest)
            if stored is not None:
                return TaskAnswer(envelope=stored.decode()), 0.0
            if self._store.counts.nonce_seen(request.nonce):
                raise FlipError("replayed", "A count request with this nonce was answered before.", status=409)
        except FlipError as error:
            return self._refuse(study, signed, error), 0.0
        seconds = 0.0
        try:
            question = Question(request.cohort, request.people, request.funnel, request.charts)
            answered = await self._questions.answer(study, question)
            seconds = answered.seconds
            reply = CountReply(
                trust=self._key.key_id, request=opened.digest, budget=answered.budget, **_fields(answered.answer)
            )
        except FlipError as error:
            if error.status >= 500:
                raise
            self._audit.append("count-refused", study=study, request=opened.digest, code=error.code)
            budget = self._questions.budget(study)
            reply = CountReply(trust=self._key.key_id, request=opened.digest, budget=budget, problem=error.problem())
        envelope = seal(reply, COUNT_REPLY, self._key)
        self._store.counts.add(opened.digest, request.nonce, request.expires, envelope)
        if reply.problem is None:
            assert reply.budget is not None
            self._audit.append(
                "count-released",
                study=study,
                request=opened.digest,
                researcher=researcher,
                people=reply.people,
                suppressed=reply.suppressed,
                funnel=[step.people for step in reply.funnel],
                charts=[chart.model_dump(mode="json") for chart in reply.charts],
                cost=reply.budget.cost,
                left=reply.budget.left,
                estate_version=reply.estate_version,
            )
        return TaskAnswer(envelope=envelope.decode()), seconds

    def _refuse(self, study: str, signed: SignedCount, error: FlipError) -> TaskAnswer:
        try:
            request = sha256(peek(signed.request.encode(), "The count request"))
        except FlipError:
            request = sha256(signed.request.encode())
        self._audit.append("count-refused", study=study, request=request, code=error.code)
        reply = CountReply(trust=self._key.key_id, request=request, problem=error.problem())
        envelope = seal(reply, COUNT_REPLY, self._key)
        return TaskAnswer(envelope=envelope.decode(), code=error.code, reason=error.message[:400])


def _fields(answer: CountAnswer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in CountAnswer.model_fields}
