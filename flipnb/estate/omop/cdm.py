"""The OMOP Common Data Model 5.4 and its imaging extension as tables of a database, made from kept specifications.

``cdm_v5.4.csv`` holds OHDSI's field-level specification, ``inst/csv/OMOP_CDMv5.4_Field_Level.csv`` of
OHDSI/CommonDataModel (Apache License 2.0), all 39 tables, without its prose: table, field, datatype, required,
primary_key, fk_table, fk_field, domain, concept_class.

``imaging_extension.csv`` holds, in the same columns, the two tables of OHDSI's Medical Imaging extension (MI-CDM; Park
et al. 2024, doi:10.1007/s10278-024-00982-6), after ``inst/csv/new_csv/OMOP_CDM_Medical_Imaging_Ex_Field_Level.csv`` of
OHDSI/ImageWG. It gives a feature's concept the domain Metadata, which no LOINC or RadLex concept has: left out here.

In the same columns three files hold the tables of ours that records have beside them: ``image_file.csv`` which
de-identified DICOM files of the archive (``estate.imaging.archive``) make up a series of image_occurrence,
``image_sources.csv`` what became of the studies and series whose files were given to a load of images, and
``person_number.csv`` whose numbers of source systems are whose (``estate.identities``).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

FEMALE = 8532
MALE = 8507

Dialect = Literal["duckdb", "postgres"]

# OMOP's integer is 32 bits; ids of rows and persons are pseudonyms here and need 64.
_TYPES = {"integer": "INTEGER", "bigint": "BIGINT", "float": "DOUBLE", "date": "DATE", "datetime": "TIMESTAMP"}
_SPECIFICATIONS = ("cdm_v5.4.csv", "imaging_extension.csv")
_OWN = ("image_file.csv", "person_number.csv", "image_sources.csv")
_RESERVED = frozenset({"offset"})

VOCABULARY_TABLES = (
    "concept",
    "vocabulary",
    "domain",
    "concept_class",
    "concept_relationship",
    "relationship",
    "concept_synonym",
    "concept_ancestor",
    "drug_strength",
)
"""What Athena delivers; source_to_concept_map is the Trust's own."""


@dataclass(frozen=True)
class ForeignKey:
    """The table and column that a column refers to."""

    table: str
    field: str


@dataclass(frozen=True)
class Field:
    """A column. ``type`` is DuckDB's; ``length`` the most characters of a text; ``domain`` that of its concepts."""

    name: str
    type: str
    required: bool
    primary_key: bool
    length: int | None = None
    foreign_key: ForeignKey | None = None
    domain: str | None = None
    concept_class: str | None = None

    @property
    def concept(self) -> bool:
        """Whether it refers to a concept."""
        return self.foreign_key == ForeignKey("concept", "concept_id")

    @property
    def quoted(self) -> str:
        """The name as SQL has it: in quotes where it is a reserved word."""
        return f'"{self.name}"' if self.name in _RESERVED else self.name

    def sql_type(self, dialect: Dialect) -> str:
        """The type in a dialect."""
        return "DOUBLE PRECISION" if dialect == "postgres" and self.type == "DOUBLE" else self.type


@dataclass(frozen=True)
class Table:
    """A table of the model, its fields in the specification's order."""

    name: str
    fields: tuple[Field, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields' names in their order."""
        return tuple(field.name for field in self.fields)

    @property
    def key(self) -> Field | None:
        """The primary key; None where a table has none."""
        return next((field for field in self.fields if field.primary_key), None)

    @property
    def start(self) -> Field | None:
        """The first required date: when what a row records began."""
        return next((field for field in self.fields if field.type == "DATE" and field.required), None)

    @property
    def of_person(self) -> bool:
        """Whether its rows are of one person each, and it is not ``person`` itself."""
        return self.name != "person" and any(field.name == "person_id" for field in self.fields)

    @property
    def vocabulary(self) -> bool:
        """Whether it is one of the vocabulary's tables."""
        return self.name in VOCABULARY_TABLES

    def field(self, name: str) -> Field:
        """The field of this name, which must be there."""
        return next(field for field in self.fields if field.name == name)

    def ddl(
        self, dialect: Dialect = "duckdb", *, schema: str = "", checked: bool = True, extra: tuple[str, ...] = ()
    ) -> str:
        """``CREATE TABLE`` with types and, if ``checked``, NOT NULL and the primary key; ``extra`` are more columns."""
        columns = (
            f"{field.quoted} {field.sql_type(dialect)}{_constraint(field) if checked else ''}" for field in self.fields
        )
        return f"CREATE TABLE {_qualified(schema, self.name)} ({', '.join([*columns, *extra])})"

    def primary_key_ddl(self, schema: str = "") -> str | None:
        """``ALTER TABLE`` that adds the primary key; None where the table has none."""
        if self.key is None:
            return None
        return f"ALTER TABLE {_qualified(schema, self.name)} ADD PRIMARY KEY ({self.key.quoted})"

    def foreign_key_ddl(self, schema: str = "") -> list[str]:
        """``ALTER TABLE`` for every foreign key, for PostgreSQL."""
        return [
            f"ALTER TABLE {_qualified(schema, self.name)} ADD FOREIGN KEY ({field.quoted}) "
            f"REFERENCES {_qualified(schema, field.foreign_key.table)} ({field.foreign_key.field})"
            for field in self.fields
            if field.foreign_key is not None
        ]


@cache
def tables() -> Mapping[str, Table]:
    """Every table of the specifications by its name, in their order."""
    return _read(_SPECIFICATIONS)


@cache
def own_tables() -> Mapping[str, Table]:
    """Tables of ours in an estate version by their names: no part of the CDM, not loaded from extracts, asked by no
    cohort, never frozen. They name the rows' source as the CDM's tables do.
    """
    return _read(_OWN)


def _read(specifications: tuple[str, ...]) -> Mapping[str, Table]:
    fields: dict[str, list[Field]] = {}
    for name in specifications:
        text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            fields.setdefault(row["table"], []).append(_field(row))
    return MappingProxyType({name: Table(name, tuple(columns)) for name, columns in fields.items()})


def script(dialect: Dialect, schema: str = "") -> str:
    """The CDM and its imaging extension as SQL: every table with types, NOT NULL and primary key; in PostgreSQL the
    foreign keys, too.

    DuckDB can't add a foreign key to a table that is there, and tables refer to each other in circles.
    """
    statements = [table.ddl(dialect, schema=schema) for table in tables().values()]
    if dialect == "postgres":
        statements += [statement for table in tables().values() for statement in table.foreign_key_ddl(schema)]
    head = [f"CREATE SCHEMA IF NOT EXISTS {schema}"] if schema else []
    return "".join(f"{statement};\n" for statement in (*head, *statements))


def _field(row: dict[str, str]) -> Field:
    name, datatype = row["field"], row["datatype"]
    wide = name.endswith(("_id", "_id_1", "_id_2")) and "concept" not in name
    kind = "VARCHAR" if datatype.startswith("varchar") else _TYPES[datatype]
    size = datatype.removeprefix("varchar(").removesuffix(")")
    return Field(
        name,
        "BIGINT" if wide and kind == "INTEGER" else kind,
        row["required"] == "yes",
        row["primary_key"] == "yes",
        length=int(size) if size.isdigit() else None,
        foreign_key=ForeignKey(row["fk_table"], row["fk_field"]) if row["fk_table"] else None,
        domain=row["domain"] or None,
        concept_class=row["concept_class"] or None,
    )


def _constraint(field: Field) -> str:
    return " PRIMARY KEY" if field.primary_key else " NOT NULL" if field.required else ""


def _qualified(schema: str, name: str) -> str:
    return f"{schema}.{name}" if schema else name
