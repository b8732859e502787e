"""Charts of a cohort's people: into which bars they are counted. The bars follow from the question, never from data."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from flipnb.contracts.dataset import Variable
from flipnb.contracts.document import Document

FEMALE, MALE = 8532, 8507
OLDEST = 90
"""Ages from here on share one bar: no chart has a maximum."""

VARIABLE_BARS = 10
MISSING, OTHER = "missing", "other"


class AgeChart(Document):
    """Age in years at the cohort's start, in bands of ``width`` years; the last is 90 and more."""

    by: Literal["age"] = "age"
    width: Literal[5, 10, 15, 30] = 10

    @property
    def labels(self) -> tuple[str, ...]:
        """``0-9``, ``10-19``, …, ``90+``: the bars from the youngest up."""
        bands = tuple(f"{low}-{low + self.width - 1}" for low in range(0, OLDEST, self.width))
        return (*bands, f"{OLDEST}+")


class SexChart(Document):
    """OMOP's gender concepts 8532 and 8507, and every other."""

    by: Literal["sex"] = "sex"

    @property
    def labels(self) -> tuple[str, ...]:
        """``female``, ``male``, ``other``: the bars in this order."""
        return ("female", "male", OTHER)


class YearChart(Document):
    """The calendar year of the cohort's start, from ``first`` to ``last``, one bar each."""

    by: Literal["year"] = "year"
    first: int = Field(ge=1900, le=2199)
    last: int = Field(ge=1900, le=2199)

    @model_validator(mode="after")
    def _short(self) -> YearChart:
        if not 0 <= self.last - self.first < 60:
            raise ValueError("a chart of years has 1 to 60 of them, in order")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """``before FIRST``, each year, ``after LAST``: the bars, the outer two open-ended."""
        years = (str(year) for year in range(self.first, self.last + 1))
        return (f"before {self.first}", *years, f"after {self.last}")


class MissingChart(Document):
    """For how many a concept is recorded at any time up to the cohort's end; a measurement needs a value too."""

    by: Literal["missing"] = "missing"
    source: Literal["measurement", "observation", "condition"]
    concept_id: int = Field(ge=0, lt=2**31)

    @property
    def labels(self) -> tuple[str, ...]:
        """``recorded`` and ``missing``: the bars in this order."""
        return ("recorded", MISSING)


class VariableChart(Document):
    """One variable of a dataset: the marginal that a twin is drawn from.

    A number with a plausible range has ten bars over it, the outer two open-ended; a coded value one bar per category
    and ``other``; a flag ``yes`` and ``no``. Whatever has no value is ``missing``.
    """

    by: Literal["variable"] = "variable"
    variable: Variable

    @property
    def edges(self) -> tuple[float, ...]:
        """The inner edges of a number's bars, ascending; none where the variable declares no range."""
        low, high = self.variable.minimum, self.variable.maximum
        if low is None or high is None or not low < high:
            return ()
        return tuple(low + (high - low) * step / VARIABLE_BARS for step in range(1, VARIABLE_BARS))

    @property
    def codes(self) -> tuple[int, ...]:
        """The concepts of a coded value's bars, ``other`` not among them."""
        codes = tuple(category.concept_id for category in self.variable.categories)
        return codes or ((MALE, FEMALE) if self.variable.source == "sex" else ())

    @property
    def labels(self) -> tuple[str, ...]:
        """The bars in order: ``yes``, ``no``; else concept ids and ``other``, or rising ranges, and ``missing``."""
        variable = self.variable
        if variable.source == "condition":
            return ("yes", "no")
        if variable.source == "sex" or variable.value == "concept":
            return (*map(str, self.codes), OTHER, MISSING)
        edges = self.edges
        if not edges:
            return ("recorded", MISSING)
        between = (f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges))
        return (f"below {edges[0]:.6g}", *between, f"from {edges[-1]:.6g}", MISSING)


Chart = Annotated[AgeChart | SexChart | YearChart | MissingChart | VariableChart, Field(discriminator="by")]


class Bar(Document):
    """``people`` is noisy and rounded; None where it is suppressed."""

    label: str
    people: int | None = Field(default=None, ge=0)


class ChartOfTrust(Document):
    """A chart's bars at one Trust; ``people`` is the sum of the bars that are shown, and no other total."""

    chart: Chart
    bars: tuple[Bar, ...]
    people: int = Field(ge=0)
