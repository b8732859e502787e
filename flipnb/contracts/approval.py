"""A person's approval of one bundle at one Trust, signed with the controller's own key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import MOST_EXECUTIONS, RequestDetail
from flipnb.contracts.document import Digest, Document, Moment, parse, sha256
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line

MENDED_BY_APPROVAL = frozenset(
    {"not-approved", "policy-changed", "estate-changed", "approval-expired", "executions-spent"}
)
"""Codes of what keeps a run from starting at a Trust until a data controller approves anew: it waits for that."""


class Approval(Document):
    """Holds for this bundle, policy and estate version alone; ``executions`` runs may start before ``expires``."""

    version: Literal["flip/approval/1"] = "flip/approval/1"
    trust: KeyId
    bundle: Digest
    policy: Digest
    estate_version: str = Field(pattern=r"^[0-9a-z-]{1,64}$")
    executions: int = Field(ge=1, le=MOST_EXECUTIONS)
    approved: Moment
    expires: Moment

    @classmethod
    def of_request(cls, detail: RequestDetail, *, trust: KeyId, executions: int, days: int, now: datetime) -> Approval:
        """What a controller signs who was shown ``detail``.

        Raises FlipError ``no-estate``, ``other-bundle`` (the content is not that of the signed bytes, these are not of
        the digest, or code that was shown is not the file's), ``files-missing``, ``bad-number``.
        """
        if detail.estate_version is None:
            raise FlipError("no-estate", "This enclave has no estate yet; load one first.", status=409)
        signed = detail.signed.encode()
        if sha256(signed) != detail.summary.bundle or parse(Bundle, signed, "The bundle") != detail.content:
            raise FlipError(
                "other-bundle", "What the agent shows is not the bundle of this digest; nothing was approved."
            )
        _require_shown(detail)
        if not (1 <= executions <= MOST_EXECUTIONS and 1 <= days <= 365):
            raise FlipError("bad-number", "An approval is for 1 to 1000 runs and 1 to 365 days.", status=422)
        return cls(
            trust=trust,
            bundle=detail.summary.bundle,
            policy=detail.policy_digest,
            estate_version=detail.estate_version,
            executions=executions,
            approved=now,
            expires=now + timedelta(days=days),
        )


def _require_shown(detail: RequestDetail) -> None:
    """Every file of the bundle was there to be read, and the code that was shown is what runs."""
    if tuple(shown.file for shown in detail.files) != detail.content.files:
        raise FlipError("other-bundle", "The files that the agent shows are not the bundle's; nothing was approved.")
    for shown in detail.files:
        if not shown.here:
            gone = f"{shown.file.name} is not here any more; nothing was approved."
            raise FlipError("files-missing", gone, remedy="The researcher sends it again.")
        if shown.kind == "module" and sha256(shown.source.encode()) != shown.file.sha256:
            raise FlipError("other-bundle", f"{shown.file.name} is not the code that was signed; nothing was approved.")


class Decline(Document):
    """A person's refusal. The reason is for the researcher."""

    bundle: Digest
    reason: Line = Field(min_length=1)
