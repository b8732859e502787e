"""Numbers that a notebook declares: the only ones that ``rnd.report`` may send."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier

Part = Literal["train", "validation", "test"]


class DeclaredOutput(Document):
    """A number within ``minimum`` and ``maximum``, rounded to ``decimals`` by the airlock.

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
        if not self.minimum < self.maximum:
            raise ValueError(f"output {self.name} has no room between {self.minimum} and {self.maximum}")
        return self

    @property
    def bits(self) -> int:
        """Information that one report can carry, in bits: log2 of the number of values, rounded up."""
        return math.ceil(math.log2((self.maximum - self.minimum) * 10**self.decimals + 1))

    def admit(self, value: object) -> int:
        """``value`` in units of 10^-decimals. Raises FlipError ``not-a-number``, ``output-out-of-bounds``."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FlipError("not-a-number", f"Output {self.name} is no finite number.")
        if not self.minimum <= value <= self.maximum:
            raise FlipError(
                "output-out-of-bounds",
                f"Output {self.name} is outside its declared bounds [{self.minimum}, {self.maximum}].",
            )
        return round(float(value) * 10.0**self.decimals)


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
