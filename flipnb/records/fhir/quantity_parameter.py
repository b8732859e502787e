"""Searching by quantities: a number of some precision, and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from flipnb.records.fhir import systems
from flipnb.records.fhir.concept_parameters import concepts_of, resolved
from flipnb.records.fhir.parameter import NEVER, Condition, bad_value, missing, no_modifier, prefixed
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table


@dataclass(frozen=True)
class QuantityParameter:
    """``value-quantity``: ``[prefix]number[|system|code]``; without a prefix the interval of the number's precision."""

    number: str
    unit: str
    kind = "quantity"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """Rows whose number stands to the value as its prefix says, in its unit: ``[prefix]number[|system|code]``.

        A number means all that rounds to it (``5.4`` is 5.35 to 5.45), ``ap`` within a tenth. No unit is converted.
        """
        if modifier == "missing":
            return missing(store, table, self.number, value, name)
        no_modifier(name, modifier)
        parts = value.split("|")
        prefix, text = prefixed(parts[0])
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise bad_value(name, value, "a number") from None
        if len(parts) not in (1, 3) or not number.is_finite():
            raise bad_value(name, value, "[prefix]number or [prefix]number|system|code")
        if not store.has(table.name, self.number):
            return NEVER
        compare = self._compared(prefix, number)
        if len(parts) == 1 or not parts[2]:
            return compare
        unit = self._unit(store, table, parts[1], parts[2])
        return Condition(f"{compare.sql} AND ({unit.sql})", compare.values + unit.values)

    def _compared(self, prefix: str, number: Decimal) -> Condition:
        column, value = f"t.{self.number}", float(number)
        if prefix in ("gt", "sa"):
            return Condition(f"{column} > ?", (value,))
        if prefix in ("lt", "eb"):
            return Condition(f"{column} < ?", (value,))
        if prefix in ("ge", "le"):
            return Condition(f"{column} {'>=' if prefix == 'ge' else '<='} ?", (value,))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        half = abs(number) / 10 if prefix == "ap" else Decimal(5).scaleb(exponent - 1)
        low, high = float(number - half), float(number + half)
        if prefix == "ne":
            return Condition(f"({column} < ? OR {column} >= ?)", (low, high))
        return Condition(f"{column} >= ? AND {column} < ?", (low, high))

    def _unit(self, store: Store, table: Table, system: str, code: str) -> Condition:
        source = f"{self.unit}_source_value"
        parts: list[Condition] = []
        if store.has(table.name, source) and (not system or (system == systems.UCUM and store.ucum_units)):
            parts.append(Condition(f"t.{source} = ?", (code,)))
        column = f"{self.unit}_concept_id"
        concepts = resolved(store, concepts_of(store, f"{system or systems.UCUM}|{code}"))
        if store.has(table.name, column) and concepts is not None:
            parts.append(Condition(f"t.{column} IN ({concepts.sql})", concepts.values))
        return Condition.any_of(parts) if parts else NEVER

    def sort_key(self, store: Store, table: Table) -> str | None:
        """None: numbers in several units have no order."""
        return None
