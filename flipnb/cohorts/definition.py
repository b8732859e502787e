"""A whole definition: who enters, whom to keep, when they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from flipnb.cohorts.codes import Codes
from flipnb.cohorts.conditions import Condition, Group, Records, all_of
from flipnb.cohorts.written import Json
from flipnb.contracts.cohort import CohortExpression

Limit = Literal["all", "first", "last"]


@dataclass(frozen=True)
class Definition:
    """A cohort definition. Each method gives another one; ``expression()`` is OHDSI's JSON."""

    entry: tuple[Records, ...]
    prior_days: int
    post_days: int
    limit: Limit
    rules: tuple[tuple[str, Group], ...] = ()
    kept: Limit = "all"
    end: Json | Callable[[Callable[[Codes], int]], Json] | None = None
    censoring: tuple[Records, ...] = ()
    gap_days: int = 0
    calendar: Mapping[str, str] = field(default_factory=dict)

    def require(self, name: str, *conditions: Condition) -> Definition:
        """An inclusion rule: all of this holds for the event. The funnel shows it under its name."""
        return replace(self, rules=(*self.rules, (name, all_of(*conditions))))

    def keep(self, limit: Limit) -> Definition:
        """Each person's first or last event of those that meet all rules."""
        return replace(self, kept=limit)

    def leave_after(self, days: int, *, of: Literal["start", "end"] = "start") -> Definition:
        """People leave so many days after the event's start or end, if observation has not ended before."""
        day = {"start": "StartDate", "end": "EndDate"}[of]
        return replace(self, end={"DateOffset": {"DateField": day, "Offset": days}})

    def leave_when_drug_stops(self, codes: Codes, *, gap_days: int = 0, more_days: int = 0) -> Definition:
        """People leave at the end of persistent exposure: exposures at most ``gap_days`` apart are one."""
        return replace(
            self,
            end=lambda ids: {"CustomEra": {"DrugCodesetId": ids(codes), "GapDays": gap_days, "Offset": more_days}},
        )

    def leave_on(self, *records: Records) -> Definition:
        """People leave at the first of such records."""
        return replace(self, censoring=(*self.censoring, *records))

    def join_stays(self, gap_days: int) -> Definition:
        """Stays of a person at most so many days apart become one."""
        return replace(self, gap_days=gap_days)

    def between(self, since: date | None = None, until: date | None = None) -> Definition:
        """Stays are cut to these days of the calendar."""
        days = {"StartDate": since, "EndDate": until}
        return replace(self, calendar={name: day.isoformat() for name, day in days.items() if day is not None})

    def expression(self) -> Json:
        """The JSON that ATLAS would write, as a new dictionary.

        Raises FlipError ``unsupported-cohort``, ``invalid-cohort``.
        """
        known: dict[Codes, int] = {}

        def ids(codes: Codes) -> int:
            return known.setdefault(codes, len(known))

        written: Json = {
            "PrimaryCriteria": {
                "CriteriaList": [records.written(ids) for records in self.entry],
                "ObservationWindow": {"PriorDays": self.prior_days, "PostDays": self.post_days},
                "PrimaryCriteriaLimit": _limit(self.limit),
            },
            "QualifiedLimit": _limit("all"),
            "ExpressionLimit": _limit(self.kept),
            "InclusionRules": [{"name": name, "expression": group.written(ids)} for name, group in self.rules],
            "CensoringCriteria": [records.written(ids) for records in self.censoring],
            "CollapseSettings": {"CollapseType": "ERA", "EraPad": self.gap_days},
            "CensorWindow": dict(self.calendar),
        }
        if self.end is not None:
            written["EndStrategy"] = self.end(ids) if callable(self.end) else self.end
        whole = {"ConceptSets": [codes.written(number) for codes, number in known.items()], **written}
        CohortExpression.parse(whole)
        return whole


def enter(*records: Records, prior_days: int = 0, post_days: int = 0, limit: Limit = "all") -> Definition:
    """People enter by any of these records, observed for so many days before and after.

        enter(condition(diabetes).first(), prior_days=365)

    ``limit``: all of a person's records, the first or the last. Each method of what it gives adds something.
    """
    return Definition(records, prior_days, post_days, limit)


def _limit(limit: Limit) -> Json:
    return {"Type": limit.title()}
