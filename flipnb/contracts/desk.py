"""What the agent's desk API says to its data controller: HTTP over a unix socket inside the enclave.

Every text in it may have been written by a stranger: whoever shows it, shows it as text.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.attached import FileKind, ShownFile
from flipnb.contracts.brief import Brief
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import Channel
from flipnb.contracts.controller import Controller
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.images import ImageCount
from flipnb.contracts.keys import KeyId
from flipnb.contracts.policy import Policy
from flipnb.contracts.run import Failure, Progress, RunId, TrustState
from flipnb.contracts.text import Line, Name

MOST_EXECUTIONS = 1000
"""Runs that one approval may be for."""

RequestState = Literal["waiting", "approved", "declined", "refused", "expired", "over"]
"""over: nobody approved it, and every run of it has ended; it waits again with the next one."""


class DeskStatus(Document):
    """GET /status. ``images_waiting``: images that are held back until somebody decides; 0 at earlier agents."""

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
    controllers: tuple[Name, ...]
    sandbox: dict[str, bool | int | str | None]
    waiting: int
    running: int
    images_waiting: int = 0


class ControllerApproval(Document):
    """What one data controller has approved of a bundle, where it holds now; the last time that they did."""

    controller: Name
    key: KeyId
    approved: Moment
    executions_left: int


class RequestSummary(Document):
    """One bundle that was put before this Trust. It waits until ``approvals_demanded`` controllers have approved, and
    again while ``runs_waiting`` of its runs have no execution left for them."""

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
    runs_waiting: int = 0
    executions_left: int = 0
    approvals: tuple[ControllerApproval, ...] = ()
    approvals_demanded: int = 1

    @property
    def executions_asked(self) -> int:
        """For how many runs an approval is asked now: all that wait, as far as one approval may go; at least 1."""
        return min(max(1, self.runs_waiting), MOST_EXECUTIONS)

    @property
    def waiting_told(self) -> str:
        """How many runs wait, in words, and of how many the approval stands: ``9 wait``, ``1 waits, 2 approved``."""
        waits = f"{self.runs_waiting} {'waits' if self.runs_waiting == 1 else 'wait'}"
        return f"{waits}, {self.executions_left} approved" if self.executions_left else waits

    @property
    def standing(self) -> str:
        """Who has approved, in words: ``1 of 2 approvals (anna)``."""
        names = f" ({', '.join(given.controller for given in self.approvals)})" if self.approvals else ""
        return f"{len(self.approvals)} of {self.approvals_demanded} approvals{names}"


class RequestList(Document):
    """GET /requests"""

    requests: tuple[RequestSummary, ...]


ChangeKind = Literal["same", "changed", "added", "removed"]


class ChangedLine(Document):
    """One line of a cell's source; ``mark`` says in which version it is: both, the new one, the earlier one."""

    mark: Literal["both", "new", "earlier"]
    text: str


class CellChange(Document):
    """A cell of the notebook against the cell with its id in the earlier one; ``number`` counts from 1 in its own."""

    id: str
    number: int = Field(ge=1)
    type: Literal["code", "markdown", "raw"]
    kind: ChangeKind
    lines: tuple[ChangedLine, ...]


class FieldChange(Document):
    """A part of the bundle other than the notebook, as indented JSON text, where it differs."""

    field: str
    lines: tuple[ChangedLine, ...]


class FileChange(Document):
    """A file that goes with the notebook against the one of its name in the earlier bundle: a module's source, or what
    is said of weights, line by line."""

    name: str
    type: FileKind
    kind: ChangeKind
    lines: tuple[ChangedLine, ...]


class Changes(Document):
    """A bundle against ``since``, the last one of its study that was approved here and shares cells with it.

    Without such a bundle ``since`` is None, every cell and file is added and there are no fields.
    """

    since: Digest | None
    cells: tuple[CellChange, ...]
    files: tuple[FileChange, ...]
    fields: tuple[FieldChange, ...]


Part = Literal["brief", "code"]
PARTS: tuple[Part, ...] = ("brief", "code")
"""What of a request a data controller must have opened before they approve it."""


class Opening(Document):
    """POST /requests/{digest}/opened: a data controller has had this part of a request before them."""

    controller: Name
    part: Part


class RequestDetail(Document):
    """GET /requests/{digest}: everything that a person must see to decide. ``count`` is exact: it stays inside.

    ``brief`` is the request in plain words. ``channels`` are all ways in which a run can tell something, ``bits_told``
    their sum in words. ``opened`` says who has had which part before them, ``own`` which controllers signed it as its
    researcher, and so may not decide. ``files`` are those that go with the notebook, in the bundle's order.
    ``signed`` are the bundle's bytes as its researcher signed them, of which ``content`` is the meaning: the digest is
    theirs, however else this version would write the content.
    """

    summary: RequestSummary
    signed: str
    content: Bundle
    files: tuple[ShownFile, ...]
    changes: Changes
    count: int | None
    policy_digest: Digest
    estate_version: str | None
    what_leaves: tuple[str, ...]
    channels: tuple[Channel, ...]
    bits_told: str
    brief: Brief
    opened: tuple[Opening, ...]
    own: tuple[Name, ...]


class ApprovalPage(Document):
    """POST /requests/{digest}/page: where the controller approves; for this request, once, until ``expires``."""

    url: str
    expires: Moment


class Ticket(Document):
    """GET /tickets/{ticket}, for the approval page: what its ticket is for, and who has opened brief and code."""

    detail: RequestDetail
    trust: KeyId
    title: Line
    controllers: tuple[Controller, ...]


class TriesLeft(Document):
    """GET and POST /tries/{controller}: how many more wrong passphrases of theirs are borne now."""

    left: int


class Signed(Document):
    """POST /approvals, POST /memberships: an envelope as JSON text."""

    envelope: str


class DeskRun(Document):
    """A run's part at this Trust, as its data controller sees it; ``code`` and ``reason`` say why it is so.

    ``images``: how many of the cohort's images were frozen of those found, and why the others were not, by set. Exact
    numbers, which stay inside.
    """

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
    images: tuple[ImageCount, ...] = ()


class DeskRuns(Document):
    """GET /runs"""

    runs: tuple[DeskRun, ...]


class ShownOutput(Document):
    """One output of an executed cell, harmless: text without control sequences, or a picture drawn anew as PNG.

    ``omitted`` is the type and size of what is not shown (HTML, SVG, widgets, what is too large or no picture).
    """

    text: str | None = None
    stream: Literal["stdout", "stderr", "result", "error"] = "stdout"
    picture: str | None = Field(default=None, pattern=r"^[A-Za-z0-9+/]*={0,2}$")
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    omitted: str | None = Field(default=None, max_length=200)


class ShownCell(Document):
    """A cell of an executed notebook, numbered from 1 over all cells, and its outputs made harmless."""

    number: int = Field(ge=1)
    type: Literal["code", "markdown", "raw"]
    source: str
    outputs: tuple[ShownOutput, ...] = ()


class ShownNotebook(Document):
    """GET /runs/{run}/shown: an executed notebook, which may show patients, and stays inside."""

    run: RunId
    cells: tuple[ShownCell, ...]


class DeskRevision(Document):
    """GET /changes?requests=…&runs=…&audit=…&wait=S: answered when one of the three is another than was given.

    ``requests`` changes with what is asked, decided and used up of approvals, ``runs`` with each run's state and
    progress, ``audit`` with each entry. After a restart all are others.
    """

    requests: str
    runs: str
    audit: str


class AuditPage(Document):
    """GET /audit?after=N: entries from N on as canonical JSON text, and the tree head (RFC 6962) over all ``size``."""

    entries: tuple[str, ...]
    size: int = Field(ge=0)
    head: str


class AuditCheck(Document):
    """GET /audit/check: the log was read again, whole. ``problem`` says what is wrong; None where nothing is."""

    size: int = Field(ge=0)
    checked: Moment
    problem: str | None


class AuditLine(Document):
    """One line of the audit log in plain words: an entry, all of ``run``, or all that told a study its budget in a day;
    the last of them ``at``."""

    key: str
    at: Moment
    text: str
    entries: int = Field(ge=1)
    run: str | None


class AuditLines(Document):
    """GET /audit/lines?group=G: the newest lines of a group, the newest first. ``numbers`` are lines by group; ``size``
    and ``head`` are the log's own, in entries."""

    lines: tuple[AuditLine, ...]
    numbers: dict[str, int]
    size: int = Field(ge=0)
    head: str


class AuditTold(Document):
    """An entry in plain words, and its ``leaf``, the canonical JSON that was written."""

    index: int = Field(ge=0)
    at: Moment
    text: str
    leaf: str


class AuditEntries(Document):
    """GET /audit/lines/{key}: the entries of one line, the newest first."""

    entries: tuple[AuditTold, ...]
