"""docs/estate.md has every key of a mapping file, whether it is needed, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from flipnb.estate.harmonise.mapping import Mapping
from flipnb.estate.harmonise.mapping_parts import EventDate, MappingPart

PAGE = Path(__file__).parents[3] / "docs" / "estate.md"


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, MappingPart):
        yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def keys(model: type[BaseModel], place: str) -> Iterator[tuple[str, str, bool]]:
    for name, field in model.model_fields.items():
        yield place or "the file", name, field.is_required()
        for part in parts(field.annotation):
            yield from keys(part, "date" if part is EventDate else f"{place}.{name}".strip("."))


def documented() -> list[tuple[str, str, bool]]:
    table = PAGE.read_text().partition("### Every key of a mapping file")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if "| `" in line]
    return [(place.strip(), key.strip("`"), needed == "yes") for place, key, needed, *_ in rows]


def test_every_key_is_in_the_table_and_no_other():
    found = documented()
    assert len(set(found)) == len(found)
    assert set(found) == set(keys(Mapping, ""))
    assert len(found) > 90
