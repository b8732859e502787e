"""What Trusts told of a cohort's variables, one at a time, and drawing from it: no two variables together, no person.

The bars of several Trusts are added, so that one twin stands for the federation. A bar within the noise (twice its
standard deviation over all Trusts) counts as empty: its categories are rare, and rare ones are drawn alike.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from pydantic import Field

from flipnb.contracts.chart import MISSING, OTHER, ChartOfTrust, VariableChart
from flipnb.contracts.dataset import Variable
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.text import Line, Name

if TYPE_CHECKING:
    import numpy as np


class Marginals(Document):
    """Released charts by Trust. ``cohort`` and ``dataset`` are digests of the meaning and the variables asked about."""

    study: Name
    cohort: Digest
    dataset: Digest
    asked: Moment
    noise: float = Field(ge=0)
    trusts: dict[Line, tuple[ChartOfTrust, ...]]

    def of(self, variable: Variable) -> Marginal | None:
        """None where no Trust told anything of the variable that is more than noise."""
        chart = VariableChart(variable=variable)
        told = [one for charts in self.trusts.values() for one in charts if one.chart == chart]
        least = 2 * self.noise * sqrt(len(told))
        sums = dict.fromkeys(chart.labels, 0)
        for one in told:
            for bar in one.bars:
                sums[bar.label] += bar.people or 0
        people = tuple(n if n >= least else 0 for n in sums.values())
        return Marginal(chart, people) if sum(people) else None


class Marginal:
    """One variable's bars, as shares that values are drawn from."""

    def __init__(self, chart: VariableChart, people: tuple[int, ...]) -> None:
        self._chart, self._people = chart, people
        self._labels = chart.labels

    def bar(self, generator: np.random.Generator) -> str:
        """The label of a bar, by its share."""
        drawn = int(generator.integers(sum(self._people)))
        for label, people in zip(self._labels, self._people, strict=True):
            if drawn < people:
                return label
            drawn -= people
        raise AssertionError("shares add up")

    def flag(self, generator: np.random.Generator) -> bool:
        """Whether a person drawn has it."""
        return self.bar(generator) == "yes"

    def concept(self, generator: np.random.Generator) -> int | None:
        """A concept id; None where the value is missing. ``other`` is any of the rare ones."""
        label = self.bar(generator)
        if label == MISSING:
            return None
        if label != OTHER:
            return int(label)
        codes = [str(code) for code in self._chart.codes]
        rare = [code for code in codes if not self._people[self._labels.index(code)]] or codes
        return int(rare[int(generator.integers(len(rare)))])

    def number(self, generator: np.random.Generator) -> tuple[float, float] | None:
        """The ends of the bar that a number lies in, within the plausible range; None where it is missing."""
        variable, label = self._chart.variable, self.bar(generator)
        if label == MISSING:
            return None
        low, high = variable.minimum, variable.maximum
        if low is None or high is None or not self._chart.edges:
            return (low or 0.0, high if high is not None else (low or 0.0) + 1.0)
        edges = (low, *self._chart.edges, high)
        place = self._labels.index(label)
        return edges[place], edges[place + 1]
