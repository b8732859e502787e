"""What of a header outlived a de-identifier: values in attributes of Table E.1-1 that stand where they stood.

The table is that of dicom-anonymizer's database of 2026c, written by others; neither the engine nor the post-scan
reads it. A value counts from four characters on (a name, a date, a number of a person; no lone ``F`` or ``1``), at any
depth; values of private elements count too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pydicom
from dicom_cases.headers import elements, said
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c
from pydicom.dataset import Dataset

SHORTEST = 4


@cache
def _table() -> tuple[frozenset[int], tuple[tuple[int, int], ...]]:
    """Single tags, and ``(tag, mask)`` of the repeating groups."""
    rows: Iterable[tuple[int, ...]] = dicomfields_2026c.ALL_TAGS
    single = frozenset(row[0] << 16 | row[1] for row in rows if len(row) == 2)
    masked = tuple((row[0] << 16 | row[1], row[2] << 16 | row[3]) for row in rows if len(row) == 4)
    return single, masked


def in_table(tag: int) -> bool:
    single, masked = _table()
    return tag in single or any(tag & mask == wanted & mask for wanted, mask in masked)


def identifying(ds: Dataset) -> dict[str, str]:
    """Values by their place."""
    found: dict[str, str] = {}
    for place, element in elements(ds):
        text = said(element).strip()
        if len(text) < SHORTEST or text.startswith("1.2.840.10008.") or element.tag.element == 0:
            continue
        if element.tag.is_private or in_table(element.tag):
            found[place] = text
    return found


def survivors(original: Dataset, output: Dataset) -> list[str]:
    """Places where a value of the original's stands unchanged."""
    before, after = identifying(original), dict(elements_said(output))
    return [place for place, text in before.items() if after.get(place, "").strip() == text]


def elements_said(ds: Dataset) -> Iterable[tuple[str, str]]:
    return ((place, said(element)) for place, element in elements(ds))


def public_tag(place: str) -> str:
    """The last tag of a place, with its keyword."""
    tag = place.rsplit(".", maxsplit=1)[-1][:8]
    return f"{tag} {pydicom.datadict.keyword_for_tag(int(tag, 16))}"
