"""A person's yes to one bundle, and what an agent demands of it. There is no other way to a kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flipnb.contracts.approval import Approval
from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import ControllerApproval
from flipnb.contracts.envelope import APPROVAL, unseal
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.stored import StoredApproval

APPROVE_ANEW = "the data controller must approve anew."
SPENT = ("executions-spent", "The approved executions are used up; the data controller must approve more.")
"""Code and reason of a run that waits since others took, or were promised, all that was approved."""


@dataclass(frozen=True)
class VerifiedApproval:
    """An approval whose signature is a data controller's of this Trust, with the envelope as it was signed."""

    digest: str
    approval: Approval
    envelope: bytes
    controller: Controller

    def stored(self) -> StoredApproval:
        """As it is kept, with all of its executions left."""
        return StoredApproval(
            approval=self.digest,
            controller=self.controller.name,
            controller_key=self.controller.key_id,
            policy=self.approval.policy,
            estate_version=self.approval.estate_version,
            executions_left=self.approval.executions,
            approved=self.approval.approved,
            expires=self.approval.expires,
        )


def verify_approval(
    envelope: bytes,
    *,
    controllers: Iterable[Controller],
    own_key: str,
    policy: str,
    estate_version: str | None,
    now: datetime | None = None,
) -> VerifiedApproval:
    """An approval that holds now, for this Trust, under its current policy (digest) and estate version.

    Raises FlipError: ``unknown-key`` (sealed by any key but a controller's), ``bad-signature``, ``other-trust``,
    ``policy-changed``, ``estate-changed``, ``approval-expired``.
    """
    known = {controller.key_id: controller for controller in controllers}
    trusted = {key: controller.public_key for key, controller in known.items()}
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
    return VerifiedApproval(opened.digest, approval, envelope, known[opened.signer])


def refuse_own(verified: VerifiedApproval, researcher_key: str) -> None:
    """Nobody decides on what they ask for themselves. Raises FlipError ``own-request``."""
    if verified.controller.key_id == researcher_key:
        raise FlipError(
            "own-request",
            "The approval is signed with the key that the request is signed with.",
            remedy="Another data controller must decide.",
            status=403,
        )


@dataclass(frozen=True)
class Terms:
    """What approvals count under now: policy (digest), estate version, whose (key ids), and of how many of them."""

    policy: str
    estate_version: str
    controllers: frozenset[str]
    demanded: int

    @classmethod
    def of(cls, policy: Policy, controllers: Iterable[Controller], estate_version: str | None) -> Terms:
        """The terms by the Trust's policy as it is now, its data controllers and the estate's current version."""
        keys = frozenset(controller.key_id for controller in controllers)
        return cls(policy.digest(), estate_version or "", keys, policy.approvals)


class Approvals:
    """All approvals of one bundle, as they count now. An execution takes one of each of ``demanded`` controllers."""

    def __init__(self, approvals: Iterable[StoredApproval], terms: Terms) -> None:
        self._all = sorted(approvals, key=lambda approval: approval.expires)
        self._terms = terms
        now = datetime.now(UTC)
        self._checks: tuple[tuple[str, str, Callable[[StoredApproval], bool]], ...] = (
            ("not-approved", self._missing(), lambda a: a.controller_key in terms.controllers),
            ("policy-changed", "The Trust's policy changed after the approval.", lambda a: a.policy == terms.policy),
            ("estate-changed", "The Trust's estate changed after the approval.",
             lambda a: a.estate_version == terms.estate_version),
            ("approval-expired", "The Trust's approval has expired.", lambda a: a.expires > now),
            ("executions-spent", "The approved executions are used up.", lambda a: a.executions_left > 0),
        )  # fmt: skip

    @property
    def executions_left(self) -> int:
        """How often ``demanded`` different controllers can each give one of the executions that they approved."""
        demanded = self._terms.demanded
        most = sorted((sum(a.executions_left for a in given) for given in self._standing().values()), reverse=True)
        return min(sum(most[others:]) // (demanded - others) for others in range(demanded))

    @property
    def why_none(self) -> tuple[str | None, str | None]:
        """Code and reason, for the researcher, why no execution is left; None of a bundle that nobody decided on
        yet."""
        try:
            self.usable()
        except FlipError as error:
            if error.code == SPENT[0]:
                return SPENT
            if error.code != "not-approved":
                return error.code, f"{error.message.rstrip('.')}; {APPROVE_ANEW}"
        return None, None

    @property
    def given(self) -> tuple[ControllerApproval, ...]:
        """By whom there are approvals with executions left, by name."""
        by_controller = (
            ControllerApproval(
                controller=given[0].controller,
                key=key,
                approved=max(a.approved for a in given),
                executions_left=sum(a.executions_left for a in given),
            )
            for key, given in self._standing().items()
        )
        return tuple(sorted(by_controller, key=lambda given: given.controller))

    def usable(self) -> tuple[StoredApproval, ...]:
        """One approval each of ``demanded`` controllers: of those with most left, the one that expires first.

        Raises FlipError with the reason why there are none, the most telling first: ``not-approved``,
        ``policy-changed``, ``estate-changed``, ``approval-expired``, ``executions-spent``.
        """
        left, remedy = self._all, "Ask the Trust's data controller for a new approval."
        for code, reason, holds in self._checks:
            left = [approval for approval in left if holds(approval)]
            if len({approval.controller_key for approval in left}) < self._terms.demanded:
                raise FlipError(code, reason, remedy=remedy, status=403)
        most = sorted(self._standing().values(), key=lambda given: -sum(a.executions_left for a in given))
        return tuple(given[0] for given in most[: self._terms.demanded])

    def _standing(self) -> Mapping[str, list[StoredApproval]]:
        """The approvals that hold and have executions left, by their controller's key."""
        standing: defaultdict[str, list[StoredApproval]] = defaultdict(list)
        for approval in self._all:
            if all(holds(approval) for *_, holds in self._checks):
                standing[approval.controller_key].append(approval)
        return standing

    def _missing(self) -> str:
        if self._terms.demanded == 1:
            return "This Trust's data controller has not approved the bundle."
        given = len({a.controller_key for a in self._all} & self._terms.controllers)
        return f"{given} of the {self._terms.demanded} data controllers who must approve the bundle have done so."
