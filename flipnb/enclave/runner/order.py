"""What an agent orders of a runner, and what a runner tells its agent. Neither leaves the enclave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.failure import ERROR_CLASSES
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.parameters import Parameter, Scalar, check_point
from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import Failure

EVENT_BYTES = 4096
"""An event is one packet of JSON of at most this size."""

Reason = Literal[
    "exit", "signal", "memory", "wall-time", "cell-time", "cpu-time", "output-bytes", "output-messages",
    "bad-message", "scratch", "start", "runner",
]  # fmt: skip
"""How the enclave saw a kernel fail. ``bad-message``: it broke the protocol; ``start``: it never
answered; ``runner``: the runner itself failed."""


class RunnerOrder(Document):
    """One execution of a notebook, top to bottom, in a fresh sandboxed kernel.

    ``space`` and ``point``: the bundle's parameters and this run's values, checked here again, for papermill pastes
    names as code. ``cohort`` and ``files`` (folders), ``broker``: what the kernel sees as /data, /bundle and
    /run/broker.sock.
    ``executed``: where the notebook with its outputs is stored, inside the enclave. ``start_seconds``: how long the
    kernel may take to answer. Outputs beyond ``kept_bytes`` in all are not stored.
    """

    notebook: FrozenNotebook
    space: tuple[Parameter, ...] = ()
    point: dict[str, Scalar] = Field(default_factory=dict)
    limits: KernelLimits = KernelLimits()
    executed: Path
    cohort: Path | None = None
    files: Path | None = None
    broker: Path | None = None
    devices: tuple[Path, ...] = ()
    start_seconds: float = Field(default=60.0, gt=0)
    output_messages: int = Field(default=100_000, ge=16)
    kept_bytes: int = Field(default=4 << 20, ge=0)

    @model_validator(mode="after")
    def _declared(self) -> RunnerOrder:
        try:
            check_point(self.space, self.point)
        except FlipError as error:
            raise ValueError(error.message) from None
        return self

    def values(self) -> dict[str, Scalar]:
        """All parameters' values, in the order of the space."""
        return check_point(self.space, self.point)


class RunnerTask(Document):
    """The order as the runner reads it: paths are those of its jail, the executed notebook goes to a descriptor."""

    order: RunnerOrder
    events: int
    executed: int
    cgroup: bool


class KernelStarted(Document):
    """The kernel's process is there."""

    event: Literal["kernel-started"] = "kernel-started"


class CellEvent(Document):
    """``index`` counts code cells of the approved notebook from 1."""

    event: Literal["cell"] = "cell"
    index: int = Field(ge=1, le=5000)
    of: int = Field(ge=1, le=5000)
    state: Literal["started", "finished"]


class MemoryEvent(Document):
    """The kernel has used more memory than ever: so many eighths of its limit, begun ones counted."""

    event: Literal["memory"] = "memory"
    eighths: int = Field(ge=1, le=8)


class Verdict(Document):
    """The last event, exactly one. ``error_class`` is one of ERROR_CLASSES; ``cell`` counts as in CellEvent.

    ``status`` is the kernel's exit status where it ended by itself, 128 + n after signal n.
    """

    event: Literal["verdict"] = "verdict"
    outcome: Literal["finished", "failed", "stopped"]
    error_class: str | None = None
    cell: int | None = Field(default=None, ge=1, le=5000)
    line: int | None = Field(default=None, ge=1, le=1 << 20)
    reason: Reason | None = None
    status: int | None = Field(default=None, ge=0, le=255)

    @model_validator(mode="after")
    def _closed(self) -> Verdict:
        if (self.outcome == "failed") != (self.error_class is not None):
            raise ValueError("a failure, and nothing else, has a class")
        if self.error_class is not None and self.error_class not in ERROR_CLASSES:
            raise ValueError("the class is not one of the closed list")
        return self

    def failure(self, round_number: int | None = None) -> Failure | None:
        """As it may leave the enclave; None unless it failed."""
        if self.error_class is None:
            return None
        return Failure(error_class=self.error_class, cell=self.cell, line=self.line, round=round_number)


Told = KernelStarted | CellEvent | MemoryEvent
RUNNER_EVENT: TypeAdapter[Told | Verdict] = TypeAdapter(Annotated[Told | Verdict, Field(discriminator="event")])
