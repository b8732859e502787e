"""An estate on a PostgreSQL server: a schema per version, and a table that says which is current.

``flip_estate.version`` holds the versions; a reader looks its schema up there in its own transaction, so that a load
that ends meanwhile neither waits for it nor changes what it sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flipnb.contracts.problem import FlipError

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import SQL

    Connection = psycopg.Connection[tuple[Any, ...]]

POINTER = "flip_estate.version"
_LOCK = 7_316_554_201
_CREATE = (
    "CREATE SCHEMA IF NOT EXISTS flip_estate",
    f"CREATE TABLE IF NOT EXISTS {POINTER} "
    "(id TEXT PRIMARY KEY, loaded_at TIMESTAMPTZ NOT NULL DEFAULT now(), current BOOLEAN NOT NULL)",
)
_ID = re.compile(r"[0-9a-f]{32}")


def connect(address: str) -> Connection:
    """Raises FlipError ``database-away``."""
    import psycopg

    try:
        return psycopg.connect(address)
    except psycopg.Error as error:
        # The address may hold a password; libpq's message doesn't.
        raise FlipError("database-away", f"The database can't be reached: {str(error).splitlines()[0]}") from None


def schema_of(version: str) -> str:
    """The schema that holds a version's tables."""
    if not _ID.fullmatch(version):
        raise FlipError("unknown-version", f"The estate has no version {version[:64]!r}.", status=404)
    return f"estate_{version}"


def current_version(connection: Connection) -> str | None:
    """None where nothing was loaded by ``flip estate load``."""
    row = connection.execute("SELECT to_regclass(%s)", [POINTER]).fetchone()
    if row is None or row[0] is None:
        return None
    found = connection.execute(f"SELECT id FROM {POINTER} WHERE current").fetchone()
    return str(found[0]) if found else None


def versions(connection: Connection) -> tuple[str, ...]:
    """Ids of all versions, oldest first."""
    return tuple(str(row[0]) for row in connection.execute(f"SELECT id FROM {POINTER} ORDER BY loaded_at, id"))


def read_version(connection: Connection, version: str) -> None:
    """Make unqualified names those of a version and of PostgreSQL itself, until the transaction's end.

    Not those of ``public``, where others may make a function that fits a question's types better than PostgreSQL's own.
    """
    connection.execute(f"SET LOCAL search_path = {schema_of(version)}, pg_temp")


def with_values(sql: str) -> SQL:
    """A query with ``?`` for values as psycopg takes it."""
    from psycopg.sql import SQL

    return SQL(sql.replace("%", "%%").replace("?", "%s"))


def begin_load(connection: Connection) -> None:
    """The right to load, one at a time, while the connection lasts. Raises FlipError ``estate-busy``."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if row is None or not row[0]:
        raise FlipError(
            "estate-busy",
            "Another load into this database is under way.",
            remedy="Wait until it has ended.",
            status=409,
        )
    for statement in _CREATE:
        connection.execute(statement)
    connection.commit()


def make_current(connection: Connection, version: str) -> None:
    """Point to a version whose tables are there; takes effect with the transaction."""
    connection.execute(f"UPDATE {POINTER} SET current = false WHERE current AND id <> %s", [version])
    connection.execute(
        f"INSERT INTO {POINTER} (id, current) VALUES (%s, true) ON CONFLICT (id) DO UPDATE SET current = true",
        [version],
    )
