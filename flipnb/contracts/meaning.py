"""One text for all spellings of a cohort: what a budget is charged by, so that rewording draws no new noise.

Left out: names and descriptions, the numbering of concept sets, concept sets that nothing refers to, fields at their
defaults, and the order of lists (criteria, groups, rules, concepts), none of which changes who is in a cohort. Two
definitions that are equal for a deeper reason count as two questions, and each is paid for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from flipnb.contracts.cohort import CohortExpression, ConceptSet, names_concept_set
from flipnb.contracts.cohort_values import Concept, TextFilter
from flipnb.contracts.document import sha256

_RULES = "inclusion_rules"
_LONG = 4096
"""Characters, of some 80 concepts. What is longer is named by its SHA-256 where it stands more than once."""
_SAID_TO_PEOPLE = {"name", "description", "title", "cdm_version_range"}


def meaning(expression: CohortExpression) -> str:
    """SHA-256 of the cohort's canonical text."""
    return meanings(expression, (len(expression.inclusion_rules),))[0]


def meanings(expression: CohortExpression, rules: Sequence[int]) -> tuple[str, ...]:
    """Of the cohort with its first so many inclusion rules alone, for each number in ``rules``: see ``meaning``.

    What they have in common is written once: a funnel has up to 200 of them.
    """
    sets = {one.id: _short(_text(_concept_set(one))) for one in expression.concept_sets}
    common = _plain(expression.model_copy(update={_RULES: ()}), sets)
    parts = {name: _text(value) for name, value in common.items()}
    ruled = [_short(_text(_plain(rule, sets))) for rule in expression.inclusion_rules]

    def whole(number: int) -> str:
        said = parts | ({_RULES: f"[{','.join(sorted(ruled[:number]))}]"} if ruled[:number] else {})
        return f"{{{','.join(f'{_text(name)}:{text}' for name, text in sorted(said.items()))}}}"

    return tuple(sha256(whole(number).encode()) for number in rules)


def _short(text: str) -> str:
    """The text; its SHA-256 where it is long: 250 criteria may refer to one set of 6,000 concepts."""
    return text if len(text) <= _LONG else sha256(text.encode())


def _concept_set(one: ConceptSet) -> list[Any]:
    items = [_plain(item, {}) for item in one.expression.items]
    return sorted({_text(item) for item in items})


def _plain(value: Any, sets: dict[int, str]) -> Any:
    if isinstance(value, Concept):
        return value.concept_id
    if isinstance(value, BaseModel):
        said = {name: (alias, getattr(value, name)) for name, alias, default in _fields(type(value))
                if getattr(value, name) != default}  # fmt: skip
        return {name: _named(alias, item, sets) for name, (alias, item) in said.items()}
    if isinstance(value, tuple | list):
        listed = [_plain(item, sets) for item in value]
        if all(isinstance(item, Concept) for item in value):
            listed = sorted(set(listed))
        return sorted(listed, key=_text) if len(listed) > 1 else listed
    if isinstance(value, dict):
        return {str(key): _plain(item, sets) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _named(alias: str, value: Any, sets: dict[int, str]) -> Any:
    """A field's value; a reference to a concept set is replaced by what the set holds."""
    if isinstance(value, int) and not isinstance(value, bool) and names_concept_set(alias):
        return sets.get(value, value)
    return _plain(value, sets)


@cache
def _fields(model: type[BaseModel]) -> tuple[tuple[str, str, Any], ...]:
    """Name, JSON name and default of the fields that carry meaning; concept sets do so where they are referred to."""
    return tuple(
        (name, field.alias or name, field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if name not in _SAID_TO_PEOPLE and not (model is CohortExpression and name == "concept_sets")
    )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


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
