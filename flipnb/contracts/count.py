"""Asking the Trusts how many people a cohort has."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import Problem
from flipnb.contracts.text import Name


class CountRequest(Document):
    """Signed with a session key. An enclave remembers ``nonce`` until ``expires`` and answers once."""

    version: Literal["flip/count-request/1"] = "flip/count-request/1"
    study: Name
    membership: Digest
    cohort: dict[str, Any]
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    requested: Moment
    expires: Moment

    @field_validator("cohort")
    @classmethod
    def _cohort_is_supported(cls, cohort: dict[str, Any]) -> dict[str, Any]:
        CohortExpression.parse(cohort)
        return cohort


class CountReply(Document):
    """Sealed with the Trust's node key. ``people`` is rounded; None where it is suppressed or refused.

    ``problem`` says why a Trust refused; a suppressed count has none.
    """

    version: Literal["flip/count-reply/1"] = "flip/count-reply/1"
    trust: KeyId
    request: Digest
    people: int | None = Field(default=None, ge=0)
    suppressed: bool = False
    threshold: int | None = None
    rounding: int | None = None
    estate_version: str | None = None
    problem: Problem | None = None


class SignedCount(Document):
    """What a researcher posts: the session certificate and the request, both as envelopes (JSON text)."""

    certificate: str
    request: str


class CountStatus(Document):
    """The hub's relay of the Trusts' sealed replies (envelopes, JSON text), by key id."""

    count: str
    study: Name
    asked: tuple[KeyId, ...]
    replies: dict[KeyId, str]
