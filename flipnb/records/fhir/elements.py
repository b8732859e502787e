"""FHIR's data types out of OMOP's columns. Everything given out is valid: no empty string, no impossible number."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from typing import Any

from flipnb.records.fhir.store import Store
from flipnb.records.fhir.systems import OHDSI, SOURCE, UCUM, system_of

Element = dict[str, Any]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COMPARATORS = {4171754: "<=", 4171755: ">=", 4171756: "<", 4172704: ">"}


def text(value: Any) -> str | None:
    """A string that FHIR allows: no control characters, not empty."""
    if value is None:
        return None
    cleaned = _CONTROL.sub("", str(value)).strip()
    return cleaned or None


def without_nothing(element: Element) -> Element:
    """The element without members that are None or empty."""
    return {key: value for key, value in element.items() if value is not None and value not in ("", [], {})}


def coding(system: str, code: str, display: str | None = None) -> Element:
    """A Coding, without a display where there is none."""
    return without_nothing({"system": system, "code": code, "display": display})


def concept_codings(store: Store, *concept_ids: int | None) -> list[Element]:
    """The codings of concepts, each in its own system, then by OMOP's ids. 0 is OMOP's "no matching concept"."""
    known = store.codings.get(concept_ids)
    if known is None:
        known = store.codings[concept_ids] = _concept_codings(store, concept_ids)
    return known


def _concept_codings(store: Store, concept_ids: tuple[int | None, ...]) -> list[Element]:
    own: list[Element] = []
    ohdsi: list[Element] = []
    for number in concept_ids:
        if not number:
            continue
        concept = store.concept(number)
        if concept is not None and (code := text(concept.code)) is not None:
            part = coding(system_of(concept.vocabulary), " ".join(code.split()), text(concept.name))
            if part not in own:
                own.append(part)
        part = coding(OHDSI, str(int(number)), None if concept is None else text(concept.name))
        if part not in ohdsi:
            ohdsi.append(part)
    return own + ohdsi


def codeable(store: Store, *concept_ids: int | None, source: Any = None) -> Element | None:
    """A CodeableConcept of concepts; its text is the first one's name, else what the source had.

    What the source had is a coding of its own only where there is no concept.
    """
    codings = concept_codings(store, *concept_ids)
    if not codings and (unmapped := text(source)) is not None:
        codings = [coding(SOURCE, " ".join(unmapped.split()))]
    names = [concept.name for number in concept_ids if (concept := store.concept(number)) is not None]
    words = text(names[0] if names else None) or text(source)
    return without_nothing({"coding": codings, "text": words}) or None


def fixed(system: str, code: str, display: str | None = None) -> Element:
    """A CodeableConcept of one code that the mapping itself gives."""
    return {"coding": [coding(system, code, display)]}


def reference(store: Store, kind: str, number: int | None) -> Element | None:
    """A Reference ``KIND/ID`` by the id's pseudonym; None where the column is null."""
    return None if number is None else {"reference": f"{kind}/{store.pseudonyms.encode(kind, int(number))}"}


def day(value: Any) -> str | None:
    """The date of a date or a date-time."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else None


def moment(on: Any, at: Any) -> str | None:
    """A dateTime of a date and a date-time column: with its time where there is one.

    OMOP keeps no time zone; times are given as UTC, and midnight as no time at all, which it means in OMOP.
    """
    if isinstance(at, datetime) and at.timetz().replace(tzinfo=None) != time(0):
        return at.replace(tzinfo=None, microsecond=0).isoformat() + "Z"
    return day(on) or day(at)


def period(start: str | None, end: str | None) -> Element | None:
    """A Period, whose end is not before its start (FHIR's invariant per-1)."""
    if start is not None and end is not None and end[:10] < start[:10]:
        end = None
    return without_nothing({"start": start, "end": end}) or None


def decimal(value: Any) -> int | float | None:
    """A number as JSON's; 120.0 as 120, infinity and NaN as nothing."""
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def quantity(store: Store, value: Any, unit_concept: int | None = None, unit: Any = None) -> Element | None:
    """A Quantity, coded in UCUM where the unit's concept is of UCUM."""
    number = decimal(value)
    if number is None:
        return None
    concept = store.concept(unit_concept)
    words = text(unit)
    if concept is not None and concept.vocabulary == "UCUM" and (code := text(concept.code)):
        return {"value": number, "unit": words or code, "system": UCUM, "code": code}
    if store.ucum_units and words is not None:
        return {"value": number, "unit": words, "system": UCUM, "code": words}
    if words is None and concept is not None:
        words = text(concept.name)
    return without_nothing({"value": number, "unit": words})


def comparator(operator_concept: int | None) -> str | None:
    """Quantity's ``<``, ``<=``, ``>=`` or ``>`` for OMOP's operator concept; None for equal or none."""
    return _COMPARATORS.get(int(operator_concept)) if operator_concept else None
