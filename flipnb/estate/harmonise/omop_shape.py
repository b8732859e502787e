"""Tables that are in OMOP shape already: from CSV or Parquet into the estate's tables, type by type."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading
from flipnb.estate.harmonise.delimited import (
    Dialect,
    copy_with_equal_newlines,
    distinct,
    line_numbers,
    lines,
    literal,
    mixes_newlines,
    sniff,
    swallowed,
    unclosed_quote,
)
from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.harmonise.source import SourceFile
from flipnb.estate.omop.cdm import Field, Table, tables

if TYPE_CHECKING:
    pass

_TEXT = frozenset({".csv", ".tsv", ".txt"})
_PARQUET = ".parquet"
_REJECTS = "malformed"
_UNQUOTED = "UNQUOTED VALUE"

# What exports write where a number or a date is missing.
_MISSING = ("NA", "NULL", "null", "None", "NaN", "nan", "\\N")

_VISIT = {
    "admitting_source_concept_id": "admitted_from_concept_id",
    "admitting_source_value": "admitted_from_source_value",
    "admitting_concept_id": "admitted_from_concept_id",
    "discharge_to_concept_id": "discharged_to_concept_id",
    "discharge_to_source_value": "discharged_to_source_value",
}
# Columns that CDM 5.3 (and 5.0 to 5.2) names otherwise than 5.4.
_OLDER_NAMES: dict[str, dict[str, str]] = {
    "visit_occurrence": _VISIT,
    "visit_detail": {
        **_VISIT,
        "visit_detail_parent_id": "parent_visit_detail_id",
        "visit_start_date": "visit_detail_start_date",
        "visit_start_datetime": "visit_detail_start_datetime",
        "visit_end_date": "visit_detail_end_date",
        "visit_end_datetime": "visit_detail_end_datetime",
        "visit_type_concept_id": "visit_detail_type_concept_id",
    },
    "observation_period": {
        "observation_period_start_datetime": "observation_period_start_date",
        "observation_period_end_datetime": "observation_period_end_date",
    },
    "procedure_occurrence": {"qualifier_source_value": "modifier_source_value"},
}


@dataclass(frozen=True)
class _Column:
    """A field of the CDM and the source's columns that fill it, the first that has a value."""

    field: Field
    sources: tuple[str, ...]


def table_of(name: str) -> Table | None:
    """The table that a file holds by its path: ``PERSON.csv``, ``cdm.person.csv``, ``person_01.parquet``,
    ``person/part-0.parquet``; None for any other."""
    path = PurePosixPath(name.lower())
    parts = path.name.split(".")
    while len(parts) > 1 and f".{parts[-1]}" in {*_TEXT, _PARQUET, ".gz"}:
        parts.pop()
    stem = re.sub(r"[-_.]?\d+$", "", ".".join(parts))
    for candidate in (parts[-1], parts[0], stem, stem.rsplit(".", 1)[-1], path.parent.name):
        if candidate in tables():
            return tables()[candidate]
    return None


def readable(name: str) -> bool:
    """Whether a file is of a kind that is read here, by its ending."""
    suffixes = PurePosixPath(name.lower()).suffixes
    return bool(suffixes) and (suffixes[-1] in {*_TEXT, _PARQUET} or (suffixes[-1] == ".gz" and suffixes[-2:-1] != []))


def load_table(build: Build, file: SourceFile, table: Table, loading: Loading, where: str = "") -> None:
    """Insert a file's rows into ``table``; ``where`` is a condition on the inserted columns (SQL).

    A value that its column's type can't hold, and a row without its key, its person or its date, is a reject.
    Raises FlipError ``bad-header``, ``bad-file``, ``out-of-memory``.
    """
    import duckdb

    try:
        if file.suffixes[-1:] == (_PARQUET,):
            _Loader(build, file, table, loading, where, None).run()
        else:
            _load_text(build, file, table, loading, where)
    except duckdb.OutOfMemoryException:
        # What is written of a file stays in memory, compressed, until its transaction ends: about 20 bytes a row.
        raise FlipError(
            "out-of-memory",
            f"{file.name} does not fit into {build.memory} of memory.",
            remedy="Give more with --memory, or divide the file (measurement_1.csv, measurement_2.csv, …).",
        ) from None
    except duckdb.Error as error:
        raise FlipError("bad-file", f"{file.name} can't be read: {str(error).splitlines()[0]}") from None


def _load_text(build: Build, file: SourceFile, table: Table, loading: Loading, where: str) -> None:
    dialect = sniff(file.path)
    if not (mixes_newlines(file.path) and _unreadable(build, file, dialect)):
        _Loader(build, file, table, loading, where, dialect).run()
        return
    spill = build.connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert spill is not None
    with tempfile.TemporaryDirectory(dir=Path(spill[0]).parent) as scratch:
        alike = Path(scratch) / "alike.csv"
        copy_with_equal_newlines(file.path, alike, dialect)
        _Loader(build, replace(file, path=alike), table, loading, where, dialect).run()


def _unreadable(build: Build, file: SourceFile, dialect: Dialect) -> bool:
    """Whether DuckDB fails at how the file's lines end; asked beside the build's transaction, which it would end."""
    import duckdb

    with build.connection.cursor() as beside:
        try:
            beside.execute(f"SELECT count(*) FROM {dialect.scan(file.path, 'tried')}")
        except duckdb.InvalidInputException:
            return True
        finally:
            for name in ("tried", "tried_scan"):
                beside.execute(f"DROP TABLE IF EXISTS {name}")
    return False


class _Loader:
    """One file into one table."""

    def __init__(
        self, build: Build, file: SourceFile, table: Table, loading: Loading, where: str, dialect: Dialect | None
    ) -> None:
        self._build, self._file, self._table, self._loading = build, file, table, loading
        self._dialect, self._where = dialect, where
        self._sql = build.connection.execute
        self._types = self._source_types()
        self._columns, loading.ignored = _assign(table, tuple(self._types))
        if not self._columns:
            raise FlipError("bad-header", f"{file.name}: none of its columns is one of the table {table.name}.")

    def run(self) -> None:
        table, source_id = self._table, self._loading.source_id
        if self._dialect is not None:
            for name in (_REJECTS, f"{_REJECTS}_scan"):
                self._sql(f"DROP TABLE IF EXISTS {name}")
        named = [column.field for column in self._columns]
        values = [f"{_value(column, self._types)} AS {column.field.quoted}" for column in self._columns]
        for field in table.fields:
            if field not in named and (default := _default(field)) is not None:
                named.append(field)
                values.append(f"{default} AS {field.quoted}")
        columns = ", ".join(field.quoted for field in named)
        # Row numbers as ids need the file's order.
        numbered = table.key is not None and table.key not in [column.field for column in self._columns]
        self._sql(f"SET preserve_insertion_order={'true' if numbered else 'false'}")
        self._sql(
            f"INSERT INTO {table.name} ({columns}, {SOURCE_ID}) SELECT {columns}, CASE WHEN bad THEN {-source_id} "
            f"ELSE {source_id} END FROM (SELECT {', '.join(values)}, {self._bad()} AS bad FROM {self._scan()}) "
            f"{f'WHERE bad OR ({self._where})' if self._where else ''}"
        )
        bad = self._count(-source_id)
        if bad:
            self._sql(f"DELETE FROM {table.name} WHERE {SOURCE_ID} = {-source_id}")
        malformed = self._malformed()
        if bad or malformed:
            self._name_rejects(bad, malformed)
        self._loading.rows = self._count(source_id)

    def _scan(self) -> str:
        if self._dialect is None:
            return f"read_parquet({literal(str(self._file.path))})"
        return self._dialect.scan(self._file.path, _REJECTS)

    def _source_types(self) -> dict[str, str]:
        if self._dialect is not None:
            return dict.fromkeys(distinct(self._dialect.columns), "VARCHAR")
        rows = self._sql(f"DESCRIBE SELECT * FROM {self._scan()}").fetchall()
        return {row[0]: row[1] for row in rows}

    def _count(self, source_id: int) -> int:
        row = self._sql(f"SELECT count(*) FROM {self._table.name} WHERE {SOURCE_ID} = {source_id}").fetchone()
        return int(row[0]) if row else 0

    def _bad(self) -> str:
        parts = [problem for column in self._columns for problem, _, _ in self._problems(column)]
        return " OR ".join(parts) or "false"

    def _problems(self, column: _Column) -> list[tuple[str, str, str]]:
        """(condition, the source's column, reason) of what may be wrong in a column."""
        field = column.field
        found = []
        if field.type != "VARCHAR":
            for source in column.sources:
                kind = self._types[source]
                condition = (
                    f"(CASE WHEN {_quoted(source)} IS NULL THEN false WHEN {_cast(field, source, kind)} IS NULL "
                    f"THEN {_given(source, kind)} ELSE false END)"
                )
                found.append((condition, source, f"no {_KIND[field.type]}"))
        elif self._dialect is not None:
            # No database but DuckDB keeps such a text.
            found += [
                (f"coalesce(contains({_quoted(source)}, chr(0)), false)", source, "a NUL character")
                for source in column.sources
            ]
        if _essential(self._table, field):
            missing = f"({_value(column, self._types)} IS NULL)"
            found.append((missing, column.sources[0], f"the table {self._table.name} needs a value here"))
        return found

    def _malformed(self) -> dict[int, str]:
        """Rows that DuckDB could not divide into columns: the line on which each begins → reason."""
        if self._dialect is None:
            return {}
        rows = self._sql(
            f"SELECT line_byte_position, any_value(error_message), bool_or(error_type = '{_UNQUOTED}') "
            f"FROM {_REJECTS} GROUP BY 1"
        ).fetchall()
        places = line_numbers(self._file.path, (int(place) for place, _, _ in rows))
        found = {places[int(place)]: str(message).split("\n")[0].strip() for place, message, _ in rows}
        if any(unquoted for _, _, unquoted in rows):
            found |= self._unread()
        return found

    def _unread(self) -> dict[int, str]:
        assert self._dialect is not None
        found = unclosed_quote(self._file.path, self._dialect)
        return swallowed(self._file.name, *found) if found is not None else {}

    def _name_rejects(self, bad: int, malformed: dict[int, str]) -> None:
        """Find the lines; a second reading of the file, up to its last wrong row."""
        wrong: dict[int, list[tuple[str | None, str, str | None]]] = {}
        if bad:
            cases = [
                f"CASE WHEN {condition} THEN {{'c': {literal(source)}, 'r': {literal(reason)}, "
                f"'v': left({_quoted(source)}::VARCHAR, 80)}} END"
                for column in self._columns
                for condition, source, reason in self._problems(column)
            ]
            self._sql("SET preserve_insertion_order=true")
            for name in (_REJECTS, f"{_REJECTS}_scan"):
                self._sql(f"DROP TABLE IF EXISTS {name}")
            rows = self._sql(
                f"SELECT ordinal, coalesce({', '.join(cases)}) FROM "
                f"(SELECT row_number() OVER () AS ordinal, * FROM {self._scan()}) WHERE {self._bad()} ORDER BY 1"
            ).fetchall()
            for ordinal, problem in rows:
                wrong[int(ordinal)] = [(problem["c"], problem["r"], problem["v"])]
        found = [(line, None, reason, None) for line, reason in malformed.items()]
        for line, column, reason, value in sorted([*found, *self._placed(wrong, malformed)], key=lambda one: one[0]):
            self._loading.rejects.append(Reject(self._file.name, line, column, reason, value))

    def _placed(
        self, wrong: dict[int, list[tuple[str | None, str, str | None]]], malformed: dict[int, str]
    ) -> list[tuple[int, str | None, str, str | None]]:
        """The rows that were divided, and yet hold what can't be: their lines, from their places among such rows."""
        if self._dialect is None:
            return [(ordinal, *problem) for ordinal, problems in wrong.items() for problem in problems]
        found: list[tuple[int, str | None, str, str | None]] = []
        ordinal, left = 0, dict(wrong)
        for record, line in lines(self._file.path, self._dialect):
            if not left:
                break
            if record > 1 and line not in malformed:
                ordinal += 1
                found += [(line, *problem) for problem in left.pop(ordinal, [])]
        # None is lost, though the line can't be told.
        return [*found, *((0, *problem) for problems in left.values() for problem in problems)]


_KIND = {
    "INTEGER": "whole number",
    "BIGINT": "whole number",
    "DOUBLE": "number",
    "DATE": "date",
    "TIMESTAMP": "date and time",
}


def _assign(table: Table, names: tuple[str, ...]) -> tuple[list[_Column], list[str]]:
    """Which source column fills which field, and which fill none."""
    fields = {field.name: field for field in table.fields}
    older = _OLDER_NAMES.get(table.name, {})
    sources: dict[str, list[str]] = {}
    ignored = []
    for name in names:
        lower = name.strip().strip('"').lower()
        if lower in fields:
            sources.setdefault(lower, []).insert(0, name)
        elif older.get(lower) in fields:
            sources.setdefault(older[lower], []).append(name)
        else:
            ignored.append(name)
    for field in table.fields:
        moment = field.name.removesuffix("_date") + "_datetime"
        if field.type == "DATE" and moment in sources:
            sources.setdefault(field.name, []).append(sources[moment][0])
    columns = [_Column(field, tuple(sources[field.name])) for field in table.fields if field.name in sources]
    return columns, ignored


def _essential(table: Table, field: Field) -> bool:
    """A row without it says nothing: its key, its person, when it began; in a vocabulary, whatever it names."""
    if not field.required or (field.concept and not table.vocabulary):
        return False
    if table.vocabulary:
        return field.primary_key or field.name.endswith(("_id_1", "_id_2")) or field.name in _VOCABULARY_KEYS
    return field.primary_key or field.name == "person_id" or field == table.start


_VOCABULARY_KEYS = frozenset({"concept_id", "ancestor_concept_id", "descendant_concept_id", "drug_concept_id"})


def _default(field: Field) -> str | None:
    """What fills a field that the source has not: no matching concept (0), or the row's number as its id."""
    if field.primary_key:
        return "row_number() OVER ()" if field.type == "BIGINT" else None
    return "0" if field.required and field.concept else None


def _value(column: _Column, types: dict[str, str]) -> str:
    field = column.field
    parts = [_cast(field, source, types[source]) for source in column.sources]
    if field.required and field.concept:
        parts.append("0")
    return parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _given(source: str, kind: str) -> str:
    """Whether a value that is not null is one, and not the source's way to say that there is none."""
    name = _quoted(source)
    if kind == "VARCHAR":
        return f"trim({name}) NOT IN ('', {', '.join(map(literal, _MISSING))})"
    return f"NOT isnan({name})" if kind in ("DOUBLE", "FLOAT") else "true"


def _cast(field: Field, source: str, kind: str) -> str:
    """The value as the field's type, null where that can't be."""
    name = _quoted(source)
    if field.type == "VARCHAR":
        return name if kind == "VARCHAR" else f"{name}::VARCHAR"
    return _CASTS[field.type](name, field.type, kind)


def _whole(name: str, type_: str, kind: str) -> str:
    cast = f"TRY_CAST({name} AS {type_})"
    if kind == "VARCHAR":
        # 8507.0 is what a spreadsheet or pandas makes of 8507; 8507.5 is no whole number.
        broken = f"contains({name}, '.') AND NOT regexp_full_match({name}, '.*\\.0*\\s*')"
        return f"(CASE WHEN {broken} THEN NULL ELSE {cast} END)"
    if kind in ("DOUBLE", "FLOAT"):
        return f"(CASE WHEN {name} = floor({name}) THEN {cast} END)"
    return cast


def _number(name: str, type_: str, kind: str) -> str:
    cast = f"TRY_CAST({name} AS {type_})"
    return f"(CASE WHEN isfinite({cast}) THEN {cast} END)"


def _day(name: str, type_: str, kind: str) -> str:
    cast = f"TRY_CAST({name} AS {type_})"
    if kind != "VARCHAR":
        return cast
    other = f"TRY_CAST({name} AS TIMESTAMP)", f"TRY_STRPTIME({name}, ['%Y%m%d', '%d-%b-%Y'])"
    return f"(CASE WHEN {cast} IS NOT NULL THEN {cast} ELSE CAST(coalesce({', '.join(other)}) AS DATE) END)"


def _moment(name: str, type_: str, kind: str) -> str:
    cast = f"TRY_CAST({name} AS {type_})"
    if kind != "VARCHAR":
        return cast
    return f"(CASE WHEN {cast} IS NOT NULL THEN {cast} ELSE TRY_STRPTIME({name}, ['%Y%m%d', '%Y%m%d%H%M%S']) END)"


_CASTS: dict[str, Callable[[str, str, str], str]] = {
    "INTEGER": _whole,
    "BIGINT": _whole,
    "DOUBLE": _number,
    "DATE": _day,
    "TIMESTAMP": _moment,
}
