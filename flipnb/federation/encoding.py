"""The fixed-point encoding under aggregation ``sum``: what an enclave sends, and how the coordinator adds it.

An enclave takes the change of each float tensor, scales the whole change down to the plan's ``clip_norm`` (L2),
multiplies by its number w of people in train and rounds w·change·2^f to an int64 (half to even), with
f = ``Plan.fraction_bits``. The coordinator adds integers, so that no order of arrival changes a bit, and divides by
2^f·Σw.

Overflow: |w·change| ≤ 2^20·clip_norm and there are at most 64 = 2^6 Trusts, so |Σ| < 2^62 (contracts.plan). The
receiver refuses a file whose values exceed the bound of one Trust, so that a hostile enclave can't break this either.
Error: rounding moves each Trust's term by at most 1/2, hence the mean by at most (Trusts / 2)·2^-f / Σw, besides the
error of float64 arithmetic, 2^-53 relative.

Integer tensors: the difference is multiplied by w and added; the mean difference is rounded half to even, in integers
("mean of differences, rounded half to even"). Differences are at most 2^36, so that they can't overflow either.

Under aggregation ``individual`` the file is the same but for the factor w, which is 1: each update is judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from flipnb.contracts.consensus import Ballot
from flipnb.contracts.outputs import DeclaredOutput, Part
from flipnb.contracts.plan import MAX_TRUSTS, MAX_WEIGHT, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Slot, Tensor, TensorSpec
from flipnb.federation.safetensors_file import SafetensorsWriter

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

PARTS: tuple[Part, ...] = ("train", "validation", "test")
_CHUNK = 1 << 20
_LARGEST_INTEGER_DIFFERENCE = 2**36


@dataclass(frozen=True)
class Encoded:
    """A written update file: its SHA-256, its size in bytes, and the factor (≤ 1) that clipping applied."""

    sha256: str
    size: int
    clip_factor: float


def encode_update(
    path: Path,
    *,
    spec: TensorSpec,
    plan: Plan,
    people: Mapping[Part, int],
    report: Mapping[str, int],
    outputs: Sequence[DeclaredOutput],
    change: memoryview | None,
    ballot: Ballot | None = None,
) -> Encoded:
    """Write one Trust's update of one round to ``path`` as safetensors of int64 arrays.

    ``change`` holds the tensors' changes in ``spec.update_layout()``, or None in an evaluation; ``report`` has each
    output in units of its last decimal (``outputs.admit_report``); ``people`` the number of people per part;
    ``ballot`` is there in a training round of a plan with a consensus.
    Raises FlipError ``not-finite`` (names the tensor), ``too-many-people``, ``integer-change-too-large``. On failure
    there is no file.
    """
    weight = people["train"]
    for part in PARTS:
        if not 0 <= people[part] <= MAX_WEIGHT:
            raise FlipError("too-many-people", f"The part {part!r} has more than {MAX_WEIGHT} people.")
    slots = spec.update_layout()[0] if change is not None else ()
    factor = 1.0
    if change is not None:
        norm = _finite_norm(slots, change)
        factor = min(1.0, plan.clip_norm / norm) if norm > 0 else 1.0
    multiplier = weight if plan.aggregation == "sum" else 1
    scale = float(multiplier) * factor * 2.0**plan.fraction_bits
    votes = (ballot or Ballot()).model_dump() if has_ballot(plan, training=change is not None) else {}
    entries = _entries(spec, plan, outputs, training=change is not None)
    with SafetensorsWriter(path, entries) as file:
        for slot in slots:
            file.add(*(_encode(slot, chunk, multiplier, scale) for chunk in _chunks(slot, change)))
        for output in outputs:
            file.add(np.array([report[output.name] * people[output.over]], "<i8"))
        for part in PARTS:
            file.add(np.array([people[part]], "<i8"))
        for name in votes:
            file.add(np.array([votes[name]], "<i8"))
    return Encoded(file.sha256, file.size, factor)


def has_ballot(plan: Plan, *, training: bool) -> bool:
    return training and plan.consensus is not None


def _entries(
    spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], *, training: bool
) -> list[tuple[str, Sequence[int], str]]:
    entries: list[tuple[str, Sequence[int], str]] = []
    if training:
        entries += [(f"update/{tensor.name}", tensor.shape, "int64") for tensor in spec.tensors]
    entries += [(f"metric/{output.name}", (1,), "int64") for output in outputs]
    entries += [(f"people/{part}", (1,), "int64") for part in PARTS]
    if has_ballot(plan, training=training):
        entries += [(f"consensus/{name}", (1,), "int64") for name in Ballot.model_fields]
    return entries


def _chunks(slot: Slot, change: memoryview | None) -> Iterator[npt.NDArray[Any]]:
    assert change is not None
    values = np.frombuffer(change, np.dtype(slot.dtype).newbyteorder("<"), slot.count, slot.offset)
    for start in range(0, slot.count, _CHUNK):
        yield values[start : start + _CHUNK]


def _finite_norm(slots: Sequence[Slot], change: memoryview) -> float:
    """L2 norm over all float tensors, accumulated in float64; names the first tensor that is not finite.

    A norm beyond float64 (elements over 1e154) can't be scaled down honestly and is refused alike.
    """
    total = 0.0
    for slot in slots:
        if slot.dtype == "int64":
            continue
        for chunk in _chunks(slot, change):
            wide = chunk.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                part = float(np.dot(wide, wide))
            if not np.isfinite(part):
                held = "NaN or infinity" if not np.isfinite(wide).all() else "numbers over 1e154"
                raise FlipError("not-finite", f"The update's tensor {slot.tensor.name!r} holds {held}.")
            total += part
    if not np.isfinite(total):
        raise FlipError("not-finite", "The update's L2 norm is beyond the range of float64.")
    return float(np.sqrt(total))


def _encode(slot: Slot, chunk: npt.NDArray[Any], weight: int, scale: float) -> npt.NDArray[np.int64]:
    if slot.dtype == "int64":
        # Not by abs(): the magnitude of -2^63 is no int64.
        if ((chunk > _LARGEST_INTEGER_DIFFERENCE) | (chunk < -_LARGEST_INTEGER_DIFFERENCE)).any():
            raise FlipError(
                "integer-change-too-large", f"The integer tensor {slot.tensor.name!r} changed by over 2^36."
            )
        return np.ascontiguousarray(chunk.astype(np.int64) * weight)
    return np.rint(chunk.astype(np.float64) * scale).astype("<i8")


class Sum:
    """Adds Trusts' update files, one tensor at a time; the order of arrival changes no bit.

    Memory: one int64 array per tensor of the model, whatever the number of Trusts.
    """

    def __init__(self, *, spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], training: bool) -> None:
        self._spec, self._plan, self._outputs, self._training = spec, plan, outputs, training
        self._tensors: dict[str, Int64] = {}
        self._tally = Tally.nothing(outputs)
        self.trusts = 0

    def add(self, path: Path, who: str) -> None:
        """Add one file, all of it or nothing. Raises FlipError ``wrong-update``: who, and what is wrong."""
        if self.trusts == MAX_TRUSTS:
            raise FlipError("wrong-update", f"More than {MAX_TRUSTS} Trusts.")
        try:
            with safe_open(path, framework="numpy") as file:
                numbers = check_update(
                    file, who, spec=self._spec, plan=self._plan, outputs=self._outputs, training=self._training
                )
                if self._training:
                    for tensor in self._spec.tensors:
                        values = file.get_tensor(f"update/{tensor.name}")
                        known = self._tensors.get(tensor.name)
                        if known is None:
                            self._tensors[tensor.name] = values
                        else:
                            np.add(known, values, out=known)
        except (SafetensorError, OSError) as error:
            raise FlipError("wrong-update", f"The update of {who} is no safetensors file: {error}.") from None
        self._tally = self._tally.plus(numbers)
        self.trusts += 1

    @property
    def weight(self) -> int:
        """Σw: the people in train of all Trusts added."""
        return self._tally.people["train"]

    def mean(self, tensor: Tensor) -> Float64 | Int64:
        """The weighted mean change of one tensor in its shape: float64, or int64 for an integer tensor."""
        total = self._tensors[tensor.name]
        if tensor.dtype in FLOATS:
            return total.astype(np.float64) / (2.0**self._plan.fraction_bits * self.weight)
        return mean_difference(total, self.weight)

    def metrics(self) -> dict[str, float]:
        return self._tally.averages(self._outputs)

    @property
    def ballots(self) -> tuple[int, int]:
        """Votes, and how many Trusts have voted."""
        return self._tally.votes, self._tally.voters


@dataclass(frozen=True)
class Tally:
    """The small numbers of one update, or of several added: people by part, metrics times people, votes."""

    people: Mapping[Part, int]
    metrics: Mapping[str, int]
    votes: int = 0
    voters: int = 0

    @classmethod
    def nothing(cls, outputs: Sequence[DeclaredOutput]) -> Tally:
        return cls(dict.fromkeys(PARTS, 0), dict.fromkeys((output.name for output in outputs), 0))

    def plus(self, other: Tally) -> Tally:
        return Tally(
            {part: self.people[part] + other.people[part] for part in PARTS},
            {name: value + other.metrics[name] for name, value in self.metrics.items()},
            self.votes + other.votes,
            self.voters + other.voters,
        )

    def averages(self, outputs: Sequence[DeclaredOutput]) -> dict[str, float]:
        """Metrics over the people of each output's part, rounded to its decimals; without people it is left out."""
        averages: dict[str, float] = {}
        for output in outputs:
            if self.people[output.over]:
                units = self.metrics[output.name] / self.people[output.over]
                averages[output.name] = round(units / 10**output.decimals, output.decimals)
        return averages


def check_update(
    file: Any, who: str, *, spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], training: bool
) -> Tally:
    """The small numbers of an open update file in which nothing exceeds what one honest Trust can send.

    Raises FlipError ``wrong-update``: who, and what is wrong.
    """
    expected = _entries(spec, plan, outputs, training=training)
    if set(file.keys()) != {name for name, _, _ in expected}:
        raise FlipError("wrong-update", f"The update of {who} does not have the tensors of the tensor spec.")
    for name, shape, _ in expected:
        entry = file.get_slice(name)
        if entry.get_dtype() != "I64" or tuple(entry.get_shape()) != tuple(shape):
            raise FlipError("wrong-update", f"The update of {who} has a wrong shape or dtype at {name!r}.")
    people: dict[Part, int] = {part: int(file.get_tensor(f"people/{part}")[0]) for part in PARTS}
    if not all(0 <= number <= MAX_WEIGHT for number in people.values()) or people["train"] == 0:
        raise FlipError("wrong-update", f"The update of {who} has an impossible number of people.")
    metrics = {output.name: int(file.get_tensor(f"metric/{output.name}")[0]) for output in outputs}
    for output in outputs:
        bound = max(abs(output.minimum), abs(output.maximum)) * 10**output.decimals + 1
        if abs(metrics[output.name]) > bound * people[output.over]:
            raise FlipError("wrong-update", f"The update of {who} reports an impossible {output.name!r}.")
    votes = voters = 0
    if has_ballot(plan, training=training):
        votes, voters = (int(file.get_tensor(f"consensus/{name}")[0]) for name in Ballot.model_fields)
        if not 0 <= votes <= voters <= 1:
            raise FlipError("wrong-update", f"The update of {who} has an impossible vote.")
    multiplier = people["train"] if plan.aggregation == "sum" else 1
    for tensor in spec.tensors if training else ():
        values = file.get_tensor(f"update/{tensor.name}")
        largest = multiplier * _bound(tensor, plan)
        if values.size and (int(values.max()) > largest or int(values.min()) < -largest):
            raise FlipError("wrong-update", f"The update of {who} exceeds the clip at {tensor.name!r}.")
    return Tally(people, metrics, votes, voters)


def mean_difference(total: Int64, weight: int) -> Int64:
    """``total`` / ``weight``, rounded half to even, in integers."""
    quotient, rest = np.divmod(total, weight)
    up = (2 * rest > weight) | ((2 * rest == weight) & (quotient % 2 == 1))
    return np.asarray(quotient + up, np.int64)


def _bound(tensor: Tensor, plan: Plan) -> int:
    """The largest magnitude of one element per person of weight. One more for rounding."""
    if tensor.dtype in FLOATS:
        return int(np.ceil(plan.clip_norm * (1 + 1e-9) * 2.0**plan.fraction_bits)) + 1
    return _LARGEST_INTEGER_DIFFERENCE
