"""What a search parameter is: a condition in SQL for each of its values (hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from flipnb.contracts.problem import FlipError
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table

_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.+)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """SQL over the table's alias ``t``, with its values."""

    sql: str
    values: tuple[Any, ...] = ()

    @classmethod
    def any_of(cls, parts: Sequence[Condition]) -> Condition:
        """At least one of the parts holds; ``parts`` are one or more."""
        if len(parts) == 1:
            return parts[0]
        sql = " OR ".join(f"({part.sql})" for part in parts)
        return cls(f"({sql})", tuple(value for part in parts for value in part.values))

    def negated(self) -> Condition:
        """It does not hold; what is null, and so unknown, does not hold either."""
        return replace(self, sql=f"NOT COALESCE(({self.sql}), FALSE)")


NEVER, ALWAYS = Condition("1 = 0"), Condition("1 = 1")


class Parameter(Protocol):
    """One search parameter of a table."""

    @property
    def kind(self) -> str:
        """FHIR's type of it: token, date, reference, quantity."""
        ...

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """For one of the comma-separated values. Raises FlipError ``bad-value`` or ``unknown-modifier``."""
        ...

    def sort_key(self, store: Store, table: Table) -> str | None:
        """SQL to sort by; None where there is none."""
        ...


def bad_value(name: str, value: str, needed: str) -> FlipError:
    """The FlipError ``bad-value`` that says what a parameter needs, to be raised."""
    return FlipError("bad-value", f"{name}={value[:100]}: {needed} is needed.")


def no_modifier(name: str, modifier: str | None) -> None:
    """Raise FlipError ``unknown-modifier`` where there is one."""
    if modifier is not None:
        raise FlipError("unknown-modifier", f"The modifier :{modifier[:40]} of {name} is not supported.")


def missing(store: Store, table: Table, column: str, value: str, name: str) -> Condition:
    """``:missing``: rows without a value in the column (``true``), or with one. FlipError ``bad-value`` for else."""
    if value not in ("true", "false"):
        raise bad_value(f"{name}:missing", value, "true or false")
    if not store.has(table.name, column):
        return ALWAYS if value == "true" else NEVER
    return Condition(f"t.{column} IS {'NULL' if value == 'true' else 'NOT NULL'}")


def token(value: str) -> tuple[str | None, str]:
    """``system|code``: system None where any will do, empty where there is to be none."""
    system, bar, code = value.partition("|")
    return (system, code) if bar else (None, value)


def prefixed(value: str) -> tuple[str, str]:
    """``ge2020`` as its prefix and the rest; ``eq`` where there is none."""
    match = _PREFIXED.fullmatch(value)
    return (match[1] or "eq", match[2]) if match else ("eq", value)
