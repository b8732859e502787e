"""What the agent's desk API says to its data controller: HTTP over a unix socket inside the enclave.

Every text in it may have been written by a stranger: whoever shows it, shows it as text.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.policy import Policy
from flipnb.contracts.run import Failure, Progress, RunId, TrustState
from flipnb.contracts.text import Line, Name

RequestState = Literal["waiting", "approved", "declined", "refused", "expired"]


class DeskStatus(Document):
    """GET /status"""

    trust: Name
    title: Line
    key: KeyId
    hub: str
    hub_reachable: bool
    estate_version: str | None
    policy: Policy
    policy_digest: Digest
    studies: tuple[Name, ...]
    environments: dict[Name, Digest]
    sandbox: dict[str, bool | int | str | None]
    waiting: int
    running: int


class RequestSummary(Document):
    """One bundle that was put before this Trust."""

    bundle: Digest
    study: Name
    title: Line
    researcher: Line
    researcher_key: KeyId
    state: RequestState
    received: Moment
    code: str | None = None
    reason: str | None = None
    runs: tuple[RunId, ...] = ()
    executions_left: int = 0


class RequestList(Document):
    """GET /requests"""

    requests: tuple[RequestSummary, ...]


class RequestDetail(Document):
    """GET /requests/{digest}: everything that a person must see to decide. ``count`` is exact: it stays inside."""

    summary: RequestSummary
    content: Bundle
    count: int | None
    policy_digest: Digest
    estate_version: str | None
    what_leaves: tuple[str, ...]


class Signed(Document):
    """POST /approvals, POST /memberships: an envelope as JSON text."""

    envelope: str


class DeskRun(Document):
    run: RunId
    bundle: Digest
    study: Name
    title: Line
    state: TrustState
    progress: Progress | None = None
    failure: Failure | None = None
    code: str | None = None
    reason: str | None = None
    started: Moment | None = None
    ended: Moment | None = None


class DeskRuns(Document):
    """GET /runs"""

    runs: tuple[DeskRun, ...]


class AuditPage(Document):
    """GET /audit: entries as canonical JSON text, and the tree head (RFC 6962) over the first ``size``."""

    entries: tuple[str, ...]
    size: int = Field(ge=0)
    head: str
