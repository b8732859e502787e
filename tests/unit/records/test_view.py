"""Views beside the official tests: %rowIndex, repeat, unions, what is refused and why, types, formats."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import duckdb
import pandas as pd
import pytest

from flipnb.contracts.problem import FlipError
from flipnb.records.view import rows
from flipnb.records.view_definition import ViewDefinition
from flipnb.records.view_table import frame, write_csv, write_json, write_parquet

PATIENTS = [
    {
        "resourceType": "Patient",
        "id": "pt1",
        "active": True,
        "birthDate": "1970-06-01",
        "name": [{"family": "Smith", "given": ["John", "James"]}, {"family": "Jones", "given": ["Jane"]}],
        "contact": [
            {"name": {"family": "C1"}, "telecom": [{"value": "1"}, {"value": "2"}]},
            {"name": {"family": "C2"}, "telecom": [{"value": "3"}]},
        ],
    },
    {"resourceType": "Patient", "id": "pt2"},
    {"resourceType": "Observation", "id": "o1", "status": "final", "valueQuantity": {"value": Decimal("1.50")}},
]


def column(name, path, **more):
    return {"name": name, "path": path, **more}


def view(*select, resource="Patient", **more):
    return {"resource": resource, "select": list(select), **more}


def table(definition, resources=PATIENTS):
    return [tuple(row.values()) for row in rows(ViewDefinition.read(definition), resources)]


ID = {"column": [column("id", "id")]}


def test_row_index_is_that_of_the_nearest_iteration():
    index = column("index", "%rowIndex", type="integer")
    assert table(view({"column": [column("id", "id"), index]})) == [("pt1", 0), ("pt2", 0)]
    each = {"column": [index, column("value", "value")]}
    nested = view(
        ID, {"forEach": "contact", "column": [column("outer", "%rowIndex")], "select": [{"forEach": "telecom", **each}]}
    )
    assert table(nested) == [("pt1", 0, 0, "1"), ("pt1", 0, 1, "2"), ("pt1", 1, 0, "3")]
    or_null = view(ID, {"forEachOrNull": "name", "column": [index, column("family", "family")]})
    assert table(or_null) == [("pt1", 0, "Smith"), ("pt1", 1, "Jones"), ("pt2", 0, None)]
    inherits = {"column": [index, column("value", "name.family")]}
    union = view({"forEach": "contact", "select": [{"unionAll": [{"forEach": "telecom", **each}, inherits]}]})
    assert table(union) == [(0, "1"), (1, "2"), (0, "C1"), (0, "3"), (1, "C2")]


def test_for_each_and_union_on_one_level():
    names = {
        "unionAll": [
            {"column": [column("name", "name.family")]},
            {"forEach": "telecom", "column": [column("name", "value")]},
        ]
    }
    assert table(view(ID, {"forEachOrNull": "contact", **names})) == [
        ("pt1", "C1"), ("pt1", "1"), ("pt1", "2"), ("pt1", "C2"), ("pt1", "3"), ("pt2", None),
    ]  # fmt: skip
    assert len(table(view(ID, {"forEach": "contact", **names}))) == 5
    both = view(ID, {"forEach": "name", "column": [column("a", "family")]}, {"forEach": "contact", **names})
    assert len(table(both)) == 10


def test_join_of_nothing_is_the_empty_string_as_the_suite_has_it():
    assert table(view({"column": [column("given", "name.given.join(', ')")]})) == [("John, James, Jane",), ("",)]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ({}, "resource"),
        ({"resource": "Patient"}, "select"),
        ({"resource": "Patient", "select": []}, "select"),
        ({"resource": "Nonsense", "select": [ID]}, "no resource"),
        (view({"forEach": 1, **ID}), "select.0.forEach"),
        (view({"forEach": "name", "forEachOrNull": "name", **ID}), "exclude each other"),
        (view({"column": [column("a-b", "id")]}), "select.0.column.0.name"),
        (view({"column": [{"name": "a"}]}), "select.0.column.0.path"),
        (view(ID, ID), "two columns id"),
        (view({"column": [column("a", "name.where(use = %x).family")]}), "%x is not defined"),
        (view({"column": [column("a", "nothing()")]}), "no function nothing()"),
        (view(ID, where=[{"path": "name.family"}]), "is a string"),
        (view(ID, constant=[{"name": "x"}]), "one value"),
        (view(ID, constant=[{"name": "x", "valueInteger": "1"}]), "is no integer"),
        (view(ID, constant=[{"name": "x", "valueCoding": {}}]), "no type of a constant"),
        (view({"unionAll": [ID, {"column": [column("other", "id")]}]}), "not those of the first branch"),
        (view({"column": [column("a", "id", tag=[{"name": "ansi/type", "value": "INT); DROP"}])]}), "no SQL type"),
    ],
)
def test_refused_with_reason(definition, reason):
    with pytest.raises(FlipError) as error:
        ViewDefinition.read(definition)
    assert error.value.code == "invalid-view" and reason in error.value.message


def test_refused_by_the_data():
    for definition in (
        view({"column": [column("family", "name.family")]}),
        view(ID, where=[{"path": "name.family.first()"}]),
        view({"repeat": ["$this"], "column": [column("id", "id")]}),
        view({"column": [column("late", "name.family > 'J'")]}),
    ):
        with pytest.raises(FlipError) as error:
            table(definition)
        assert error.value.code == "invalid-view"


TYPED = view(
    {
        "column": [
            column("id", "id", type="id"),
            column("active", "active", type="boolean"),
            column("born", "birthDate", type="date", tag=[{"name": "ansi/type", "value": "DATE"}]),
            column("names", "name.family", type="string", collection=True),
            column("count", "name.count()", type="integer"),
            column("first_name", "name.first()"),
        ]
    }
)


def test_parquet_has_the_types_of_the_columns(tmp_path):
    path = tmp_path / "o'brien.parquet"
    definition = ViewDefinition.read(TYPED)
    assert write_parquet(definition, rows(definition, PATIENTS), path) == 2
    result = duckdb.execute("SELECT * FROM read_parquet($path)", {"path": str(path)})
    assert [str(kind) for _, kind, *_ in result.description] == [
        "VARCHAR", "BOOLEAN", "DATE", "VARCHAR[]", "INTEGER", "VARCHAR",
    ]  # fmt: skip
    first, second = result.fetchall()
    assert first[3] == ["Smith", "Jones"] and first[4] == 2 and json.loads(first[5])["family"] == "Smith"
    assert second == ("pt2", None, None, [], 0, None)


def test_a_value_that_is_not_of_the_type_is_refused(tmp_path):
    definition = ViewDefinition.read(view({"column": [column("id", "id", type="integer")]}))
    with pytest.raises(FlipError) as error:
        write_parquet(definition, rows(definition, PATIENTS), tmp_path / "x.parquet")
    assert error.value.code == "column-type"


def test_csv_and_json():
    definition = ViewDefinition.read(TYPED)
    text = io.StringIO()
    write_csv(definition, rows(definition, PATIENTS), text)
    lines = text.getvalue().splitlines()
    assert lines[0] == "id,active,born,names,count,first_name" and lines[2] == "pt2,,,[],0,"
    text = io.StringIO()
    assert write_json(rows(definition, PATIENTS), text) == 2
    assert json.loads(text.getvalue())[0]["active"] is True
    empty = io.StringIO()
    write_json([], empty)
    assert json.loads(empty.getvalue()) == []


def test_frame():
    definition = ViewDefinition.read(
        view(ID, {"column": [column("value", "value.ofType(Quantity).value", type="decimal")]}, resource="Observation")
    )
    result = frame(definition, PATIENTS)
    assert result["value"].tolist() == [1.5] and result["value"].dtype == float


def test_instants_are_points_in_time(tmp_path):
    definition = ViewDefinition.read(view({"column": [column("at", "issued", type="instant")]}, resource="Observation"))
    observations = [{"resourceType": "Observation", "issued": text} for text in ("2015-02-07T13:28:17.239+02:00", None)]
    result = frame(definition, observations)["at"]
    assert result[0] == pd.Timestamp("2015-02-07T11:28:17.239Z") and result.isna().tolist() == [False, True]
