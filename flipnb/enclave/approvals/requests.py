"""What researchers ask this Trust to run: each bundle verified when it came, and kept with what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices
from flipnb.contracts.document import load_json, parse
from flipnb.contracts.envelope import peek
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.admission import VerifiedBundle, admit, require_valid, verify_bundle, verify_request
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store
from flipnb.enclave.stores.stored import StoredRequest

MOST_WAITING = 100
"""New bundles of a study that wait for a decision, of the last ``_WEEK``: who signs thousands fills no disk, and hides
no other's from the data controller."""
_WEEK = timedelta(days=7)
MOST_REFUSED = 100
"""Bundles of a study that were refused as they came, and are kept with the reason."""


@dataclass(frozen=True)
class Admitted:
    """A run that may be put before the data controller: its bundle, by digest too, its full point, what else it
    chose."""

    digest: str
    bundle: Bundle
    point: dict[str, Scalar]
    choices: Choices
    requested: datetime


class Requests:
    """One enclave's; ``own_key`` is the id of its node's key."""

    def __init__(
        self, directory: EnclaveDirectory, own_key: str, store: Store, audit: AuditLog, memberships: Memberships
    ) -> None:
        self._directory, self._own_key, self._memberships = directory, own_key, memberships
        self._store, self._audit = store, audit
        self._expiries: dict[str, datetime] = {}

    def get(self, bundle: str) -> StoredRequest:
        """Raises FlipError ``unknown-request``."""
        request = self._store.requests.get(bundle)
        if request is None:
            raise FlipError("unknown-request", f"No bundle {bundle[:16]}… was put before this Trust.", status=404)
        return request

    def content(self, bundle: str) -> Bundle:
        """A bundle that was put before this Trust; its envelope was verified when it came."""
        return content_of(self.get(bundle))

    def expires(self, bundle: str) -> datetime:
        """When a bundle that was put before this Trust is no longer valid; it is read for that once."""
        if bundle not in self._expiries:
            signed = load_json(peek(self.get(bundle).envelope, "The bundle"), "The bundle")
            self._expiries[bundle] = datetime.fromisoformat(signed["expires"])
        return self._expiries[bundle]

    async def receive(
        self,
        run: str,
        study: str,
        run_request: str,
        fetch: Callable[[str], Awaitable[bytes]],
        require_answerable: Callable[[Bundle], Awaitable[None]],
    ) -> Admitted:
        """Verify a run that the hub relays, and keep its bundle, which ``fetch`` brings by its digest.

        ``require_answerable`` raises FlipError where the bundle's cohort can't be asked of an estate. Raises FlipError
        as that, and as ``verify_request``, ``verify_bundle``, ``admit``; a bundle that is refused by it or by the last
        is kept with the reason. ``too-many-requests`` where ``MOST_WAITING`` of the study wait already;
        ``other-signer`` where the same bytes are another researcher's request.
        """
        roster = self._memberships.roster(study)
        verified = verify_request(run_request.encode(), roster, run=run)
        self._require_room(study, verified.request.bundle)
        envelope = await fetch(verified.request.bundle)
        bundle = verify_bundle(envelope, roster, verified)
        self._require_own(bundle)
        try:
            point = admit(
                bundle,
                verified.request,
                roster,
                own_key=self._own_key,
                policy=self._directory.policy(),
                environments=self._directory.environment_locks(),
            )
            await require_answerable(bundle.bundle)
        except FlipError as error:
            self._keep(bundle, envelope, error)
            raise
        self._keep(bundle, envelope, None)
        asked = verified.request
        return Admitted(bundle.digest, bundle.bundle, point, asked.choices, asked.requested)

    def require_runnable(self, bundle: Bundle) -> None:
        """What must hold of a bundle still when it is approved and when it starts. Raises FlipError as ``admit``."""
        require_valid(
            bundle,
            self._memberships.roster(bundle.study),
            own_key=self._own_key,
            environments=self._directory.environment_locks(),
        )
        self._directory.policy().refuse_bundle(bundle)

    def _require_room(self, study: str, bundle: str) -> None:
        waiting = self._store.requests.waiting(study, datetime.now(UTC) - _WEEK)
        if waiting >= MOST_WAITING and self._store.requests.get(bundle) is None:
            raise FlipError(
                "too-many-requests",
                f"{waiting} new bundles of the study {study} wait for this Trust's data controller already.",
                remedy="Submit again once some of them are approved or declined.",
                status=409,
            )

    def _require_own(self, bundle: VerifiedBundle) -> None:
        """An approval is of bytes, and of who asks: who signs another's bytes anew gets none of its executions."""
        known = self._store.requests.get(bundle.digest)
        if known is not None and known.researcher_key != bundle.signer:
            raise FlipError(
                "other-signer",
                "The bundle is another researcher's request, whose bytes are signed anew.",
                remedy="Submit the notebook: a bundle of one's own has bytes of its own.",
                status=403,
            )

    def _keep(self, bundle: VerifiedBundle, envelope: bytes, refused: FlipError | None) -> None:
        new = self._store.requests.add(
            bundle.digest,
            envelope,
            study=bundle.bundle.study,
            title=bundle.bundle.title,
            researcher=bundle.researcher,
            researcher_key=bundle.signer,
            state="waiting" if refused is None else "refused",
            code=refused.code if refused else None,
            reason=refused.message if refused else None,
        )
        if refused is not None:
            self._store.requests.forget_refused(bundle.bundle.study, MOST_REFUSED)
        elif new or self.get(bundle.digest).state == "refused":
            if not new:  # its reason is gone: a policy was changed, an environment built
                self._store.requests.decide(bundle.digest, "waiting")
            self._audit.append("request-received", bundle=bundle.digest, researcher=bundle.signer)


def content_of(request: StoredRequest) -> Bundle:
    """The bundle of a request, whose bytes were verified when they came."""
    return parse(Bundle, peek(request.envelope, "The bundle"), "The bundle")
