"""What the hub and a run's coordinator say to each other.

The hub starts one coordinator process per run, with a ``CoordinatorOrder`` (JSON file) as its only argument. The
process signs its requests with the key of its order, which opens its own run and nothing else, and which dies with it.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import RoundSummary, RunId, RunState, RunView
from flipnb.contracts.text import Identifier, Line
from flipnb.contracts.total import TotalContext

TRY_AGAIN = 75
"""A coordinator's exit code (EX_TEMPFAIL of sysexits.h) where the hub was out of reach or full: no fault of its own."""


class CoordinatorOrder(Document):
    """The order file. ``ca``, ``work_dir``, ``blobs`` and ``key`` are paths on the machine that both share.

    ``work_dir`` stays over restarts of the process; ``blobs`` is the hub's directory of blobs, by their SHA-256.
    """

    hub_url: str
    audience: str
    ca: str
    run: RunId
    work_dir: str
    blobs: str
    key: str


class Resume(Document):
    """What the hub has already: the summaries of finished rounds, and the context that was posted last; the contexts
    of totals that were posted, and the steps whose sums are there.

    The same round must be asked for again with the same context: an enclave answers no other.
    """

    rounds: tuple[RoundSummary, ...]
    context: RoundContext | None = None
    totals: tuple[TotalContext, ...] = ()
    summed: tuple[int, ...] = ()


class CoordinatorView(Document):
    """GET /v1/coordinator. Envelopes are JSON text. ``trusts`` are those who approved and are still there, sorted."""

    run: RunView
    bundle_envelope: str
    roster_envelope: str
    point: dict[Identifier, Scalar]
    trusts: tuple[KeyId, ...]
    resume: Resume | None = None


class RoundReplies(Document):
    """POST /v1/coordinator/rounds, GET totals/{step}: sealed replies (JSON text); who won't answer, and why."""

    replies: dict[KeyId, str]
    gone: dict[KeyId, str]


class Present(Document):
    """The answer to a CoordinatorEvent: the Trusts that can be asked in the next round, sorted."""

    trusts: tuple[KeyId, ...]


class CoordinatorEvent(Document):
    """POST /v1/coordinator/events: a finished round, or the run's new state (running, succeeded, failed)."""

    round: RoundSummary | None = None
    state: RunState | None = None
    code: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    reason: Line | None = None
    final_weights: Digest | None = None

    @model_validator(mode="after")
    def _one(self) -> CoordinatorEvent:
        if (self.round is None) == (self.state is None):
            raise ValueError("an event is either a round or a state")
        return self
