"""Rounds without a federation: the notebook's own kernel plays the one Trust there is, on a twin.

The session runs the very code that it runs in an enclave (leases, layout, report), so that a rehearsal that passes
means something; only the sum over Trusts is missing.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from flipnb.contracts.broker import AskTotal, Ended, Lease, NextRound, Submit, Tell, Totalled, Welcome
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.outputs import DeclaredOutput, admit_report
from flipnb.contracts.plan import INTEGERS_REMEDY, MAX_INTEGER_CLIP
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import Tensor
from flipnb.contracts.total import Place, TotalStep, find_step, require_place
from flipnb.files.whole import write
from flipnb.session.model import Model
from flipnb.workbench.plan_file import NO_EPOCHS

REHEARSED = "rehearsed.json"
INITIAL = "initial.safetensors"
SHAPES = "shapes.json"


class ModelKnown(BaseException):
    """Ends a notebook that is run only until its model is known; no ``except Exception`` of its own catches it."""


class LocalChannel:
    """A federation of one for ``rounds`` rounds. With ``record`` it leaves tensor spec and first weights there; with
    ``shapes_alone`` nothing but the spec, and the notebook ends at once (ModelKnown).

    An update is judged as an airlock would: one that is not finite is refused (FlipError ``not-finite``), and one whose
    integers changed by more than ``integer_clip``; one whose L2 norm is above ``clip_norm`` is told of.
    """

    _place: ClassVar[Place] = 0
    """Where this kernel's notebook is: a total has a channel of its own."""

    def __init__(
        self,
        outputs: Sequence[DeclaredOutput],
        rounds: int,
        *,
        config: dict[str, float],
        clip_norm: float,
        integer_clip: int = MAX_INTEGER_CLIP,
        consensus: Consensus | None = None,
        epochs: int | None = None,
        totals: Sequence[TotalStep] = (),
        record: Path | None = None,
        shapes_alone: bool = False,
    ) -> None:
        self._shapes_alone = shapes_alone
        self._outputs = tuple(outputs)
        self._rounds = rounds
        self._config = config
        self._clip_norm, self._integer_clip = clip_norm, integer_clip
        self._consensus = consensus
        self._totals = tuple(totals)
        self._epochs = epochs
        self._told_nothing = False
        self._streak = 0
        self._ended = False
        self._record = record
        self._model: Model | None = None
        self._reports: list[dict[str, float]] = []
        self._update = -1

    def hello(self) -> Welcome:
        """What the plan file says that a notebook needs, with the rehearsal's number of rounds."""
        return Welcome(rounds=self._rounds, outputs=self._outputs, consensus=self._consensus)

    def open(self, model: Model) -> tuple[NextRound, list[int]]:
        """Begin with the model's own weights, which are recorded as the initial ones."""
        self._model = model
        if self._record is not None and self._shapes_alone:
            write(self._record / SHAPES, model.spec.model_dump_json().encode())
            raise ModelKnown
        weights = model.dump()
        if self._record is not None:
            (self._record / INITIAL).write_bytes(weights)
        return self._next(1), [_memory(weights)]

    def lease(self, request: Lease) -> int:
        """Memory of the size that an enclave would lend; an update's is kept to judge it."""
        assert self._model is not None
        if request.what == "state":
            return _memory(b"", request.size)
        descriptor = _memory(b"", self._model.spec.update_layout()[1])
        self._update = os.dup(descriptor)
        return descriptor

    def submit(self, request: Submit) -> tuple[NextRound | Ended, list[int]]:
        """Judge the update and the report, print them, and go on with the model's own weights.

        Raises FlipError ``not-finite``, ``integer-change-too-large``, ``undeclared-output``, ``missing-output``,
        ``not-a-number``, ``output-out-of-bounds``, ``wrong-agreement``; ``left`` where a recorded rehearsal is
        left by ``break``.
        """
        assert self._model is not None
        if request.update:
            self._judge(self._model)
        admit_report(self._outputs, request.report)
        self._reports.append(dict(request.report))
        shown = ", ".join(f"{name} {value:.4g}" for name, value in request.report.items())
        where = f"round {request.round} of {self._rounds}" if request.update else "final weights"
        shown += self._count_vote(request)
        print(f"Rehearsal, {where}: {shown}", file=sys.stderr)  # noqa: T201 - the notebook's reader wants to see it
        if request.leave or not request.update:
            self._finish(left=request.leave)
            return Ended(), []
        return self._next(request.round + 1), [_memory(self._model.dump())]

    def tell(self, request: Tell) -> None:
        """Nobody listens here; where the plan declares no epochs, it is said once that no Trust tells them."""
        if self._epochs is None and not self._told_nothing:
            self._told_nothing = True
            print(NO_EPOCHS, file=sys.stderr)  # noqa: T201 - the notebook's reader wants to see it

    def total(self, request: AskTotal) -> Totalled:
        """The twin's own arrays, rounded as declared.

        Raises FlipError ``undeclared-total``, ``wrong-total``; ``wrong-place`` in a recorded rehearsal.
        """
        step = self._totals[find_step(self._totals, list(request.values)) - 1]
        if self._record is not None:  # from top to bottom; who tries cells by hand may go back
            place = LocalChannel._place
            # A rehearsal has fewer rounds than the plan: in which of them it is asked for can't be compared.
            within = place not in (0, "final") and step.place not in (0, "final")
            require_place(step, step.place if within else place)
        own = step.restore(step.admit(request.values))
        return Totalled(values={name: tuple(values) for name, values in own.items()})

    def _count_vote(self, request: Submit) -> str:
        """The twin's vote, in words; without anybody in validation it abstains, as a Trust would."""
        consensus = self._consensus
        if consensus is None or not request.update or request.agreement is None:
            return ""
        agreement = consensus.admit(request.agreement)
        self._streak = consensus.streak(self._streak, consensus.vote(agreement), 1)
        self._ended = self._streak >= consensus.rounds
        return f"; {consensus.measure} {agreement:.4g}, vote {consensus.vote(agreement)}"

    def _judge(self, model: Model) -> None:
        slots, size = model.spec.update_layout()
        square = 0.0
        try:
            with mmap.mmap(self._update, size, prot=mmap.PROT_READ) as data:
                for slot in slots:
                    # A copy: what looks into mapped memory keeps it from being unmapped.
                    change = np.array(np.frombuffer(data, slot.dtype, slot.count, slot.offset))
                    if slot.dtype == "int64":
                        self._judge_integers(slot.tensor, change)
                        continue
                    square += float(np.sum(np.square(change, dtype=np.float64)))
                    if not math.isfinite(square):
                        raise FlipError(
                            "not-finite",
                            f"After training, the tensor {slot.tensor.name!r} holds NaN or infinity; "
                            "no enclave lets that out.",
                            remedy="Lower the learning rate, or look for a division by zero.",
                        )
        finally:
            os.close(self._update)
        norm = math.sqrt(square)
        if norm > self._clip_norm:
            print(  # noqa: T201 - the notebook's reader wants to see it
                f"Rehearsal: the update's norm {norm:.4g} would be clipped to {self._clip_norm:g}.", file=sys.stderr
            )

    def _judge_integers(self, tensor: Tensor, change: npt.NDArray[np.int64]) -> None:
        most = tensor.largest_change(self._integer_clip)
        if change.size and not -most <= int(change.min()) <= int(change.max()) <= most:
            raise FlipError(
                "integer-change-too-large",
                f"The integer tensor {tensor.name!r} changed by over {most} in one round; no enclave lets that out.",
                remedy=INTEGERS_REMEDY,
            )

    def _next(self, number: int) -> NextRound:
        training = number <= self._rounds and not self._ended
        LocalChannel._place = number if training else "final"
        return NextRound(round=number, of=self._rounds, training=training, config=self._config if training else {})

    def _finish(self, *, left: bool) -> None:
        LocalChannel._place = 0
        if self._record is None:
            return
        assert self._model is not None
        if left:
            raise FlipError("left", "The notebook left its rounds by break; a rehearsal must see all of them.")
        content = {"tensors": self._model.spec.model_dump(mode="json"), "reports": self._reports}
        (self._record / REHEARSED).write_text(json.dumps(content))


def _memory(content: bytes, size: int | None = None) -> int:
    descriptor = os.memfd_create("flip")
    os.ftruncate(descriptor, size if size is not None else len(content))
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    return descriptor
