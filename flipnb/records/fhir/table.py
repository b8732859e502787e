"""A table of OMOP whose rows are resources: which columns a resource is made of, its id, its version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flipnb.records.fhir.elements import Element, reference, without_nothing
from flipnb.records.fhir.store import Store

Row = Mapping[str, Any]

CODED = ("concept_id", "source_concept_id", "source_value")
EVENT = ("person_id", "visit_occurrence_id")


@dataclass(frozen=True)
class Table:
    """A table whose rows are resources of one type.

    ``prefix`` begins their ids where a type has several tables, ``only`` is a condition (SQL) that holds for those rows
    that are resources, ``detail`` adds to a page of rows what other rows say of them.
    """

    resource: str
    name: str
    key: str
    columns: tuple[str, ...]
    build: Callable[[Store, Row], Element]
    prefix: str = ""
    only: str = ""
    detail: Callable[[Store, list[dict[str, Any]]], None] | None = None

    @property
    def kind(self) -> str:
        """What pseudonyms of its keys are made for: the resource's type, as references write it."""
        return self.resource if not self.prefix else f"{self.resource}/{self.prefix}"


def resource_id(store: Store, table: Table, number: int) -> str:
    """The id of a row's resource: the table's prefix and the pseudonym of its key."""
    return table.prefix + store.pseudonyms.encode(table.kind, int(number))


def resource(store: Store, table: Table, row: Row) -> Element:
    """The whole resource, with its id and version."""
    body = table.build(store, row)
    head: Element = {
        "resourceType": table.resource,
        "id": resource_id(store, table, row[table.key]),
        "meta": {
            "versionId": store.version,
            "lastUpdated": store.updated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        },
    }
    return {**head, **without_nothing(body)}


def concept_ids(table: Table, row: Row) -> list[int | None]:
    """Every concept that a row names."""
    return [row.get(column) for column in table.columns if column.endswith("_concept_id")]


def encounter_of(store: Store, row: Row) -> Element | None:
    """A reference to the visit that a row was recorded in; None where there is none."""
    return reference(store, "Encounter", row.get("visit_occurrence_id"))


def columns(prefix: str, *endings: str) -> tuple[str, ...]:
    """``PREFIX_ENDING`` for each ending, as OMOP names its columns."""
    return tuple(f"{prefix}_{ending}" for ending in endings)
