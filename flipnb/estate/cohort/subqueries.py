"""Named subqueries of one statement: those that a query needs, with the columns that somebody reads.

A database takes as long to parse and plan what nobody reads as what is read; a small count is half of that.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

_SOURCE = re.compile(r"\b(?:FROM|JOIN) \(?(\w+)")
_WORD = re.compile(r"\b[a-z_]\w*")


@dataclass(frozen=True)
class Select:
    """A SELECT of expressions by name, whose rows are the same whichever columns are left out.

    ``source``: a table and its alias, or a SELECT, whose alias is ``t``. ``rest``: joins, conditions, groups.
    """

    columns: tuple[tuple[str, str], ...]
    source: str | Select
    rest: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in their order."""
        return tuple(name for name, _ in self.columns)

    def sql(self, read: Collection[str]) -> str:
        """The text with the columns of ``read``; with the first column, where it has none of them."""
        kept = [one for one in self.columns if one[0] in read] or self.columns[:1]
        shown = ", ".join(value if value.split(".")[-1] == name else f"{value} AS {name}" for name, value in kept)
        if isinstance(self.source, str):
            source = self.source
        else:
            source = f"({self.source.sql(words(f'{shown} {self.rest}'))}) t"
        return f"SELECT {shown} FROM {source} {self.rest}".rstrip()


@dataclass(frozen=True)
class Union:
    """The rows of other subqueries, one after the other; ``each_once``: no two rows are the same."""

    names: tuple[str, ...]
    sources: tuple[str, ...]
    each_once: bool = False

    def sql(self, read: Collection[str]) -> str:
        """The union of the columns in ``read``, of one column where none of them is."""
        if self.each_once:
            return " UNION ".join(f"SELECT {', '.join(self.names)} FROM {one}" for one in self.sources)
        shown = ", ".join([name for name in self.names if name in read] or self.names[:1])
        return " UNION ALL ".join(f"SELECT {shown} FROM {one}" for one in self.sources)


Subquery = Select | Union | str
"""What is written as text is read as it is: it keeps its columns, and names those that it reads of others."""


def passed_on(names: Collection[str], row: str) -> tuple[tuple[str, str], ...]:
    """Columns that are those of ``row``."""
    return tuple((name, f"{row}.{name}") for name in names)


def words(sql: str) -> set[str]:
    """What a text may name; names of tables and of its own columns are among them."""
    return set(_WORD.findall(sql))


@dataclass
class Subqueries:
    """Subqueries in the order in which they need each other."""

    _queries: dict[str, Subquery] = field(default_factory=dict)
    _names: dict[Subquery, str] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)

    def add(self, name: str, query: Subquery) -> None:
        """Add one that may read those added before it."""
        self._queries[name] = query

    def keep(self, name: str, query: Subquery) -> None:
        """Add one that is made once, however often it is read: it gives its rows numbers, which may be others each
        time, or takes a time that must not multiply."""
        self.add(name, query)
        self._kept.add(name)

    def named(self, prefix: str, query: Subquery, *, once: bool = False) -> str:
        """The name of a subquery, which is added; the same query has one name. ``once``: it is kept, see ``keep``."""
        if query not in self._names:
            self._names[query] = f"{prefix}_{len(self._names)}"
            self.add(self._names[query], query)
        if once:
            self._kept.add(self._names[query])
        return self._names[query]

    def statement(self, query: str) -> str:
        """The query with the subqueries that it needs.

        One that is kept and read more than once is made once; the others a database may merge with what reads them.
        """
        times: dict[str, int] = {}
        read: dict[str, set[str]] = {}
        needed: list[str] = []

        def reads(sql: str, how_often: int) -> None:
            named = words(sql)
            for name in _SOURCE.findall(sql):
                if name in self._queries:
                    times[name] = times.get(name, 0) + how_often
                    read.setdefault(name, set()).update(named)

        reads(query, 1)
        # A subquery reads earlier ones alone.
        for name, subquery in reversed(self._queries.items()):
            if name in times:
                sql = subquery if isinstance(subquery, str) else subquery.sql(read[name])
                kept = name in self._kept and times[name] > 1
                reads(sql, 1 if kept else times[name])
                needed.append(f"{name} AS {'MATERIALIZED ' if kept else ''}({sql})")
        return f"WITH {', '.join(reversed(needed))} {query}" if needed else query


def in_dialect(sql: str, dialect: str) -> str:
    """DuckDB's SQL in another dialect, by sqlglot's name of it."""
    if dialect == "duckdb":
        return sql
    import sqlglot

    return sqlglot.transpile(sql, read="duckdb", write=dialect)[0]
