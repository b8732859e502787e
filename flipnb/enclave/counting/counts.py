"""Answering how many people a cohort has: who asks, sealed replies, and when they leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flipnb.contracts.count import ESTATE_FAILED, CountAnswer, CountReply, CountRequest, SignedCount
from flipnb.contracts.document import sha256
from flipnb.contracts.envelope import COUNT_REPLY, COUNT_REQUEST, SESSION, Opened, peek, seal, unseal
from flipnb.contracts.keys import SigningKey, key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, SessionCertificate
from flipnb.contracts.task import TaskAnswer
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.counting.pace import Pace
from flipnb.enclave.counting.questions import Answered, Question, Questions
from flipnb.enclave.counting.turns import Lines, Turns
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

_LOG = logging.getLogger("flipnb.enclave.counting")
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
    """Answers count tasks: who asks is verified here, what may be said is the questions' business.

    An answer leaves a fixed time after its question's turn began, whatever was counted; what was told before, that time
    after it was asked. Only what was refused before its turn, and budgets, leave at once: no record decides either.
    """

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
        self._turns = Turns(pace)
        self._reading = Lines()
        self._answering: dict[str, asyncio.Event] = {}
        """Requests, by digest, until each has its answer."""

    async def answer(self, study: str, signed: SignedCount) -> TaskAnswer:
        """The sealed reply; the same request gets the same bytes. Refusals and faults are sealed, none is raised."""
        began = self._pace.now()
        joined = ""
        try:
            roster = self._memberships.roster(study)
            joined = study
            asked = await self._read(study, signed, roster)
        except FlipError as error:
            return self._refuse(joined, _digest_of(signed), error)
        while (answering := self._answering.get(asked.digest)) is not None:
            await answering.wait()
        self._answering[asked.digest] = answering = asyncio.Event()
        try:
            stored = self._store.counts.reply(asked.digest)
            if stored is not None:
                await self._pace.until(began + self._questions.policy.answer_seconds)
                return TaskAnswer(envelope=stored.decode())
            return await self._first_answer(asked, began)
        except FlipError as error:
            return self._refuse(study, asked.digest, error)
        except Exception:
            _LOG.exception("the count %s could not be answered", asked.digest)
            return self._refuse(study, asked.digest, _estate_failed())
        finally:
            del self._answering[asked.digest]
            answering.set()

    async def _read(self, study: str, signed: SignedCount, roster: Roster) -> _Asked:
        """Verified, and read in a thread, one at a time: half a megabyte takes long, and stops and the desk wait for
        nobody's question. Raises FlipError as ``verify_count``, ``too-many-counts``."""
        await self._reading.enter(study, most=self._questions.policy.waiting_per_study)
        try:
            return await asyncio.to_thread(_read, signed, roster)
        finally:
            self._reading.leave()

    async def _first_answer(self, asked: _Asked, began: float) -> TaskAnswer:
        """Raises FlipError where the request has no reply that is kept: it may be asked again."""
        if self._store.counts.nonce_seen(asked.request.nonce):
            raise _replayed()
        question, study = asked.question, asked.request.study
        policy = self._questions.policy
        reply = await self._reply(asked, self._questions.told(study, question))
        if reply is not None:
            answer = self._release(asked, reply)
            if reply.problem is None and question.counts:
                await self._pace.until(began + policy.answer_seconds)
            return answer
        turn = self._turns.turn(
            study,
            seconds=policy.answer_seconds,
            most=policy.waiting_per_study,
            patience=(asked.request.expires - datetime.now(UTC)).total_seconds(),
        )
        async with turn as own:
            if self._store.counts.nonce_seen(asked.request.nonce):
                raise _replayed()
            reply = await self._reply(asked, self._questions.answer(study, question, own))
            assert reply is not None
            return self._release(asked, reply)

    async def _reply(self, asked: _Asked, answering: Awaitable[Answered | None]) -> CountReply | None:
        """A reply for what was answered, refused or failed; None where there is none without a turn."""
        own = {"trust": self._key.key_id, "request": asked.digest}
        seconds = self._questions.policy.answer_seconds
        try:
            answered = await answering
            if answered is None:
                return None
            return CountReply(**own, budget=answered.budget, answer_seconds=seconds, **_fields(answered.answer))
        except FlipError as error:
            problem = error
            if error.status >= 500 or error.code == ESTATE_FAILED:
                problem = _estate_failed()
                _LOG.warning("the count %s failed: %s (%s)", asked.digest, error, error.code)
        except Exception:
            _LOG.exception("the count %s failed", asked.digest)
            problem = _estate_failed()
        budget = self._questions.budget(asked.request.study)
        return CountReply(**own, budget=budget, answer_seconds=seconds, problem=problem.problem())

    def _release(self, asked: _Asked, reply: CountReply) -> TaskAnswer:
        """The reply sealed, once audit log and store have it. Raises FlipError ``disk-full``."""
        envelope = seal(reply, COUNT_REPLY, self._key)

        def keep() -> None:
            self._store.counts.add(asked.digest, asked.request.nonce, asked.request.expires, envelope)

        if reply.problem is not None:
            self._record(asked.request.study, asked.digest, reply.problem.code)
            keep()
            return TaskAnswer(envelope=envelope.decode())
        assert reply.budget is not None
        self._audit.append(
            "count-released",
            then=keep,
            study=asked.request.study,
            request=asked.digest,
            reply=sha256(envelope),
            researcher=asked.researcher,
            people=reply.people,
            suppressed=reply.suppressed,
            funnel=[step.people for step in reply.funnel],
            charts=[chart.model_dump(mode="json") for chart in reply.charts],
            cost=reply.budget.cost,
            left=reply.budget.left,
            estate_version=reply.estate_version,
        )
        return TaskAnswer(envelope=envelope.decode())

    def _refuse(self, study: str, request: str, error: FlipError) -> TaskAnswer:
        """A sealed refusal that nothing is kept of: it holds no number, and the same request may be sent again."""
        if error.status >= 500:
            _LOG.warning("the count %s could not be answered: %s (%s)", request, error, error.code)
            error = _estate_failed()
        try:
            self._record(study, request, error.code)
        except FlipError as full:
            _LOG.warning("the audit log does not have that a count was refused: %s", full)
        reply = CountReply(trust=self._key.key_id, request=request, problem=error.problem())
        envelope = seal(reply, COUNT_REPLY, self._key)
        return TaskAnswer(envelope=envelope.decode(), code=error.code, reason=error.message[:400])

    def _record(self, study: str, request: str, code: str) -> None:
        """``study`` is one that this Trust joined, or empty."""
        self._audit.refusals.add("count-refused", study, study=study, request=request, code=code)


@dataclass(frozen=True)
class _Asked:
    """A verified request, its question and digest, and the key id of the researcher whose session asks."""

    request: CountRequest
    question: Question
    digest: str
    researcher: str


def _read(signed: SignedCount, roster: Roster) -> _Asked:
    request, opened, researcher = verify_count(signed, roster)
    question = Question(request.cohort, request.people, request.funnel, request.charts)
    _ = question.meant  # here, where nobody waits for it
    return _Asked(request, question, opened.digest, researcher)


def _digest_of(signed: SignedCount) -> str:
    try:
        return sha256(peek(signed.request.encode(), "The count request"))
    except FlipError:
        return sha256(signed.request.encode())


def _replayed() -> FlipError:
    return FlipError("replayed", "A count request with this nonce was answered before.", status=409)


def _estate_failed() -> FlipError:
    """The one code of all faults: which it was, is in the Trust's own log."""
    return FlipError(
        ESTATE_FAILED,
        "This Trust could not ask its estate.",
        remedy="Ask again later; if it stays so, tell the Trust's data controller, whose agent's log names the fault.",
    )


def _fields(answer: CountAnswer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in CountAnswer.model_fields}
