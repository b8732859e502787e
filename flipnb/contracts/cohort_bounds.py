"""How large a cohort expression may be: at least three times what the largest of OHDSI's PhenotypeLibrary needs.

A database plans a statement in a time that grows with the cube of what it joins. Within these bounds that takes
milliseconds, so that nobody's question holds up the others'. And each criterion makes the records of a person who has
very many count once more in the time of an answer: the bounds on criteria keep what one person adds to it far below
the range over which the moment is drawn at which a statement is stopped (docs/threats.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flipnb.contracts.cohort_criteria import (
    CorrelatedCriterion,
    CriteriaGroup,
    Criterion,
    DemographicCriterion,
    ImageFeature,
)
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.problem import FlipError

if TYPE_CHECKING:
    from flipnb.contracts.cohort import CohortExpression

MAXIMUM_TEXT = 512 << 10
"""Bytes of the whole JSON, with the names that ATLAS writes beside every concept: twice the largest phenotype's."""

MAXIMUM_BYTES = 64 << 10
"""Bytes of canonical JSON of what carries meaning, concept sets left out, which have a bound of their own."""

MAXIMUM_CONCEPTS = 6000
"""Items of all concept sets together."""

MAXIMUM_CRITERIA = 75
"""Criteria of all domains, demographic ones, and features of images, wherever they stand."""

MAXIMUM_NESTED = 12
"""Criteria that have criteria of their own: each of their records is an event near which others are looked for."""

MAXIMUM_PAIRED = 6
"""Criteria near an event that are about start and end of their records, or count what is distinct in them: a database
holds each record of a person against each of their events."""

MAXIMUM_DISTINCT = 2
"""Those of them that count what is distinct, which takes ten times as long."""

MAXIMUM_GROUPS = 200
"""Groups of criteria; an inclusion rule has one at least."""

MAXIMUM_SETS = 250
"""Concept sets."""


def require_short(expression: dict[str, Any]) -> None:
    """Refuse JSON of more than MAXIMUM_TEXT bytes. Raises FlipError ``cohort-too-large``, ``invalid-cohort``."""
    try:
        size = len(json.dumps(expression, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, TypeError, RecursionError):
        raise FlipError("invalid-cohort", "The cohort expression is no JSON.") from None
    if size > MAXIMUM_TEXT:
        raise _too_large(f"{size} bytes", MAXIMUM_TEXT)


def require_within_bounds(expression: CohortExpression) -> None:
    """Refuse an expression beyond one of the bounds. Raises FlipError ``cohort-too-large`` that names which."""
    parts = list(_parts(expression))
    paired = [part for part in parts if isinstance(part, CorrelatedCriterion) and not part.is_about_one_date]
    for what, number, most in (
        ("criteria", _number(parts, Criterion, DemographicCriterion, ImageFeature), MAXIMUM_CRITERIA),
        ("criteria that have criteria of their own", sum(map(_is_nested, parts)), MAXIMUM_NESTED),
        ("criteria about both start and end of records, or about distinct ones", len(paired), MAXIMUM_PAIRED),
        ("criteria that count what is distinct", sum(map(_counts_distinct, paired)), MAXIMUM_DISTINCT),
        ("groups of criteria", _number(parts, CriteriaGroup), MAXIMUM_GROUPS),
        ("concept sets", len(expression.concept_sets), MAXIMUM_SETS),
        ("concepts in its sets", sum(len(one.expression.items) for one in expression.concept_sets), MAXIMUM_CONCEPTS),
    ):
        if number > most:
            raise _too_large(f"{number} {what}", most)
    said = expression.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"concept_sets", "title"})
    size = len(canonical_bytes(said))
    if size > MAXIMUM_BYTES:
        raise _too_large(f"{size} bytes beside its concept sets", MAXIMUM_BYTES)


def _number(parts: list[BaseModel], *kinds: type[BaseModel]) -> int:
    return sum(isinstance(part, kinds) for part in parts)


def _is_nested(part: BaseModel) -> bool:
    return isinstance(part, Criterion) and part.correlated_criteria is not None


def _counts_distinct(part: CorrelatedCriterion) -> bool:
    return part.occurrence.is_distinct and part.occurrence.count > 0


def _too_large(what: str, most: int) -> FlipError:
    return FlipError(
        "cohort-too-large",
        f"The cohort expression has {what}; at most {most} are allowed.",
        remedy="Say it by fewer criteria, or by concepts with their descendants.",
    )


def _parts(part: BaseModel) -> Iterator[BaseModel]:
    yield part
    for name in type(part).model_fields:
        value = getattr(part, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, BaseModel):
                yield from _parts(item)
