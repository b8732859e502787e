"""Federated sums of declared arrays, before the first round, within one, or in the final evaluation:
``flip.total({name: array})``.

A step is one call. Its arrays are declared in the bundle with shape, bounds and decimals; an airlock turns them into
integers (units of the last decimal), each Trust answers a step once, the coordinator adds, and every Trust's kernel is
given the same sum. An element of one Trust is at most 2^46, hence the sum over 64 Trusts at most 2^52: exact as JSON
and as float64. (A report is at most 2^36, since it is multiplied by people; nothing multiplies a total.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Digest, Document, Later
from flipnb.contracts.keys import KeyId
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Identifier, Line
from flipnb.contracts.units import UnitRange, finite

MAX_ELEMENTS = 2000
MAX_UNITS = 2**46

Place = int | Literal["final"]
"""Where a total stands: before the first round (0), within a training round, or in the final evaluation."""

Units = tuple[int, ...]
"""The elements of an array in C order, in units of 10^-decimals."""


class DeclaredArray(Document):
    """An array whose elements lie within ``minimum`` and ``maximum``, rounded to ``decimals`` as outputs are."""

    name: Identifier
    shape: tuple[int, ...] = Field(default=(), max_length=8)
    minimum: float
    maximum: float
    decimals: int = Field(ge=0, le=9)

    @model_validator(mode="after")
    def _bounded(self) -> DeclaredArray:
        _ = self.units
        if any(size < 1 for size in self.shape):
            raise ValueError(f"array {self.name} has an empty shape")
        return self

    @property
    def elements(self) -> int:
        """The number of its values; 1 where it is a scalar."""
        return math.prod(self.shape)

    @property
    def units(self) -> UnitRange:
        """What an element may be, in units of the last decimal."""
        return UnitRange.within(f"array {self.name}", self.minimum, self.maximum, self.decimals, MAX_UNITS)

    @property
    def bits(self) -> int:
        """Information that the array of one Trust can carry."""
        return self.elements * self.units.bits

    def admit(self, values: Sequence[float]) -> Units:
        """``values``, the elements in C order, in units. Raises FlipError ``wrong-total``: what is wrong, no value."""
        if len(values) != self.elements:
            raise FlipError("wrong-total", f"The array {self.name!r} has another shape than {list(self.shape)}.")
        numbers = [number for value in values if (number := finite(value)) is not None]
        if len(numbers) != self.elements:
            raise FlipError("wrong-total", f"The array {self.name!r} holds NaN, infinity or what is no number.")
        if not all(self.minimum <= number <= self.maximum for number in numbers):
            raise FlipError(
                "wrong-total", f"The array {self.name!r} leaves its declared bounds [{self.minimum}, {self.maximum}]."
            )
        allowed = self.units
        return tuple(allowed.nearest(number) for number in numbers)

    def possible(self, units: Units, trusts: int = 1) -> bool:
        """Whether so many honest Trusts can have sent them, added."""
        allowed = self.units
        return len(units) == self.elements and all(allowed.holds(value, trusts) for value in units)

    def restore(self, units: Units) -> list[float]:
        """A sum in units as numbers, in C order."""
        return [value / 10**self.decimals for value in units]


class TotalStep(Document):
    """One call of ``flip.total`` with these arrays: within round ``round``, or before the first (0).

    With ``final`` it is in the last evaluation, after all training rounds, however many there were: where the loop's
    ``rnd.training`` is False.
    """

    arrays: tuple[DeclaredArray, ...] = Field(min_length=1, max_length=100)
    round: int = Field(default=0, ge=0)
    final: Annotated[bool, Later(False)] = False

    @model_validator(mode="after")
    def _small(self) -> TotalStep:
        if self.final and self.round:
            raise ValueError("a total is in a training round or in the final evaluation, not in both")
        if sum(array.elements for array in self.arrays) > MAX_ELEMENTS:
            raise ValueError(f"one total has at most {MAX_ELEMENTS} elements")
        return self

    @property
    def place(self) -> Place:
        """Where the call stands."""
        return "final" if self.final else self.round

    @property
    def names(self) -> frozenset[str]:
        """The arrays' names, by which a call of ``flip.total`` finds its step."""
        return frozenset(array.name for array in self.arrays)

    def admit(self, values: Mapping[str, Sequence[float]]) -> dict[str, Units]:
        """Raises FlipError ``wrong-total``."""
        if set(values) != self.names:
            raise FlipError("wrong-total", f"The total is declared with the arrays {', '.join(sorted(self.names))}.")
        return {array.name: array.admit(values[array.name]) for array in self.arrays}

    def restore(self, units: Mapping[str, Units]) -> dict[str, list[float]]:
        """Sums in units as numbers, each array flat in C order, by name."""
        return {array.name: array.restore(units[array.name]) for array in self.arrays}


def check_steps(steps: Sequence[TotalStep], rounds: int) -> None:
    """ValueError where a name is declared twice, or a step lies behind the last round or out of order."""
    names = [array.name for step in steps for array in step.arrays]
    if len(set(names)) != len(names):
        raise ValueError("an array of the totals is declared twice")
    places = [(step.final, step.round) for step in steps]
    if places != sorted(places) or any(step.round > rounds for step in steps):
        raise ValueError(
            "the totals are not in the order of their rounds, or behind the last training round "
            '(a total of the final evaluation has "final": true, and stands last)'
        )


def place_words(place: Place) -> str:
    """For people: ``before the first round``, ``within round 3``, ``in the final evaluation``."""
    if place == "final":
        return "in the final evaluation"
    return f"within round {place}" if place else "before the first round"


def require_place(step: TotalStep, place: Place) -> None:
    """Raise FlipError ``wrong-place`` where a notebook asks for a step at another place than is declared."""
    if step.place != place:
        raise FlipError(
            "wrong-place",
            f"The total of {', '.join(sorted(step.names))} is declared to be asked for {place_words(step.place)}, "
            f"and the notebook asks for it {place_words(place)}.",
        )


def find_step(steps: Sequence[TotalStep], names: Sequence[str]) -> int:
    """The 1-based number of the step with these arrays. Raises FlipError ``undeclared-total``."""
    for number, step in enumerate(steps, start=1):
        if step.names == set(names):
            return number
    raise FlipError(
        "undeclared-total",
        f"The notebook totals {', '.join(sorted(name[:63] for name in names)) or 'nothing'}, which is not declared.",
        remedy="Declare the arrays of one call as one step of the plan file's totals: name, shape, bounds, decimals.",
    )


class TotalContext(Document):
    """What a step is about; an enclave answers each (run, step) once, and never another context."""

    version: Literal["flip/total/1"] = "flip/total/1"
    run: RunId
    bundle: Digest
    step: int = Field(ge=1)
    members: tuple[KeyId, ...] = Field(min_length=1, max_length=MAX_TRUSTS)


class TotalReply(Document):
    """Sealed with the Trust's node key: its arrays in units, by name."""

    version: Literal["flip/total-reply/1"] = "flip/total-reply/1"
    trust: KeyId
    context: TotalContext
    values: dict[Identifier, Units]


class TotalSum(Document):
    """The sum of a step over ``members``; ``left_out`` says who was asked and is not in it, and why."""

    context: TotalContext
    members: tuple[KeyId, ...]
    left_out: dict[KeyId, Line] = Field(default_factory=dict)
    values: dict[Identifier, Units]


class RunTotals(Document):
    """GET /v1/runs/{run}/totals: the sums that a run has so far, by their steps."""

    sums: tuple[TotalSum, ...]


def add_units(step: TotalStep, parts: Sequence[Mapping[str, Units]]) -> dict[str, Units]:
    """Element by element, in integers."""
    return {
        array.name: tuple(sum(column) for column in zip(*(part[array.name] for part in parts), strict=True))
        for array in step.arrays
    }
