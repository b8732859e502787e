"""Charts in the words of a command or a notebook: ``age``, ``age:5``, ``sex``, ``year:2010-2020``, ``missing:…``."""

from __future__ import annotations

import re

from pydantic import ValidationError

from flipnb.contracts.chart import AgeChart, Chart, MissingChart, SexChart, VariableChart, YearChart
from flipnb.contracts.problem import FlipError

WORDS = "age, age:5, sex, year:2010-2020, missing:measurement:CONCEPT (or observation, condition)"


def read_chart(words: str) -> Chart:
    """Raises FlipError ``unknown-chart``."""
    kind, _, rest = words.partition(":")
    years = re.fullmatch(r"(\d{4})-(\d{4})", rest)
    missing = re.fullmatch(r"(measurement|observation|condition):(\d{1,10})", rest)
    try:
        if kind == "age" and re.fullmatch(r"\d{0,2}", rest):
            return AgeChart.model_validate({"width": int(rest)} if rest else {})
        if words == "sex":
            return SexChart()
        if kind == "year" and years is not None:
            return YearChart(first=int(years[1]), last=int(years[2]))
        if kind == "missing" and missing is not None:
            return MissingChart.model_validate({"source": missing[1], "concept_id": int(missing[2])})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise FlipError("unknown-chart", f"{words[:80]!r} is no chart: {reason}.") from None
    raise FlipError("unknown-chart", f"{words[:80]!r} is no chart.", remedy=f"There are: {WORDS}.")


def chart_words(chart: Chart) -> str:
    """What ``read_chart`` reads; a variable's chart by its name."""
    match chart:
        case AgeChart():
            return f"age:{chart.width}"
        case SexChart():
            return "sex"
        case YearChart():
            return f"year:{chart.first}-{chart.last}"
        case MissingChart():
            return f"missing:{chart.source}:{chart.concept_id}"
        case VariableChart():
            return f"variable:{chart.variable.name}"
