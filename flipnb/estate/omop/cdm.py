"""The OMOP Common Data Model 5.4 as tables of a database, made from a field specification that is kept as data.

``cdm_v5.4.csv`` holds the columns table, field, datatype, required and primary_key of OHDSI's
``OMOP_CDMv5.4_Field_Level.csv`` (OHDSI/CommonDataModel, Apache License 2.0) for the tables that an estate fills.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

FEMALE = 8532
MALE = 8507

# OMOP's integer is 32 bits; ids of rows and persons are pseudonyms here and need 64.
_TYPES = {"integer": "INTEGER", "float": "DOUBLE", "date": "DATE", "datetime": "TIMESTAMP"}


@dataclass(frozen=True)
class Field:
    """A column. ``type`` is SQL that DuckDB and PostgreSQL understand."""

    name: str
    type: str
    required: bool
    primary_key: bool


@dataclass(frozen=True)
class Table:
    name: str
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    def ddl(self) -> str:
        """``CREATE TABLE`` with types, NOT NULL and the primary key."""
        lines = [
            f"{field.name} {field.type}{' PRIMARY KEY' if field.primary_key else ' NOT NULL' if field.required else ''}"
            for field in self.fields
        ]
        return f"CREATE TABLE {self.name} ({', '.join(lines)})"


@cache
def tables() -> Mapping[str, Table]:
    """Every table of the specification by its name, in the specification's order."""
    fields: dict[str, list[Field]] = {}
    text = files(__package__).joinpath("cdm_v5.4.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        wide = row["field"].endswith("_id") and "concept" not in row["field"]
        kind = "VARCHAR" if row["datatype"].startswith("varchar") else _TYPES[row["datatype"]]
        fields.setdefault(row["table"], []).append(
            Field(
                row["field"],
                "BIGINT" if wide and kind == "INTEGER" else kind,
                row["required"] == "yes",
                row["primary_key"] == "yes",
            )
        )
    return MappingProxyType({name: Table(name, tuple(columns)) for name, columns in fields.items()})
