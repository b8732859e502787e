"""HL7's own validator finds no error in anything that the interface gives out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fhir_samples import sample_database
from hl7_validator import errors_of
from public_data import FHIR_R4, synthea

import flipnb.demo.hospitals as hospitals
from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.serve.bundles import capability_statement, searchset
from flipnb.estate.serve.outcomes import outcome_of
from flipnb.records.database import DuckDatabase
from flipnb.records.fhir import Pseudonyms, Search, Store, search
from flipnb.records.fhir.resources import RESOURCES
from flipnb.records.fhir.search import search_all

HOSPITALS = Path(hospitals.__file__).parent
BASE = "http://127.0.0.1:8080"


def shape(resource: dict) -> str:
    """What is left of a resource without what differs from row to row: two of one shape are valid together."""

    def plain(value, key=""):
        if isinstance(value, dict):
            return {name: plain(part, name) for name, part in value.items() if name not in ("id", "meta", "reference")}
        if isinstance(value, list):
            return [plain(part, key) for part in value]
        if isinstance(value, str) and value[:4].isdigit() and value[4:5] in ("", "-"):
            return len(value)
        return "number" if key == "value" and not isinstance(value, str) else value

    body = {key: value for key, value in resource.items() if key != "identifier"}
    return json.dumps(plain(body), sort_keys=True)


def one_of_each(resources: Iterable[dict]) -> list[dict]:
    return list({shape(resource): resource for resource in resources}.values())


def store_of(connection, key=b"k" * 32) -> Store:
    updated = datetime(2024, 5, 1, 12, tzinfo=UTC)
    return Store(DuckDatabase(connection), Pseudonyms(key), version="a" * 32, updated=updated)


def of_an_estate(directory: Path) -> list[dict]:
    estate = Estate.open(directory)
    with estate.reading(estate.current() or "") as connection:
        store = store_of(connection)
        return one_of_each(item for kind in RESOURCES for item in search_all(store, kind))


def of_the_server() -> list[dict]:
    """Bundles of every kind, capabilities and outcomes."""
    found: list[dict] = []
    with sample_database() as connection:
        store = store_of(connection)
        found += [item for kind in RESOURCES for item in one_of_each(search_all(store, kind))[::3]]
        for kind, query in [
            ("Patient", [("_count", "3"), ("_revinclude", "Condition:patient")]),
            ("Observation", [("_count", "2"), ("_include", "Observation:patient"), ("_sort", "-date")]),
            ("Encounter", [("_summary", "count")]),
            ("MedicationRequest", [("_elements", "authoredOn"), ("_count", "2")]),
            ("ImagingStudy", [("_summary", "true"), ("_count", "2")]),
            ("Condition", [("code", "nothing"), ("name", "x")]),
        ]:
            wanted = Search.of(kind, query)
            page = search(store, wanted)
            found.append(searchset(BASE, wanted, page, store, [f"{name} was ignored." for name in wanted.ignored]))
        found.append(capability_statement(BASE, store))
    found += [outcome_of(FlipError(code, "Words.")) for code in ("not-found", "bad-value", "no-token", "other")]
    return found


# So that silence means something.
WRONG = [
    {"resourceType": "Patient", "id": "wrong", "gender": "robot"},
    {"resourceType": "Observation", "id": "wrong", "status": "final"},
]


@pytest.mark.timeout(600)
def test_no_error_but_in_what_is_wrong(tmp_path):
    load(str(synthea()), "omop-5.4", str(tmp_path / "synthea"))
    load(str(FHIR_R4.directory()), "fhir-r4", str(tmp_path / "bundles"))
    # The validator takes a hundredth of a second for each, the machine that tests may be slow: a part of each kind.
    resources = of_the_server() + of_an_estate(tmp_path / "synthea")[::2] + of_an_estate(tmp_path / "bundles")[::9]
    for mapping in sorted((HOSPITALS / "mappings").glob("*.toml")):
        load(str(HOSPITALS / "extracts" / mapping.stem), str(mapping), str(tmp_path / mapping.stem))
        resources += of_an_estate(tmp_path / mapping.stem)
    resources = one_of_each(resources)
    assert {resource["resourceType"] for resource in resources} >= {*RESOURCES, "Bundle", "CapabilityStatement"}
    errors = errors_of([*resources, *WRONG])
    assert [error for error in errors if "/wrong " not in error] == []
    assert len({error.partition("/")[0] for error in errors}) == len(WRONG)
