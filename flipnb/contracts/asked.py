"""What a question about a cohort asks for, number by number: the digests that a budget is charged by, and their costs.

An enclave charges by them, and a workbench that remembers what it was told works out with them what a Trust will take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flipnb.contracts.chart import Chart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.count import CHART_COSTS, COUNT_COSTS
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.meaning import free_text, meanings


@dataclass(frozen=True)
class Asked:
    """A question by meaning: digests of what is counted, and what each costs."""

    rules: tuple[int, ...]
    """With how many inclusion rules people are counted, ascending."""
    sizes: tuple[str, ...]
    charts: tuple[Chart, ...]
    drawn: tuple[str, ...]
    funnel: bool
    whole: str
    """The meaning of the cohort with all of its rules."""
    text: str | None
    """The first criterion on free text."""

    @classmethod
    def of(cls, cohort: Mapping[str, Any], *, people: bool, funnel: bool, charts: Iterable[Chart] = ()) -> Asked:
        """Raises FlipError as ``CohortExpression.parse``."""
        expression = CohortExpression.parse(dict(cohort))
        last = len(expression.inclusion_rules)
        rules = tuple(range(last + 1)) if funnel else (last,) if people else ()
        different = tuple(dict.fromkeys(charts))
        *sizes, whole = meanings(expression, (*rules, last))
        return cls(
            rules=rules,
            sizes=tuple(sizes),
            charts=different,
            drawn=tuple(sha256(f"{whole}\n{chart.digest()}".encode()) for chart in different),
            funnel=funnel,
            whole=whole,
            text=free_text(expression),
        )

    @property
    def costs(self) -> dict[str, int]:
        """What each number and chart costs, by its digest."""
        return dict.fromkeys(self.sizes, COUNT_COSTS) | dict.fromkeys(self.drawn, CHART_COSTS)

    @property
    def digest(self) -> str:
        """Of the whole question. A funnel's steps are told each as it is alone, which its digest says."""
        return sha256(canonical_bytes([*self.sizes, "each" if self.funnel else False, *self.drawn]))
