"""Table E.1-1 of PS3.15 as data, and the private elements that Table E.3.10-1 calls safe.

``table_e1_1.csv`` holds edition 2026c: 652 attributes and four masks, the basic profile's action and one column for
each option. The basic column is the same, row for row, as the 2026c list of dicom-anonymizer 2.1.0
(``tests/conformance/imaging`` compares them); the option columns were read in the tables of LUWAK 0.1.1 (2025b) and
IDIS core 1.6.0 (2025-06) and agree in both, but for eight newer attributes that the first alone has. Actions: X remove,
Z empty, D dummy, U replace the UID, K keep, C clean; ``X/Z`` and the like: by the type in the object's definition.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

OPTIONS = (
    "safe_private",
    "uids",
    "device",
    "institution",
    "patient_characteristics",
    "full_dates",
    "modified_dates",
    "descriptors",
    "structured_content",
    "graphics",
)
EDITION = "PS3.15 2026c Table E.1-1"


@dataclass(frozen=True)
class Row:
    """One attribute: its tag (masks have none), name, the basic profile's action, and the options' by their column."""

    tag: int
    name: str
    basic: str
    options: dict[str, str]

    @property
    def action(self) -> str:
        """The basic action where the attribute's type is not known: the last of ``X/Z/D``, which suits every type."""
        return self.basic.replace("*", "").rsplit("/", 1)[-1]

    @property
    def describes(self) -> bool:
        """Whether it describes what was done or seen, in words, rather than naming someone or something."""
        return bool(self.options.get("descriptors"))


@cache
def table() -> dict[int, Row]:
    """The table's single attributes by tag. Its masks (private, 50xx, 60xx) are rules of the plan itself."""
    rows: dict[int, Row] = {}
    with (files(__package__) / "table_e1_1.csv").open(encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            if set(line["tag"]) <= set("0123456789ABCDEF"):
                options = {name: line[name] for name in OPTIONS if line[name]}
                rows[int(line["tag"], 16)] = Row(int(line["tag"], 16), line["name"], line["basic"], options)
    return rows


@cache
def safe_private() -> dict[tuple[str, int, int], str]:
    """VR by (creator, group, element's last two digits) of Table E.3.10-1 (PS3.15, Retain Safe Private Option)."""
    with (files(__package__) / "safe_private.csv").open(encoding="utf-8") as lines:
        return {
            (line["creator"], int(line["group"], 16), int(line["element"], 16)): line["vr"]
            for line in csv.DictReader(lines)
        }
