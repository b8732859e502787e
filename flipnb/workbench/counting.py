"""Asking the Trusts how many people a cohort has: a session key, a signed request, replies sealed by the Trusts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.asked import Asked
from flipnb.contracts.chart import Chart
from flipnb.contracts.count import CountReply, CountRequest, CountStatus, SignedCount
from flipnb.contracts.document import invalid
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster, SessionCertificate, Trust
from flipnb.workbench import kept_counts
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.studies import read_roster


@dataclass(frozen=True)
class TrustCount:
    """One Trust's answer; ``reply`` is None where it has not answered, ``problem`` says why it can't be used."""

    trust: Trust
    reply: CountReply | None
    problem: str | None = None

    @property
    def text(self) -> str:
        """For people: ``≈ 120``, ``fewer than 10, or not answered in time`` (suppressed), or why there is none."""
        if self.problem:
            return self.problem
        if self.reply is None:
            return "no answer yet"
        if self.reply.problem is not None:
            return self.reply.problem.message
        if self.reply.people is None and not self.reply.suppressed:
            return ""
        return self.number(self.reply.people)

    def number(self, people: int | None) -> str:
        """One of the reply's numbers for people, None where it is suppressed."""
        assert self.reply is not None
        return f"fewer than {self.reply.threshold}, or not answered in time" if people is None else f"≈ {people}"


def count(
    home: Home,
    study: str,
    cohort: Mapping[str, Any],
    *,
    people: bool = True,
    funnel: bool = False,
    charts: Iterable[Chart] = (),
    wait_seconds: float = 30.0,
) -> list[TrustCount]:
    """Ask every Trust of the study; returns when all have answered or after ``wait_seconds``.

    ``funnel`` asks for the size after each inclusion rule too, ``charts`` for bars; ``price`` says what it costs.
    With ``people=False`` and nothing else each Trust tells its budget, for nothing.
    """
    roster = read_roster(home, study)
    now = datetime.now(UTC)
    session = SigningKey.generate()
    certificate = SessionCertificate(
        study=study, session_key=session.public_key, not_before=now, expires=now + timedelta(hours=1)
    )
    try:
        request = CountRequest(
            study=study,
            membership=roster.digest(),
            cohort=dict(cohort),
            people=people,
            funnel=funnel,
            charts=tuple(charts),
            nonce=secrets.token_hex(16),
            requested=now,
            expires=now + timedelta(minutes=10),
        )
    except ValidationError as error:
        raise invalid(error, "The cohort") from None
    signed = SignedCount(
        certificate=envelope.seal(certificate, envelope.SESSION, home.key).decode(),
        request=envelope.seal(request, envelope.COUNT_REQUEST, session).decode(),
    )
    with HubClient.of(home) as hub:
        status = CountStatus.model_validate_json(hub.post(f"/v1/studies/{study}/counts", signed.to_bytes()))
        until = time.monotonic() + wait_seconds
        while len(status.replies) < len(status.asked) and (left := until - time.monotonic()) > 0:
            asked, wait = time.monotonic(), min(left, 20.0)
            status = CountStatus.model_validate_json(hub.get(f"/v1/counts/{status.count}?wait={wait:.1f}"))
            if time.monotonic() - asked < wait / 2:
                break  # the hub waits for no one any more: a Trust that is still missing refused without a reply
    digest = request.digest()
    answers = [_answer(trust, status.replies.get(trust.key_id), roster, digest) for trust in roster.trusts]
    asked_for = Asked.of(cohort, people=people, funnel=funnel, charts=request.charts)
    kept_counts.keep(home, study, asked_for, {a.trust.key_id: a.reply for a in answers if a.reply is not None})
    return answers


def total(numbers: Sequence[int | None]) -> str:
    """Trusts' numbers together, for people: ``≈ 620``; ``at least ≈ 620`` where a Trust gave none, which is None.

    What is added is noisy and rounded, so that "at least" is about what was told, too.
    """
    told = [number for number in numbers if number is not None]
    if not told:
        return "no number"
    return f"{'' if len(told) == len(numbers) else 'at least '}≈ {sum(told):,}"


def rule_names(cohort: Mapping[str, Any]) -> list[str]:
    """What each step of a funnel is called, the one before all rules first: ``enter``, ``1 Age 18 to 90``."""
    rules = cohort.get("InclusionRules") or ()
    named = [f"{number} {rule.get('name') or 'rule without a name'}" for number, rule in enumerate(rules, 1)]
    return ["enter", *named]


def price(cohort: Mapping[str, Any], *, people: bool = True, funnel: bool = False, charts: Iterable[Chart] = ()) -> int:
    """What the question costs of each Trust's budget, at most: what a Trust told before is free.

    Raises FlipError ``unsupported-cohort``, ``invalid-cohort``.
    """
    return sum(Asked.of(cohort, people=people, funnel=funnel, charts=charts).costs.values())


def prices(
    home: Home,
    study: str,
    cohort: Mapping[str, Any],
    *,
    people: bool = True,
    funnel: bool = False,
    charts: Iterable[Chart] = (),
) -> list[tuple[Trust, int]]:
    """What the question costs at each Trust of the study: nothing for what this researcher was told there already.

    Nobody is asked. It is more than will be charged where others paid for the same, and less where a Trust has loaded
    new records since it last answered. Raises FlipError ``unknown-study``, ``unsupported-cohort``, ``invalid-cohort``.
    """
    asked = Asked.of(cohort, people=people, funnel=funnel, charts=charts)
    trusts = read_roster(home, study).trusts
    return [(trust, kept_counts.price_at(home, trust.key_id, asked)) for trust in trusts]


def _answer(trust: Trust, sealed: str | None, roster: Roster, request: str) -> TrustCount:
    """Verified against the key of the researcher's own roster: the hub can't invent a count."""
    if sealed is None:
        return TrustCount(trust, None)
    keys = {trust.key_id: roster.trust_keys()[trust.key_id]}
    try:
        opened = envelope.unseal(sealed.encode(), envelope.COUNT_REPLY, keys, f"The count of {trust.title}")
        reply = opened.parse(CountReply, f"The count of {trust.title}")
    except FlipError as error:
        return TrustCount(trust, None, problem=error.message)
    if reply.request != request or reply.trust != trust.key_id:
        return TrustCount(trust, None, problem=f"{trust.title} answered another question.")
    return TrustCount(trust, reply)
