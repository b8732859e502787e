"""A load into a Trust's PostgreSQL server: harmonised in a DuckDB file, then copied over in one transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import (
    PROVENANCE,
    SOURCE_ID,
    Build,
    SourceRecord,
    estate_tables,
    filled_tables,
    metadata_ddl,
)
from flipnb.estate.harmonise.feed import Feed, Progress
from flipnb.estate.harmonise.loading import (
    REJECTED,
    Ask,
    LoadReport,
    Plan,
    check,
    check_people,
    check_people_remain,
    plan_load,
    read_files,
    report_of,
)
from flipnb.estate.harmonise.vocabulary_tables import vocabulary_key
from flipnb.estate.omop.cdm import Table, tables
from flipnb.estate.postgresql import (
    begin_load,
    connect,
    current_version,
    make_current,
    read_version,
    schema_of,
    versions,
)
from flipnb.estate.versions import Estate

if TYPE_CHECKING:
    from flipnb.estate.postgresql import Connection

_BLOCK = 1 << 20
# The vocabulary that a mapping of codes needs, copied from the server under this source id and never back.
_BORROWED = 0
_LOOKED_UP = {
    "concept": "true",
    "concept_relationship": "relationship_id IN ('Maps to', 'Maps to value')",
    "concept_ancestor": "ancestor_concept_id IN (SELECT concept_id FROM {schema}.concept "
    "WHERE concept_class_id = 'Ingredient')",
    "source_to_concept_map": "true",
}
_TYPE = "Type Concept"


def load_server(
    feed: Feed,
    source: str,
    address: str,
    *,
    max_rejects: float,
    progress: Progress,
    memory: str,
    allow_empty: bool = False,
) -> LoadReport:
    """Load into the estate of a PostgreSQL database.

    Readers go on with their version; the new one is there with its last row and the pointer, or not at all. Raises
    FlipError ``database-away``, ``database-refused``, ``estate-busy`` and what ``load_directory`` raises.
    """
    import psycopg

    # Harmonised rows wait here, readable by this user alone, until the copy is through; a killed load goes on.
    waiting = user_cache_path("flip") / "loads" / sha256(address.encode())[:16]
    waiting.mkdir(parents=True, exist_ok=True, mode=0o700)
    estate = Estate.open(waiting)
    with closing(connect(address)) as connection, estate.loading() as scratch:
        begin_load(connection)
        files = feed.open(source, scratch)
        current = current_version(connection)
        before = _people(connection, current)
        plan = plan_load(feed, files, _recorded(connection, current))
        if plan.version in versions(connection):
            make_current(connection, plan.version)
            ignored: list[str] = []
            warnings: list[str] = []
        else:
            with estate.unfinished(plan.version) as path, Build.open(path, memory=memory) as build:
                if feed.needs_vocabulary() and current is not None:
                    _borrow(connection, current, build, scratch)
                ignored = read_files(build, feed, plan, progress)
                check(build, max_rejects, waiting / REJECTED)
                warnings = feed.warnings(build)
                try:
                    _transfer(connection, build, plan, current, path.with_name("pipe"), progress)
                except psycopg.Error as error:
                    connection.rollback()
                    reason = str(error).splitlines()[0]
                    raise FlipError("database-refused", f"The database refused the load: {reason}") from None
        # Nothing is committed yet.
        check_people_remain(before, _people(connection, plan.version), source, allow_empty=allow_empty)
        read_version(connection, plan.version)
        report = report_of(
            _asking(connection), plan, ignored, warnings, new=plan.version != current, people_before=before
        )
        connection.commit()
        return report


def _people(connection: Connection, version: str | None) -> int:
    if version is None:
        return 0
    row = connection.execute(f"SELECT count(*) FROM {schema_of(version)}.person").fetchone()
    return int(row[0]) if row else 0


def _recorded(connection: Connection, version: str | None) -> list[SourceRecord]:
    if version is None:
        return []
    rows = connection.execute(
        f"SELECT feed, file, digest, mapping, mapping_version, reviewer FROM {schema_of(version)}.flip_source "
        "ORDER BY source_id"
    )
    return [SourceRecord(*row) for row in rows.fetchall()]


def _borrow(connection: Connection, version: str, build: Build, scratch: Path) -> None:
    """The server's vocabulary into the build, so that codes find their concepts."""
    if build.connection.execute(f"SELECT 1 FROM concept WHERE {SOURCE_ID} = {_BORROWED} LIMIT 1").fetchone():
        return
    for name, condition in _LOOKED_UP.items():
        fields = tables()[name].fields
        columns = ", ".join(field.quoted for field in fields)
        file = scratch / f"{name}.csv"
        schema = schema_of(version)
        wanted = f"SELECT {columns} FROM {schema}.{name} WHERE {condition.format(schema=schema)}"
        query = f"COPY ({wanted}) TO STDOUT (FORMAT csv)"
        with file.open("wb") as stream, connection.cursor().copy(query) as copy:
            for block in copy:
                stream.write(block)
        types = ", ".join(f"'{field.name}': '{field.type}'" for field in fields)
        build.connection.execute(
            f"INSERT INTO {name} ({columns}, {SOURCE_ID}) SELECT *, {_BORROWED} "
            f"FROM read_csv('{file}', header=false, auto_detect=false, quote='\"', columns={{{types}}})"
        )
        file.unlink()


def _transfer(
    connection: Connection, build: Build, plan: Plan, current: str | None, pipe: Path, progress: Progress
) -> None:
    """Everything of the version, and the pointer, in one transaction."""
    schema = schema_of(plan.version)
    connection.execute(f"CREATE SCHEMA {schema}")
    for table in filled_tables().values():
        connection.execute(table.ddl("postgres", schema=schema, checked=False, extra=(PROVENANCE,)))
    for statement in metadata_ddl(schema):
        connection.execute(statement)
    kept = _keep(connection, plan.kept, schema_of(current), schema) if current is not None else 0
    for name in estate_tables():
        with connection.cursor().copy(f"COPY {schema}.{name} FROM STDIN (FORMAT csv)") as copy:
            for block in _csv_of(build, name, kept, pipe):
                copy.write(block)
        progress(f"copying {name}", build.count(name))
    read_version(connection, plan.version)
    check_people(_asking(connection))
    for table in filled_tables().values():
        if kept and (keys := vocabulary_key(table)):
            same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
            connection.execute(
                f"DELETE FROM {table.name} new USING {table.name} old WHERE new.{SOURCE_ID} > {kept} "
                f"AND old.{SOURCE_ID} <= {kept} AND {same}"
            )
        _index(connection, table)
    make_current(connection, plan.version)
    connection.commit()


def _csv_of(build: Build, name: str, offset: int, pipe: Path) -> Iterator[bytes]:
    """A table's rows as CSV, through a named pipe; ``offset`` is added to their source ids."""
    os.mkfifo(pipe, 0o600)
    failed: list[BaseException] = []
    column = SOURCE_ID if name in filled_tables() else "source_id"
    query = (
        f"COPY (SELECT * REPLACE ({column} + {offset} AS {column}) FROM {name} WHERE {column} <> {_BORROWED}) "
        f"TO '{pipe}' (FORMAT csv, HEADER false, USE_TMP_FILE false)"
    )

    def write() -> None:
        try:
            build.connection.cursor().execute(query)
        except BaseException as error:
            failed.append(error)
        finally:
            # A reader that still waits for its writer is let go.
            with suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        with pipe.open("rb") as stream:
            while block := stream.read(_BLOCK):
                yield block
    finally:
        writer.join()
        pipe.unlink()
    if failed:
        raise failed[0]


def _index(connection: Connection, table: Table) -> None:
    """The primary key where the data allow one, else an index; and what questions look rows up by."""
    from psycopg import errors

    columns = []
    if (statement := table.primary_key_ddl()) is not None:
        try:
            with connection.transaction():
                connection.execute(statement)
        except (errors.UniqueViolation, errors.NotNullViolation):
            columns.append(table.fields[0].quoted)
    if table.of_person:
        columns.append("person_id")
    columns += [field.name for field in table.fields if field.concept and field.required and field.domain != _TYPE][:2]
    for column in columns:
        connection.execute(f"CREATE INDEX ON {table.name} ({column})")
    connection.execute(f"ANALYZE {table.name}")


def _keep(connection: Connection, records: Sequence[SourceRecord], old: str, new: str) -> int:
    """Rows of unchanged files, from schema to schema; returns the highest source id among them."""
    for record in records:
        connection.execute(
            f"INSERT INTO {new}.flip_source SELECT * FROM {old}.flip_source WHERE feed = %s AND file = %s",
            [record.feed, record.file],
        )
    kept = f"SELECT source_id FROM {new}.flip_source"
    connection.execute(f"INSERT INTO {new}.flip_reject SELECT * FROM {old}.flip_reject WHERE source_id IN ({kept})")
    for name in filled_tables():
        there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{old}.{name}"]).fetchone()
        if there == (True,):
            # A version of an earlier release knew fewer tables.
            connection.execute(f"INSERT INTO {new}.{name} SELECT * FROM {old}.{name} WHERE {SOURCE_ID} IN ({kept})")
    row = connection.execute(f"SELECT coalesce(max(source_id), 0) FROM {new}.flip_source").fetchone()
    return int(row[0]) if row else 0


def _asking(connection: Connection) -> Ask:
    return lambda query: connection.execute(query).fetchall()
