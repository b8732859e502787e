"""Numbers that a notebook declares: the only ones that ``rnd.report`` may send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier
from flipnb.contracts.units import UnitRange, finite

MAX_UNITS = 2**36
"""The largest magnitude of an output in units: times 2^20 people and 64 Trusts a sum stays within 2^62."""

Part = Literal["train", "validation", "test"]


class DeclaredOutput(Document):
    """A number within ``minimum`` and ``maximum``, rounded to ``decimals`` by the airlock, and never beyond a bound:
    where a bound has more decimals, the last number that is within it is sent instead.

    ``over`` names the part of the cohort that it is an average over; its people are the weight with which the
    Trusts' numbers are averaged.
    """

    name: Identifier
    minimum: float
    maximum: float
    decimals: int = Field(ge=0, le=6)
    over: Part = "train"

    @model_validator(mode="after")
    def _ordered(self) -> DeclaredOutput:
        _ = self.units
        return self

    @property
    def units(self) -> UnitRange:
        """What may be sent, in units of the last decimal."""
        return UnitRange.within(f"output {self.name}", self.minimum, self.maximum, self.decimals, MAX_UNITS)

    @property
    def bits(self) -> int:
        """Information that one report can carry, in bits: log2 of the number of values, rounded up."""
        return self.units.bits

    def admit(self, value: object) -> int:
        """``value`` in units of 10^-decimals. Raises FlipError ``not-a-number``, ``output-out-of-bounds``."""
        number = finite(value)
        if number is None:
            raise FlipError("not-a-number", f"Output {self.name} is no finite number.")
        if not self.minimum <= number <= self.maximum:
            raise FlipError(
                "output-out-of-bounds",
                f"Output {self.name} is outside its declared bounds [{self.minimum}, {self.maximum}].",
            )
        return self.units.nearest(number)

    def possible(self, number: float) -> bool:
        """Whether an honest Trust can have sent this as its own number."""
        allowed = self.units
        return self.minimum <= number <= self.maximum and allowed.number(allowed.nearest(number)) == number


def admit_report(declared: Sequence[DeclaredOutput], report: Mapping[str, object]) -> dict[str, int]:
    """A report in units of each output's last decimal. Raises FlipError ``undeclared-output``, ``missing-output``."""
    names = {output.name for output in declared}
    for name in report:
        if name not in names:
            raise FlipError(
                "undeclared-output",
                f"The notebook reports {name[:63]!r}, which is not declared.",
                remedy="Declare it in the plan file under outputs, with bounds and decimals.",
            )
    missing = names - set(report)
    if missing:
        raise FlipError("missing-output", f"The report lacks the declared output {sorted(missing)[0]!r}.")
    return {output.name: output.admit(report[output.name]) for output in declared}
