"""A person's yes to one bundle, and what an agent demands of it. There is no other way to a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flipnb.contracts.approval import Approval
from flipnb.contracts.envelope import APPROVAL, unseal
from flipnb.contracts.keys import key_id
from flipnb.contracts.problem import FlipError


@dataclass(frozen=True)
class VerifiedApproval:
    digest: str
    approval: Approval
    envelope: bytes


def verify_approval(
    envelope: bytes,
    *,
    controller_public_key: str,
    own_key: str,
    policy: str,
    estate_version: str | None,
    now: datetime | None = None,
) -> VerifiedApproval:
    """An approval that holds now, for this Trust, under its current policy (digest) and estate version.

    Raises FlipError: ``unknown-key`` (sealed by any key but the controller's), ``bad-signature``, ``other-trust``,
    ``policy-changed``, ``estate-changed``, ``approval-expired``.
    """
    trusted = {key_id(controller_public_key): controller_public_key}
    opened = unseal(envelope, APPROVAL, trusted, "The approval")
    approval = opened.parse(Approval, "The approval")
    if approval.trust != own_key:
        raise FlipError("other-trust", "The approval is for another Trust's key.", status=403)
    if approval.policy != policy:
        raise FlipError(
            "policy-changed",
            "The approval was given under another policy than the current one.",
            remedy="Look at the request again and approve it anew.",
            status=409,
        )
    if approval.estate_version != estate_version:
        raise FlipError(
            "estate-changed",
            f"The approval is for the estate version {approval.estate_version}; the current one is {estate_version}.",
            remedy="Look at the request again and approve it anew.",
            status=409,
        )
    if approval.expires <= (now or datetime.now(UTC)):
        raise FlipError("approval-expired", "The approval has expired already.", status=409)
    return VerifiedApproval(opened.digest, approval, envelope)
