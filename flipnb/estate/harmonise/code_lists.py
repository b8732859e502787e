"""Code lists as others write them: Usagi's CSV export, and CSV in the shape of the CDM's source_to_concept_map."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError

_USAGI = frozenset({"sourcecode", "mappingstatus", "conceptid"})
_CDM = frozenset({"source_code", "target_concept_id"})
_FOREVER = date(2099, 12, 31)
_BEGINNING = date(1970, 1, 1)


@dataclass(frozen=True)
class CodeMapping:
    """A source code and its standard concept. ``domain`` is what the list says of the concept, if it says so."""

    code: str
    description: str | None
    concept_id: int
    target_vocabulary: str | None
    domain: str | None

    def row(self, vocabulary: str) -> dict[str, Any]:
        """As a row of source_to_concept_map, whose codes are of ``vocabulary``."""
        return {
            "source_code": self.code[:50],
            "source_concept_id": 0,
            "source_vocabulary_id": vocabulary,
            "source_code_description": None if self.description is None else self.description[:255],
            "target_concept_id": self.concept_id,
            "target_vocabulary_id": self.target_vocabulary or "None",
            "valid_start_date": _BEGINNING,
            "valid_end_date": _FOREVER,
        }


def read_code_list(path: Path) -> list[CodeMapping]:
    """The mappings that hold: of Usagi's those that somebody approved, of a source_to_concept_map those that are valid.

    Raises FlipError ``no-code-list``, ``bad-code-list`` (file and line).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            if set(names) >= _USAGI:
                return list(_read(path, reader, names, _usagi))
            if set(names) >= _CDM:
                return list(_read(path, reader, names, _cdm))
    except (OSError, UnicodeDecodeError) as error:
        raise FlipError("no-code-list", f"The code list {path} can't be read: {error}.") from None
    raise FlipError(
        "bad-code-list",
        f"{path}, line 1: these are the columns of neither Usagi's export nor source_to_concept_map.",
        remedy="In Usagi, use File > Export, or save; its CSV has sourceCode, mappingStatus and conceptId.",
    )


def _read(path: Path, reader: csv.DictReader[str], names: dict[str, str], parse: Any) -> Iterator[CodeMapping]:
    for row in reader:
        try:
            found = parse({key: (row[name] or "").strip() for key, name in names.items()})
        except ValueError as error:
            raise FlipError("bad-code-list", f"{path}, line {reader.line_num}: {error}.") from None
        if found is not None:
            yield found


def _usagi(row: dict[str, str]) -> CodeMapping | None:
    if row["mappingstatus"].upper() != "APPROVED" or row["conceptid"] in ("", "0"):
        return None
    domain = row.get("domainid") or None
    return CodeMapping(row["sourcecode"], row.get("sourcename") or None, int(row["conceptid"]), None, domain)


def _cdm(row: dict[str, str]) -> CodeMapping | None:
    if row.get("invalid_reason") or row["target_concept_id"] in ("", "0"):
        return None
    return CodeMapping(
        row["source_code"],
        row.get("source_code_description") or None,
        int(row["target_concept_id"]),
        row.get("target_vocabulary_id") or None,
        None,
    )
