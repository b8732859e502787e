"""One text for all spellings of a cohort: what a budget is charged by, so that rewording draws no new noise.

Left out: names and descriptions, the numbering of concept sets, concept sets that nothing refers to, fields at their
defaults, and the order of lists (criteria, groups, rules, concepts), none of which changes who is in a cohort. Two
definitions that are equal for a deeper reason count as two questions, and each is paid for.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flipnb.contracts.cohort import CohortExpression, ConceptSet, names_concept_set
from flipnb.contracts.cohort_values import Concept, TextFilter
from flipnb.contracts.document import canonical_bytes, sha256

_SAID_TO_PEOPLE = {"name", "description", "title", "cdm_version_range"}


def meaning(expression: CohortExpression, *, rules: int | None = None) -> str:
    """SHA-256 of the cohort's canonical text; ``rules``: with its first so many inclusion rules alone."""
    if rules is not None:
        expression = expression.model_copy(update={"inclusion_rules": expression.inclusion_rules[:rules]})
    sets = {one.id: sha256(canonical_bytes(_concept_set(one))) for one in expression.concept_sets}
    return sha256(canonical_bytes(_plain(expression, sets)))


def _concept_set(one: ConceptSet) -> list[Any]:
    items = {canonical_bytes(_plain(item, {})): _plain(item, {}) for item in one.expression.items}
    return [items[key] for key in sorted(items)]


def _plain(value: Any, sets: dict[int, str]) -> Any:
    if isinstance(value, Concept):
        return value.concept_id
    if isinstance(value, BaseModel):
        return {
            name: _named(field.alias or name, getattr(value, name), sets)
            for name, field in type(value).model_fields.items()
            if name not in _SAID_TO_PEOPLE
            and getattr(value, name) != field.get_default(call_default_factory=True)
            and not (isinstance(value, CohortExpression) and name == "concept_sets")
        }
    if isinstance(value, tuple | list):
        listed = [_plain(item, sets) for item in value]
        if all(isinstance(item, Concept) for item in value):
            listed = sorted(set(listed))
        return sorted(listed, key=canonical_bytes)
    if isinstance(value, dict):
        return {str(key): _plain(item, sets) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _named(alias: str, value: Any, sets: dict[int, str]) -> Any:
    """A field's value; a reference to a concept set is replaced by what the set holds."""
    if isinstance(value, int) and not isinstance(value, bool) and names_concept_set(alias):
        return sets.get(value, value)
    return _plain(value, sets)


def free_text(part: BaseModel) -> str | None:
    """The JSON name of the first criterion on free text, which can name a single person; None without one."""
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, TextFilter):
            return field.alias or name
        for item in value if isinstance(value, tuple) else (value,):
            found = free_text(item) if isinstance(item, BaseModel) else None
            if found is not None:
                return found
    return None
