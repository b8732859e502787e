"""Reading Trusts' update files piece by piece, with everything in them checked."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.consensus import Ballot
from flipnb.contracts.outputs import DeclaredOutput, Part
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import FLOATS, Dtype, Tensor, TensorSpec
from flipnb.federation.encoding import MOST_SHIFT, coarsest, largest_magnitude
from flipnb.federation.safetensors_file import head
from flipnb.federation.tally import Tally
from flipnb.federation.update_layout import BALLOT, METRIC, PARTS, PEOPLE, SHIFT, UPDATE, has_ballot, update_entries

PIECE = 1 << 17
"""Elements that are read at once: their int64 copies stay in a core's cache."""

Int64 = npt.NDArray[np.int64]


class UpdateFile:
    """One Trust's open update file. Opening it checks its layout, its numbers and, in a training round, every element.

    It is read, never mapped: a mapped file counts as this process's memory. Raises FlipError ``wrong-update``: who,
    and what is wrong.
    """

    def __init__(
        self,
        path: Path,
        who: str,
        *,
        spec: TensorSpec,
        plan: Plan,
        outputs: Sequence[DeclaredOutput],
        training: bool,
    ) -> None:
        self._who, self._plan = who, plan
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise self._wrong(f"can't be read: {error.strerror}") from None
        try:
            self._places = self._layout(spec, outputs, training=training)
            self._shifts = self._read_shifts(spec) if training else {}
            self.tally = self._read_tally(outputs, training=training)
            self._check_tally(outputs)
            if training:
                self._check_change(spec)
        except OSError as error:
            self.close()
            raise self._wrong(f"can't be read: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> UpdateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def change(self, tensor: Tensor, start: int, end: int) -> Int64:
        """Flat elements of a tensor's change, in units of 2^-f (of 1, where the tensor is of integers)."""
        values = self._values(tensor, start, end).astype(np.int64)
        shift = self._shifts[tensor.name]
        return np.left_shift(values, shift, out=values) if shift else values

    def _layout(
        self, spec: TensorSpec, outputs: Sequence[DeclaredOutput], *, training: bool
    ) -> dict[str, tuple[int, int, Dtype]]:
        """Offset, size and dtype of each entry, once the file has exactly the bytes of this header and their size."""
        entries = update_entries(spec, self._plan, outputs, training=training)
        first, sizes = head(entries)
        if (
            os.fstat(self._file.fileno()).st_size != len(first) + sum(sizes)
            or os.pread(self._file.fileno(), len(first), 0) != first
        ):
            raise self._wrong("does not have the layout that follows from the bundle")
        places: dict[str, tuple[int, int, Dtype]] = {}
        offset = len(first)
        for (name, _, dtype), size in zip(entries, sizes, strict=True):
            places[name] = (offset, size, dtype)
            offset += size
        return places

    def _read_shifts(self, spec: TensorSpec) -> dict[str, int]:
        offset, size, _ = self._places[SHIFT]
        shifts = dict(zip((t.name for t in spec.tensors), os.pread(self._file.fileno(), size, offset), strict=True))
        for tensor in spec.tensors:
            allowed = MOST_SHIFT if tensor.dtype in FLOATS and tensor.wire_dtype == "int32" else 0
            if shifts[tensor.name] > allowed:
                raise self._wrong(f"has an impossible shift at {tensor.name!r}")
        return shifts

    def _read_tally(self, outputs: Sequence[DeclaredOutput], *, training: bool) -> Tally:
        people: dict[Part, int] = {part: self._number(f"{PEOPLE}{part}") for part in PARTS}
        metrics = {output.name: self._number(f"{METRIC}{output.name}") for output in outputs}
        asked = has_ballot(self._plan, training=training)
        ballot = {name: self._number(f"{BALLOT}{name}") for name in Ballot.model_fields} if asked else {}
        return Tally(people, metrics, **ballot)

    def _number(self, name: str) -> int:
        offset, size, _ = self._places[name]
        return int.from_bytes(os.pread(self._file.fileno(), size, offset), "little", signed=True)

    def _check_tally(self, outputs: Sequence[DeclaredOutput]) -> None:
        tally = self.tally
        cap = self._plan.weight_cap
        if not all(0 <= number <= cap for number in tally.people.values()) or tally.people["train"] == 0:
            raise self._wrong(f"has an impossible number of people, which the plan caps at {cap}")
        for output in outputs:
            if not output.units.holds(tally.metrics[output.name], tally.people[output.over]):
                raise self._wrong(f"reports an impossible {output.name!r}")
        if not 0 <= tally.votes <= tally.voters <= 1:
            raise self._wrong("has an impossible vote")

    def _check_change(self, spec: TensorSpec) -> None:
        """Each element, and the L2 norm of all: enclaves refuse what a change beyond the clip makes of the weights."""
        squares = sum(self._check(tensor) for tensor in spec.tensors)
        elements = sum(tensor.elements for tensor in spec.tensors if tensor.dtype in FLOATS)
        rounding = math.sqrt(elements) * coarsest(self._plan) / 2
        if math.sqrt(squares) > self._plan.clip_norm * (1 + 1e-9) + rounding:
            raise self._wrong("exceeds the clip")

    def _check(self, tensor: Tensor) -> float:
        """The sum of a float tensor's squares; 0 of an integer one's."""
        shift = self._shifts[tensor.name]
        largest, total = largest_magnitude(tensor, self._plan) >> shift, 0.0
        for start, end in pieces(tensor):
            values = self._values(tensor, start, end)
            if values.size and (int(values.max()) > largest or int(values.min()) < -largest):
                raise self._wrong(f"exceeds the clip at {tensor.name!r}")
            wide = values.astype(np.float64)
            total += float(np.einsum("i,i->", wide, wide))
        return total * 4.0 ** (shift - self._plan.fraction_bits) if tensor.dtype in FLOATS else 0.0

    def _values(self, tensor: Tensor, start: int, end: int) -> npt.NDArray[Any]:
        offset, _, dtype = self._places[f"{UPDATE}{tensor.name}"]
        kind = np.dtype(dtype).newbyteorder("<")
        values: npt.NDArray[Any] = np.empty(end - start, kind)
        view, position = values.data.cast("B") if values.size else memoryview(b""), offset + start * kind.itemsize
        while view:
            read = os.preadv(self._file.fileno(), [view], position)
            if read == 0:
                raise OSError(errno.EIO, f"{self._who}'s update ended while it was read")
            view, position = view[read:], position + read
        return values

    def _wrong(self, how: str) -> FlipError:
        return FlipError("wrong-update", f"The update of {self._who} {how}.")


def pieces(tensor: Tensor, size: int = PIECE) -> list[tuple[int, int]]:
    """Flat ranges of at most ``size`` elements that make up a tensor; of one without elements, one empty range."""
    return [(start, min(start + size, tensor.elements)) for start in range(0, max(tensor.elements, 1), size)]
