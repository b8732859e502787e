"""The fixed-point encoding: what an enclave sends of a round's change.

An enclave takes the change of each float tensor and scales the whole change down to the plan's ``clip_norm`` (L2).
With f = ``Plan.fraction_bits`` each element is rounded (half to even) to a multiple of 2^(s-f) and sent as that many
multiples: int32 for tensors of 32 bits and less, with the smallest s from 0 on, one per tensor, at which the tensor's
largest element fits into 31 bits; int64 with s = 0 for float64. The coordinator adds w·2^s times these numbers as
int64, w being the Trust's people in train, at most ``Plan.weight_cap``, and divides by 2^f·Σw at the end: additions of
integers, so that no order of arrival changes a bit.

Overflow: |change·2^f| ≤ clip_norm·2^f ≤ 2^36, w ≤ 2^20 and there are at most 64 = 2^6 Trusts, so |Σ| < 2^62
(contracts.plan). The receiver refuses a file whose values exceed the bound of one Trust, so that a hostile enclave
can't break this either. As |change·2^f| ≤ 2^36, s is at most 7.

Error: each element of each Trust's clipped change is off by at most 2^(s-f-1), hence the mean by at most the largest
of these, besides the error of float64 arithmetic, 2^-53 relative. Where s > 0 that is at most 2^-30 of the tensor's
largest element.

Integer tensors: the difference is sent as it is, at most ``Plan.integer_clip`` and what the dtype spans, and added
times w; the mean difference is rounded half to even, in integers ("mean of differences, rounded half to even"). They
are no part of the norm: one counter of batches would outweigh all weights. What is more is refused, not cut: a counter
or an index that was scaled would be another one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.consensus import Ballot
from flipnb.contracts.outputs import DeclaredOutput, Part
from flipnb.contracts.plan import INTEGERS_REMEDY, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Slot, Tensor, TensorSpec
from flipnb.federation.safetensors_file import SafetensorsWriter
from flipnb.federation.update_layout import BALLOT, METRIC, PARTS, PEOPLE, SHIFT, UPDATE, update_entries

MOST_SHIFT = 7
_CHUNK = 1 << 17
"""Elements that are encoded at once: their float64 copies stay in a core's cache."""
_WIRE_BITS = 31


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
    """Write one Trust's update of one round to ``path`` (update_layout).

    ``change`` holds the tensors' changes in ``spec.update_layout()``, or None in an evaluation; ``report`` has each
    output in units of its last decimal (``outputs.admit_report``); ``people`` the number of people per part, of whom
    at most the plan's ``weight_cap`` count; ``ballot`` is there in a training round of a plan with a consensus.
    Raises FlipError ``not-finite``, ``integer-change-too-large`` (both name the tensor). On failure there is no file.
    """
    people = {part: min(people[part], plan.weight_cap) for part in PARTS}
    slots = {slot.tensor.name: slot for slot in spec.update_layout()[0]} if change is not None else {}
    factor, shifts = 1.0, {}
    if change is not None:
        norm, largest = _measure(tuple(slots.values()), change)
        factor = min(1.0, plan.clip_norm / norm) if norm > 0 else 1.0
        shifts = {name: _shift(slots[name].tensor, size * factor, plan) for name, size in largest.items()}
    numbers = {f"{METRIC}{output.name}": report[output.name] * people[output.over] for output in outputs}
    numbers |= {f"{PEOPLE}{part}": people[part] for part in PARTS}
    numbers |= {f"{BALLOT}{name}": value for name, value in (ballot or Ballot()).model_dump().items()}
    entries = update_entries(spec, plan, outputs, training=change is not None)
    with SafetensorsWriter(path, entries) as file:
        for name, _, _ in entries:
            if name.startswith(UPDATE):
                slot = slots[name.removeprefix(UPDATE)]
                scale = factor * 2.0 ** (plan.fraction_bits - shifts[slot.tensor.name])
                whole = slot.dtype == "int64"
                file.add(_integers(slot, change, plan) if whole else _encoded(slot, change, scale))
            elif name == SHIFT:
                file.add([np.array([shifts[tensor.name] for tensor in spec.tensors], np.uint8)])
            else:
                file.add([np.array([numbers[name]], "<i8")])
    return Encoded(file.sha256, file.size, factor)


def _chunks(slot: Slot, change: memoryview | None) -> Iterator[npt.NDArray[Any]]:
    assert change is not None
    values = np.frombuffer(change, np.dtype(slot.dtype).newbyteorder("<"), slot.count, slot.offset)
    for start in range(0, slot.count, _CHUNK):
        yield values[start : start + _CHUNK]


def _measure(slots: Sequence[Slot], change: memoryview) -> tuple[float, dict[str, float]]:
    """L2 norm over all float tensors, accumulated in float64, and each tensor's largest magnitude (integers: 0).

    Names the first tensor that is not finite. A norm beyond float64 (elements over 1e154) can't be scaled down
    honestly and is refused alike.
    """
    total = 0.0
    squares = np.empty(_CHUNK, np.float64)
    largest = {slot.tensor.name: 0.0 for slot in slots}
    for slot in slots:
        if slot.dtype == "int64":
            continue
        for chunk in _chunks(slot, change):
            with np.errstate(over="ignore", invalid="ignore"):
                # Not by dot: its threads would wait for each other, and their number would change the last bit.
                part = float(np.sum(np.square(chunk, out=squares[: chunk.size], dtype=np.float64)))
            if not np.isfinite(part):
                held = "NaN or infinity" if not np.isfinite(chunk).all() else "numbers over 1e154"
                raise FlipError("not-finite", f"The update's tensor {slot.tensor.name!r} holds {held}.")
            total += part
            largest[slot.tensor.name] = max(largest[slot.tensor.name], float(chunk.max()), -float(chunk.min()))
    if not np.isfinite(total):
        raise FlipError("not-finite", "The update's L2 norm is beyond the range of float64.")
    return float(np.sqrt(total)), largest


def _shift(tensor: Tensor, largest: float, plan: Plan) -> int:
    """The smallest s at which ``largest``·2^(f-s) is below 2^30, so that it fits after rounding as well."""
    if tensor.wire_dtype == "int64" or largest == 0.0:
        return 0
    _, exponent = math.frexp(largest)
    return max(0, plan.fraction_bits + exponent - (_WIRE_BITS - 1))


def _encoded(slot: Slot, change: memoryview | None, scale: float) -> Iterator[npt.NDArray[Any]]:
    """A tensor's encoded chunks, in two buffers by turns: memory that is new to a process costs more than to encode."""
    wide = np.empty(_CHUNK, np.float64)
    wire = np.dtype("<i4" if slot.tensor.wire_dtype == "int32" else "<i8")
    buffers = itertools.cycle((np.empty(_CHUNK, wire), np.empty(_CHUNK, wire)))
    for chunk in _chunks(slot, change):
        numbers = np.multiply(chunk, scale, out=wide[: chunk.size], dtype=np.float64)
        encoded = next(buffers)[: chunk.size]
        np.copyto(encoded, np.rint(numbers, out=numbers), casting="unsafe")
        yield encoded


def _integers(slot: Slot, change: memoryview | None, plan: Plan) -> Iterator[npt.NDArray[Any]]:
    """An integer tensor's differences as they are, in chunks, once none is beyond what may be sent."""
    most = largest_magnitude(slot.tensor, plan)
    for chunk in _chunks(slot, change):
        # Not by abs(): the magnitude of -2^63 is no int64.
        if ((chunk > most) | (chunk < -most)).any():
            raise FlipError(
                "integer-change-too-large",
                f"The integer tensor {slot.tensor.name!r} changed by more than {most} in one round.",
                remedy=INTEGERS_REMEDY,
            )
        yield chunk


def coarsest(plan: Plan) -> float:
    """The largest step between two numbers that a float element of a change may be rounded to."""
    _, exponent = math.frexp(plan.clip_norm)
    return math.ldexp(1.0, max(0, plan.fraction_bits + exponent - (_WIRE_BITS - 1)) - plan.fraction_bits)


def largest_magnitude(tensor: Tensor, plan: Plan) -> int:
    """The largest magnitude of one element in units of 2^-f (of 1, where the tensor is of integers).

    One more for rounding, which may have been to a multiple of 2^s.
    """
    if tensor.dtype in FLOATS:
        return math.ceil(plan.clip_norm * (1 + 1e-9) * 2.0**plan.fraction_bits) + (1 << MOST_SHIFT)
    return tensor.largest_change(plan.integer_clip)
