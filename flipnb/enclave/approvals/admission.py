"""Whether a run that the hub relays may be put before the data controller: verified from the membership alone.

Nothing that the hub says is believed: the run's id is the digest of what the researcher signed, the bundle's name the
digest of its bytes, and both must be signed by one researcher whom this Trust's controller entered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.envelope import BUNDLE, RUN_REQUEST, Opened, unseal
from flipnb.contracts.parameters import Scalar, check_point
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest, run_id
from flipnb.contracts.study import Roster
from flipnb.enclave.approvals.attached import require_own_names

_CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class VerifiedRequest:
    """A run request whose signature holds; ``point`` is as signed, not yet checked against a space."""

    run: str
    request: RunRequest
    signer: str


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle that its researcher signed, for a study of this Trust, whether or not it may run here."""

    digest: str
    bundle: Bundle
    signer: str
    researcher: str


def verify_request(envelope: bytes, roster: Roster, *, run: str) -> VerifiedRequest:
    """The run request inside ``envelope``, sealed by a researcher of ``roster``.

    Raises FlipError: ``unknown-key``, ``bad-signature``, ``bad-envelope``, ``wrong-type``, those of
    ``document.parse``, ``wrong-study``, ``wrong-run`` (the hub's id is not the request's digest).
    """
    opened: Opened = unseal(envelope, RUN_REQUEST, roster.researcher_keys(), "The run request")
    request = opened.parse(RunRequest, "The run request")
    if request.study != roster.study:
        raise FlipError("wrong-study", f"The run request is of the study {request.study}, not {roster.study}.")
    if run_id(opened.payload) != run:
        raise FlipError("wrong-run", "The run's id is not the digest of the researcher's run request.", status=403)
    return VerifiedRequest(run, request, opened.signer)


def verify_bundle(envelope: bytes, roster: Roster, verified: VerifiedRequest) -> VerifiedBundle:
    """The bundle inside ``envelope``: the one that the run request names, signed by the same researcher.

    Raises FlipError as ``verify_request``, and ``wrong-bundle``, ``other-signer``, ``invalid-document``.
    """
    opened = unseal(envelope, BUNDLE, roster.researcher_keys(), "The bundle")
    if opened.digest != verified.request.bundle:
        raise FlipError("wrong-bundle", "The bundle is not the one that the run request names.", status=403)
    if opened.signer != verified.signer:
        raise FlipError(
            "other-signer", "The bundle and the run request are signed by two different researchers.", status=403
        )
    bundle = opened.parse(Bundle, "The bundle")
    _require_reckonable(bundle)
    names = {key: member.name for key, member in zip(roster.researcher_keys(), roster.researchers, strict=True)}
    return VerifiedBundle(opened.digest, bundle, opened.signer, names[opened.signer])


def _require_reckonable(bundle: Bundle) -> None:
    """What policy and desk work out of a bundle's numbers must be a number: who can't be told of, is not kept."""
    try:
        _ = bundle.report_bits, bundle.agreement_bits, bundle.tensors.weight_bytes()
    except (ArithmeticError, ValueError) as error:
        raise FlipError(
            "invalid-document",
            f"The bundle declares numbers beyond what can be reckoned with ({type(error).__name__}).",
            remedy="Declare narrower bounds, or fewer decimals.",
        ) from None


def admit(
    verified: VerifiedBundle,
    request: RunRequest,
    roster: Roster,
    *,
    own_key: str,
    policy: Policy,
    environments: Mapping[str, str],
    now: datetime | None = None,
) -> dict[str, Scalar]:
    """The run's full point in the bundle's parameter space, where this Trust may be asked for it at all.

    What else the run chose is within the bundle's space, too.

    Raises FlipError that names what refuses: ``wrong-study``, ``wrong-membership``, ``not-addressed``,
    ``unknown-trust``, ``not-yet-valid``, ``expired``, ``policy-refuses``, ``unknown-environment``,
    and those of ``require_own_names``, ``Bundle.at`` and ``check_point``.
    """
    require_valid(verified.bundle, roster, own_key=own_key, environments=environments, now=now)
    policy.refuse_bundle(verified.bundle)
    verified.bundle.at(request.choices)
    return check_point(verified.bundle.parameters, request.point)


def require_valid(
    bundle: Bundle,
    roster: Roster,
    *,
    own_key: str,
    environments: Mapping[str, str],
    now: datetime | None = None,
) -> None:
    """What must hold when a bundle arrives, and still when it starts."""
    now = now or datetime.now(UTC)
    if bundle.study != roster.study:
        raise FlipError("wrong-study", f"The bundle is of the study {bundle.study}, not {roster.study}.", status=403)
    if bundle.membership != roster.digest():
        raise FlipError(
            "wrong-membership",
            "The bundle was made for another membership of the study than the one that this Trust signed.",
            remedy="Researcher and Trusts must hold the same roster: join the study again with the newest one.",
            status=403,
        )
    if own_key not in bundle.trusts:
        raise FlipError("not-addressed", "The bundle does not name this Trust.", status=403)
    unknown = [key for key in bundle.trusts if key not in roster.trust_keys()]
    if unknown:
        raise FlipError(
            "unknown-trust", f"The bundle names the key {unknown[0][:16]}…, no Trust of this membership.", status=403
        )
    if now + _CLOCK_TOLERANCE < bundle.not_before:
        raise FlipError("not-yet-valid", f"The bundle is valid from {bundle.not_before:%Y-%m-%d %H:%M %Z} on.")
    if now >= bundle.expires:
        raise FlipError(
            "expired",
            f"The bundle expired at {bundle.expires:%Y-%m-%d %H:%M %Z}.",
            remedy="Submit the notebook again.",
        )
    if bundle.environment.lock not in environments.values():
        raise FlipError(
            "unknown-environment",
            f"This Trust has no environment with the lock of {bundle.environment.name!r}.",
            remedy="The Trust builds it offline from its lock file; an enclave never installs anything for a run.",
        )
    require_own_names(bundle.files)


def require_members(bundle: Bundle, members: Sequence[str], *, own_key: str) -> None:
    """Whether the hub may let ``members`` (key ids) start together. Raises ``wrong-members``, ``quorum-missing``."""
    if own_key not in members or len(set(members)) != len(members) or not set(members) <= set(bundle.trusts):
        raise FlipError("wrong-members", "The start names other Trusts than the bundle, or not this one.")
    if len(members) < bundle.minimum_trusts:
        raise FlipError(
            "quorum-missing", f"{len(members)} Trusts are fewer than the {bundle.minimum_trusts} of the bundle."
        )
