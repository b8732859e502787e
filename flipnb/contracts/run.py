"""A run: a bundle and one point of its parameter space; its states and its numbered events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from flipnb.contracts.choices import Choices
from flipnb.contracts.document import Digest, Document, Later, Moment, sha256
from flipnb.contracts.failure import REFUSALS
from flipnb.contracts.images import FrozenShare
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier, Line, Name

RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

EstateVersion = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A Trust's name for a version of its estate towards one study: the same for the same version, and nothing else of it.

Never the version's own id, a digest of the sources: whoever knew all but one record of them could try what it holds.
"""

RunState = Literal["waiting", "queued", "starting", "running", "stopping", "succeeded", "failed", "stopped"]
"""waiting: for approvals; queued: for slots; starting: coordinator and kernels come up; running: rounds."""

SLOT_RELEASED = "slot-released"
"""The code of a part that is ``queued`` since it gave its slot to others while it waited for its next round."""

TrustState = Literal[
    "notified", "waiting", "approved", "queued", "declined", "refused", "starting", "running",
    "finished", "failed", "left-out", "stopped",
]  # fmt: skip
"""waiting: for the Trust's data controller; queued: accepted to start, without a slot; refused: by the agent, with a
reason; left-out: after a deadline."""

RUN_WORDS: Mapping[RunState, str] = {
    "waiting": "waits for approvals", "queued": "waits for slots", "starting": "starting", "running": "running",
    "stopping": "stopping", "succeeded": "succeeded", "failed": "failed", "stopped": "stopped",
}  # fmt: skip
"""What people read for a run's state, in terminals, reasons and on screens (``models/wording.ts``) alike."""

TRUST_WORDS: Mapping[TrustState, str] = {
    "notified": "not reached yet", "waiting": "awaiting approval", "approved": "approved", "queued": "waits for a slot",
    "declined": "declined", "refused": "refused", "starting": "starting", "running": "training",
    "finished": "finished", "failed": "failed", "left-out": "left out", "stopped": "stopped",
}  # fmt: skip
"""The same for the state of a Trust's part."""

Share = Literal["under-10", "10-to-25", "25-to-50", "over-50"]
"""How much of a sum's weight one Trust has, in per cent: a band, which tells no number of people."""

RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    "waiting": frozenset({"queued", "starting", "failed", "stopping", "stopped"}),
    "queued": frozenset({"waiting", "starting", "failed", "stopping", "stopped"}),
    "starting": frozenset({"running", "failed", "stopping"}),
    "running": frozenset({"succeeded", "failed", "stopping"}),
    "stopping": frozenset({"stopped"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "stopped": frozenset(),
}

TRUST_TRANSITIONS: Mapping[TrustState, frozenset[TrustState]] = {
    "notified": frozenset({"waiting", "approved", "declined", "refused", "left-out", "stopped"}),
    "waiting": frozenset({"approved", "declined", "refused", "left-out", "stopped"}),
    "approved": frozenset({"waiting", "queued", "starting", "declined", "refused", "left-out", "stopped", "failed"}),
    "queued": frozenset(
        {"waiting", "approved", "starting", "running", "declined", "refused", "left-out", "stopped", "failed"}
    ),
    "starting": frozenset({"queued", "running", "failed", "left-out", "stopped", "refused"}),
    "running": frozenset({"queued", "finished", "failed", "left-out", "stopped"}),
    "left-out": frozenset({"running", "finished", "failed", "stopped"}),
    "declined": frozenset(),
    "refused": frozenset(),
    "finished": frozenset(),
    "failed": frozenset(),
    "stopped": frozenset(),
}

FINAL_RUN_STATES = frozenset(state for state, following in RUN_TRANSITIONS.items() if not following)
FINAL_TRUST_STATES = frozenset(state for state, following in TRUST_TRANSITIONS.items() if not following)
GOING_RUN_STATES = frozenset(RUN_TRANSITIONS) - FINAL_RUN_STATES
GOING_TRUST_STATES = frozenset(TRUST_TRANSITIONS) - FINAL_TRUST_STATES


def advance_run(now: RunState, to: RunState) -> RunState:
    """``to``, or FlipError ``wrong-state`` where the state machine has no such step."""
    if to not in RUN_TRANSITIONS[now]:
        raise FlipError("wrong-state", f"A run that is {now} can't become {to}.", status=409)
    return to


def advance_trust(now: TrustState, to: TrustState) -> TrustState:
    """``to``, or FlipError ``wrong-state`` where the state machine has no such step."""
    if to not in TRUST_TRANSITIONS[now]:
        raise FlipError("wrong-state", f"A Trust's part that is {now} can't become {to}.", status=409)
    return to


def share_of(weight: int, whole: int) -> Share:
    """The band of ``weight`` in ``whole``. A bound belongs to the band above it, but one half to the band below."""
    if 10 * weight < whole:
        return "under-10"
    if 4 * weight < whole:
        return "10-to-25"
    return "25-to-50" if 2 * weight <= whole else "over-50"


class RunRequest(Document):
    """Signed by the researcher: run this bundle at this point. The run's id is its digest, so no hub invents one."""

    version: Literal["flip/run-request/1"] = "flip/run-request/1"
    study: Name
    bundle: Digest
    point: dict[Identifier, Scalar]
    choices: Annotated[Choices, Later(Choices())] = Choices()
    requested: Moment
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")


def run_id(request_payload: bytes) -> str:
    """The first 128 bits of the SHA-256 of a run request's payload, 32 hexadecimal digits."""
    return sha256(request_payload)[:32]


class Progress(Document):
    """Where a Trust's part is, on a grid of its policy's ``progress_seconds``: 1-based cell of all code cells, round,
    seconds. ``cell`` is the furthest so far: a kernel that is started anew does not undo it.

    ``eighths`` of the plan's ``epochs`` are done in this round; None where the plan declares none.
    ``memory_bytes`` is the most that the kernel has used so far, rounded up to an eighth of what it may have
    (``memory_of_bytes``); None where the Trust's policy keeps it. ``gpu_bytes``, ``gpu_of_bytes``: likewise of the GPU
    that it has filled most; None where it has used none, too.
    """

    cell: int | None = Field(default=None, ge=1)
    cells: int | None = Field(default=None, ge=1)
    round: int | None = Field(default=None, ge=0)
    eighths: int | None = Field(default=None, ge=0, le=8)
    seconds: float | None = Field(default=None, ge=0)
    memory_bytes: int | None = Field(default=None, ge=1)
    memory_of_bytes: int | None = Field(default=None, ge=1)
    gpu_bytes: int | None = Field(default=None, ge=1)
    gpu_of_bytes: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _without_epochs(cls, value: Any) -> Any:
        """Earlier versions kept the notebook's own numbers, which say nothing of eighths."""
        if not isinstance(value, dict):
            return value
        return {name: said for name, said in value.items() if name not in ("epoch", "epochs")}


class Failure(Document):
    """An error as it may leave an enclave: class out of a closed list, cell and line; never its message.

    ``refusal`` is the code, out of ``failure.REFUSALS``, of what the enclave itself had refused the notebook last.
    """

    error_class: Identifier
    cell: int | None = Field(default=None, ge=1)
    line: int | None = Field(default=None, ge=1)
    round: int | None = Field(default=None, ge=0)
    refusal: str | None = Field(default=None, pattern=r"^[a-z-]{1,40}$")

    def describe(self) -> str:
        """Class, cell, line, round, and what was refused, for example "FlipError in cell 2, line 8, round 3: …"."""
        named = (("cell", self.cell), ("line", self.line), ("round", self.round))
        places = ", ".join(f"{word} {number}" for word, number in named if number)
        words = REFUSALS.get(self.refusal or "", "")
        return self.error_class + (f" in {places}" if places else "") + (f": {words}" if words else "")


class TrustReport(Document):
    """What an enclave says of its part of a run. ``sequence`` rises by one per run, so that a repeat is known.

    ``code`` and ``reason`` say why a state was taken (a FlipError's code and message, or the controller's words).
    ``executions_left``: how many more runs of the bundle this Trust's approvals cover. ``estate``, said once as the run
    starts there: on which version of its estate it runs. ``images``, said once as its cohort is frozen: how much of
    each set of images could be used.
    """

    run: RunId
    sequence: int = Field(ge=1, le=2**53)
    state: TrustState | None = None
    code: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    reason: Line | None = None
    progress: Progress | None = None
    failure: Failure | None = None
    executions_left: int | None = Field(default=None, ge=0, le=1_000_000)
    estate: EstateVersion | None = None
    images: dict[Identifier, FrozenShare] | None = None


class RoundSummary(Document):
    """One finished round: averages over the members, and single Trusts' numbers where their policies allow.

    ``weights`` are the global weights that the round began with; ``left_out`` says who was asked and is not in the
    sum, and why. Of those, ``late`` gave no reply before the deadline and may come back in a later round.
    ``votes`` of ``voters`` Trusts found that their own models and the global one agree (None without a consensus rule);
    ``agreements`` are single Trusts' figures where their policies allow. ``shares``: each member's part of the people
    with which the round's means are weighted, in bands; what they say of that number is the Trusts' own word.
    """

    round: int = Field(ge=1)
    of: int = Field(ge=0)
    training: bool
    members: tuple[KeyId, ...]
    left_out: dict[KeyId, Line] = Field(default_factory=dict)
    late: tuple[KeyId, ...] = ()
    weights: Digest
    metrics: dict[Identifier, float]
    trust_metrics: dict[KeyId, dict[Identifier, float]] = Field(default_factory=dict)
    votes: int | None = None
    voters: int | None = None
    shares: dict[KeyId, Share] = Field(default_factory=dict)
    agreements: dict[KeyId, float] = Field(default_factory=dict)
    seconds: float


class RunEvent(Document):
    """Numbered from 1 within a run; a listener resumes from any number. ``estate`` and ``images``: see TrustReport."""

    run: RunId
    number: int = Field(ge=1)
    at: Moment
    kind: Literal["state", "trust", "progress", "round"]
    state: RunState | None = None
    trust: KeyId | None = None
    trust_state: TrustState | None = None
    code: str | None = None
    reason: str | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    round: RoundSummary | None = None
    estate: EstateVersion | None = None
    images: dict[Identifier, FrozenShare] | None = None


class TrustPart(Document):
    """One Trust's part of a run as the hub shows it.

    ``executions_left``: how many more runs of the bundle this Trust's approvals cover, as it said last; None where it
    has not said so. ``heard``: when its agent last asked for tasks, which it does whatever runs there; None where it
    has not lately.
    """

    trust: KeyId
    name: Name
    state: TrustState
    code: str | None = None
    reason: str | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    executions_left: int | None = None
    heard: Moment | None = None


class RunView(Document):
    """A run as the hub shows it to the study's members.

    ``notebook`` is the name of its notebook's file, empty where the bundle does not say; ``choices`` is what it chose
    beside its parameters. Between ``submitted`` and ``started`` it waited (for approvals, then for slots), between
    ``started`` and ``finished`` it ran. ``telling`` are the parameters that tell it from other runs of its bundle; of
    an earlier hub none.
    """

    run: RunId
    study: Name
    title: Line
    notebook: Line = ""
    bundle: Digest
    researcher: KeyId
    point: dict[Identifier, Scalar]
    telling: tuple[Identifier, ...] = ()
    choices: Choices = Choices()
    state: RunState
    code: str | None = None
    reason: str | None = None
    submitted: Moment
    started: Moment | None = None
    finished: Moment | None = None
    rounds_done: int
    rounds: int
    trusts: tuple[TrustPart, ...]
    final_weights: Digest | None = None
    last_event: int


class RunPage(Document):
    """Some of a study's runs, the newest first. ``next``: the older ones follow after this run; None at the end."""

    runs: tuple[RunView, ...]
    next: RunId | None = None
