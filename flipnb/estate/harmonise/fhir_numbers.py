"""The numbers by which source systems know a FHIR Patient, for the estate's identity map, and a procedure's images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from flipnb.estate.harmonise.fhir_elements import References, Unusable, many, when

_FEED = "fhir-r4"
_LONGEST = 64


@dataclass(frozen=True)
class Harmonised:
    """A row of a table that no concept's domain decides."""

    table: str
    values: dict[str, Any]


def numbers_of(patient: dict[str, Any], references: References) -> Iterator[Harmonised]:
    """Identifiers with their systems (or who assigned them), and the patients that this one replaces or is replaced by.

    Those without a system are left out, and those whose period can't be read.
    """
    own = str(patient["id"])
    for one in many(patient.get("identifier")):
        system = one.get("system") or (one.get("assigner") or {}).get("display")
        number = str(one.get("value") or "").strip()
        if not system or not number or len(number) > _LONGEST:
            continue
        try:
            since, until = (_day(one.get("period"), end) for end in ("start", "end"))
        except Unusable:
            continue
        codings = many((one.get("type") or {}).get("coding"))
        yield Harmonised(
            "person_number",
            {
                "system": str(system)[:255],
                "number": number,
                "kind": next((str(code["code"])[:20] for code in codings if code.get("code")), None),
                "person_source_value": own[:50],
                "valid_from": since,
                "valid_to": until,
            },
        )
    for link in many(patient.get("link")):
        other = references.key(link.get("other"), "Patient")
        if other is None or link.get("type") not in ("replaces", "replaced-by"):
            continue
        identity = other.removeprefix("Patient/")
        merged, into = (own, identity) if link["type"] == "replaced-by" else (identity, own)
        yield Harmonised(
            "person_number", {"system": _FEED, "number": merged[:_LONGEST], "merged_into": into[:_LONGEST]}
        )


def accessions_of(resource: dict[str, Any], procedure_id: int) -> Iterator[Harmonised]:
    """The accession numbers of an ImagingStudy or a Procedure, by which its images find the procedure."""
    for one in many(resource.get("identifier")):
        codings = many((one.get("type") or {}).get("coding"))
        number = str(one.get("value") or "").strip()
        if number and any(code.get("code") == "ACSN" for code in codings):
            row = {"procedure_occurrence_id": procedure_id, "accession": number[:64]}
            yield Harmonised("procedure_accession", row)


def _day(period: Any, end: str) -> date | None:
    """A period's first or last day; None where it is open, or ends in a year or month without a day."""
    value = period.get(end) if isinstance(period, dict) else None
    if not value or (end == "end" and len(str(value)) < len("2000-01-01")):
        return None
    return when(value)[0]
