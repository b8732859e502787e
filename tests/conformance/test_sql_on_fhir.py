"""The official tests of SQL on FHIR 2 (FHIR/sql-on-fhir-v2, tests/), read where they lie."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from public_data import SQL_ON_FHIR

from flipnb.contracts.problem import FlipError
from flipnb.records.view import rows
from flipnb.records.view_definition import ViewDefinition


def cases():
    """Each case of each file; without the files their names, to be skipped."""
    if not SQL_ON_FHIR.is_there():
        yield from (pytest.param(None, {}, id=name) for name in SQL_ON_FHIR.names())
        return
    for path in sorted(SQL_ON_FHIR.directory().glob("*.json")):
        suite = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        for case in suite["tests"]:
            yield pytest.param(suite["resources"], case, id=f"{path.stem}: {case['title']}")


def run(definition, resources):
    return list(rows(ViewDefinition.read(definition), resources))


def canonical(table):
    """Rows without their order, which the specification leaves open."""
    return sorted(json.dumps(row, sort_keys=True, default=float) for row in table)


def test_suite_is_there():
    assert len(list(SQL_ON_FHIR.directory().glob("*.json"))) >= 15


@pytest.mark.parametrize(("resources", "case"), cases())
def test_official(resources, case):
    SQL_ON_FHIR.directory()
    if case.get("expectError"):
        with pytest.raises(FlipError):
            run(case["view"], resources)
        return
    table = run(case["view"], resources)
    assert canonical(table) == canonical(case["expect"])
    if "expectColumns" in case:
        assert [column.name for column in ViewDefinition.read(case["view"]).columns] == case["expectColumns"]
        assert all(list(row) == case["expectColumns"] for row in table)
