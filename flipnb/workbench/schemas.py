"""Plan files and cohorts for editors: their JSON Schemas, and what is wrong with a text, with its place.

``python -m flipnb.lab.openapi`` writes the published schemas with the front end's contract; a test finds them stale
where a model was changed and this was not run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.problem import FlipError
from flipnb.workbench.json_places import Places, Span, find_mistake, line_of
from flipnb.workbench.plan_file import PlanFile

Kind = Literal["plan", "cohort"]
FOLDER = Path(__file__).with_name("published_schemas")
_MODELS: dict[Kind, type[BaseModel]] = {"plan": PlanFile, "cohort": CohortExpression}
_TITLES: dict[Kind, str] = {"plan": "FLIP plan file (NAME.flip.json)", "cohort": "Cohort (NAME.cohort.json)"}
_MOST = 50


@dataclass(frozen=True)
class TextIssue:
    """Something wrong in a text, from one character to another; ``line`` counts from 1."""

    start: int
    end: int
    line: int
    message: str


def schema_of(kind: Kind) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind of file, made of its model."""
    made = _MODELS[kind].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": _TITLES[kind]}


def published(kind: Kind) -> Path:
    """The file in which the schema of a kind is published, in this package."""
    return FOLDER / f"{kind}.schema.json"


def find_text_issues(kind: Kind, text: str) -> list[TextIssue]:
    """What is wrong with the text of a file: that it is no JSON, else what its model says; 50 at most."""
    mistake = find_mistake(text)
    if mistake is not None:
        return [_issue(text, mistake.span, f"This is not JSON: {mistake.words}.")]
    value, places = json.loads(text), Places(text)
    if not isinstance(value, dict):
        return [_issue(text, places.of(()), f"This is no {kind}: an object, {{…}}, is needed.")]
    found = _wrong_plan(value, places) if kind == "plan" else _wrong_cohort(value, places)
    return [_issue(text, span, message) for span, message in found][:_MOST]


def _wrong_plan(value: dict[str, Any], places: Places) -> Iterator[tuple[Span, str]]:
    try:
        PlanFile.model_validate(value)
    except ValidationError as error:
        yield from _placed(error, places)


def _wrong_cohort(value: dict[str, Any], places: Places) -> Iterator[tuple[Span, str]]:
    """First what the model says of single fields, each at its place; else what the expression as a whole has wrong."""
    told = False
    try:
        CohortExpression.model_validate(_without_nulls(value))
    except ValidationError as error:
        for span, message in _placed(error, places):
            told = True
            yield span, message
    except RecursionError:
        pass
    if not told:
        try:
            CohortExpression.parse(value)
        except FlipError as error:
            yield places.of(()), str(error)


def _placed(error: ValidationError, places: Places) -> Iterator[tuple[Span, str]]:
    """Each of a model's errors in words, at its place; of a field's alternatives, the first that is said of a place."""
    seen: set[int] = set()
    for one in error.errors(include_url=False, include_input=False):
        path = one["loc"]
        if one["type"] == "extra_forbidden":
            span, message = places.key(path), f"{str(path[-1])[:80]} is not known here."
        elif one["type"] == "missing":
            span, message = places.of(path[:-1]), f"{path[-1]} is missing."
            span = Span(span.start, min(span.start + 1, span.end))
        else:
            reason = one["msg"].removeprefix("Value error, ").rstrip(".")
            span, message = places.of(path), f"{reason}."
        if span.start not in seen or one["type"] == "missing":
            seen.add(span.start)
            yield span, message


def _without_nulls(value: Any) -> Any:
    """As OHDSI's tools read it: null means absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _issue(text: str, span: Span, message: str) -> TextIssue:
    return TextIssue(span.start, max(span.end, span.start + 1), line_of(text, span.start), message)


def publish() -> None:
    """Write the schemas into this package."""
    FOLDER.mkdir(exist_ok=True)
    for kind in _MODELS:
        published(kind).write_text(json.dumps(schema_of(kind), indent=1) + "\n")
