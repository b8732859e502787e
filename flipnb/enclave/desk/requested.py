"""Everything that a data controller is shown of one request, put together out of bundle, policy and membership."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from flipnb.contracts.attached import ShownFile, not_here
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import channels
from flipnb.contracts.desk import Opening, RequestDetail, RequestSummary
from flipnb.contracts.envelope import peek
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests, content_of
from flipnb.enclave.desk.changes import changes
from flipnb.enclave.desk.leaving import bits_told, caution, what_leaves
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.stores.stored import StoredRequest
from flipnb.wording.brief import Asked, brief


class Requested:
    """One enclave's requests, in words and whole."""

    def __init__(self, enclave: Enclave, requests: Requests, memberships: Memberships) -> None:
        self._enclave, self._requests, self._memberships = enclave, requests, memberships

    def detail(
        self,
        stored: StoredRequest,
        summary: RequestSummary,
        *,
        count: int | None,
        version: str | None,
        opened: tuple[Opening, ...],
    ) -> RequestDetail:
        """The request with its brief; ``count`` people are in its cohort at the estate ``version``."""
        bundle, policy = content_of(stored), self._enclave.directory.policy()
        files = self._files(stored.bundle, bundle)
        found, told = changes(bundle, self._approved_before(stored), files, self._files), channels(bundle, policy)
        leaves = what_leaves(bundle, policy)
        asked = Asked(
            researcher=stored.researcher,
            researcher_key=stored.researcher_key,
            roster=self._roster(stored.study),
            count=count,
            changes=found,
            before=self._requests.content(found.since) if found.since is not None else None,
            since=self._approved_at(found.since) if found.since is not None else None,
            waiting=sum(run.state == "waiting" for run in self._enclave.store.runs.of(stored.bundle)),
            estate_version=version,
            files=files,
            what_leaves=(caution(bundle, policy), *leaves),
        )
        return RequestDetail(
            summary=summary,
            signed=peek(stored.envelope, "The bundle").decode(),
            content=bundle,
            files=files,
            changes=found,
            count=count,
            policy_digest=policy.digest(),
            estate_version=version,
            what_leaves=leaves,
            channels=told,
            bits_told=bits_told(told, policy),
            brief=brief(bundle, policy, told, asked),
            opened=opened,
            own=tuple(one.name for one in self._enclave.directory.controllers() if one.key_id == stored.researcher_key),
        )

    def _files(self, digest: str, bundle: Bundle) -> tuple[ShownFile, ...]:
        """As they are here; one that is refused for what it is made of is shown as one that is not."""
        attached = self._requests.attached
        try:
            return attached.shown(digest, bundle.files)
        except FlipError:
            return tuple(not_here(file) for file in bundle.files)

    def _approved_before(self, stored: StoredRequest) -> Iterator[tuple[str, Bundle]]:
        """Other bundles of the same study that were approved here, by their digests, the newest first."""
        for other in self._enclave.store.requests.approved(stored.study):
            if other.bundle != stored.bundle:
                yield other.bundle, content_of(other)

    def _approved_at(self, bundle: str) -> datetime | None:
        return max((given.approved for given in self._enclave.store.approvals.of(bundle)), default=None)

    def _roster(self, study: str) -> Roster | None:
        try:
            return self._memberships.roster(study)
        except FlipError:  # not joined any more: the brief says that nothing of the study is given
            return None
