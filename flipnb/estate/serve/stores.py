"""The versions of an estate that are being read: the current one, and those that pages of a search still hold."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from flipnb.contracts.problem import FlipError
from flipnb.estate.postgresql import connect, current_version, read_version, schema_of, with_values
from flipnb.estate.versions import Estate
from flipnb.records.database import DuckDatabase, by_table
from flipnb.records.fhir import Pseudonyms, Store

if TYPE_CHECKING:
    from flipnb.estate.postgresql import Connection

_KEPT = 3
_UNVERSIONED = "0"


class Stores(Protocol):
    """Where the server takes the estate's versions from."""

    def current(self) -> Store:
        """Raises FlipError ``no-estate``, ``database-away``."""
        ...

    def of(self, version: str) -> Store:
        """Raises FlipError ``version-gone``."""
        ...


def open_stores(estate: str, pseudonyms: Pseudonyms) -> Stores:
    """The stores of an estate's directory, or of the server at a ``postgresql://`` address."""
    if estate.startswith(("postgresql://", "postgres://")):
        return _PostgresqlStores(estate, pseudonyms)
    return _DuckDBStores(Path(estate), pseudonyms)


def _gone() -> FlipError:
    return FlipError("version-gone", "This version of the estate is not there any more.", remedy="Search again.")


class _DuckDBStores:
    """Read-only files; one connection for each version, cursors of it for the threads."""

    def __init__(self, directory: Path, pseudonyms: Pseudonyms) -> None:
        self._estate = Estate.open(directory)
        self._pseudonyms = pseudonyms
        self._open: OrderedDict[str, tuple[Any, Store]] = OrderedDict()
        self._lock = threading.Lock()

    def current(self) -> Store:
        version = self._estate.current()
        if version is None:
            raise FlipError(
                "no-estate",
                f"{self._estate.directory} holds no estate version.",
                remedy="Fill it with flip estate load.",
            )
        return self.of(version)

    def of(self, version: str) -> Store:
        with self._lock:
            if version not in self._open:
                try:
                    path, connection = self._estate.file(version), self._estate.connect(version)
                except FlipError:
                    raise _gone() from None
                updated = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
                self._open[version] = (
                    connection,
                    Store(DuckDatabase(connection), self._pseudonyms, version=version, updated=updated),
                )
                # A connection in use by another thread lives on until that thread lets its cursor go.
                while len(self._open) > _KEPT:
                    self._open.popitem(last=False)
            self._open.move_to_end(version)
            return self._open[version][1]


class _PostgresqlStores:
    def __init__(self, address: str, pseudonyms: Pseudonyms) -> None:
        self._address = address
        self._pseudonyms = pseudonyms
        self._stores: OrderedDict[str, Store] = OrderedDict()
        self._lock = threading.Lock()

    def current(self) -> Store:
        with connect(self._address) as connection:
            return self.of(current_version(connection) or _UNVERSIONED)

    def of(self, version: str) -> Store:
        with self._lock:
            if version not in self._stores:
                database = PostgresqlDatabase(self._address, None if version == _UNVERSIONED else version)
                updated = database.loaded_at()
                self._stores[version] = Store(database, self._pseudonyms, version=version, updated=updated)
                while len(self._stores) > _KEPT:
                    self._stores.popitem(last=False)
            self._stores.move_to_end(version)
            return self._stores[version]


class PostgresqlDatabase:
    """A version's schema on a server, or the tables on its search path where flip has loaded none."""

    def __init__(self, address: str, version: str | None) -> None:
        self._address = address
        self._version = version
        self._idle: SimpleQueue[Connection] = SimpleQueue()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, in a read-only transaction on a pooled connection.

        Raises FlipError ``version-gone`` where the version is no more, ``database-away``.
        """
        from psycopg import OperationalError, errors

        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = connect(self._address)
            connection.read_only = True
        try:
            with connection.transaction():
                if self._version is not None:
                    read_version(connection, self._version)
                found = connection.execute(with_values(sql), list(values)).fetchall()
        except errors.UndefinedTable:
            raise _gone() from None
        except OperationalError as error:
            raise FlipError("database-away", f"The database can't be reached: {str(error).splitlines()[0]}") from None
        self._idle.put(connection)
        return found

    def columns(self) -> Mapping[str, frozenset[str]]:
        """Tables with their columns, of the version's schema or of the search path. Raises what ``rows`` raises."""
        schema = f"'{schema_of(self._version)}'" if self._version else "ANY (current_schemas(false))"
        found = by_table(
            self.rows(f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {schema}")
        )
        if self._version is not None and not found:
            raise _gone()
        return found

    def loaded_at(self) -> datetime:
        """When the version was loaded, in UTC; 1970 where the server has no versions. Raises what ``rows`` raises."""
        if self._version is None:
            return datetime(1970, 1, 1, tzinfo=UTC)
        found = self.rows("SELECT loaded_at FROM flip_estate.version WHERE id = ?", [self._version])
        if not found:
            raise _gone()
        loaded: datetime = found[0][0]
        return loaded.astimezone(UTC).replace(microsecond=0)
