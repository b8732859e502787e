"""Searching by closed lists of codes: status, category, gender, class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flipnb.records.fhir.administration import GENDERS, VISIT_CLASSES
from flipnb.records.fhir.diagnostics import VITAL_SIGNS
from flipnb.records.fhir.parameter import ALWAYS, NEVER, Condition, no_modifier, token
from flipnb.records.fhir.store import Store
from flipnb.records.fhir.table import Table


@dataclass(frozen=True)
class CodeParameter:
    """An element with a closed list of codes, each a condition on the table; ``system`` is theirs."""

    codes: Callable[[Store, Table], dict[str, Condition]]
    system: str | None = None
    kind = "token"

    def condition(self, store: Store, table: Table, name: str, modifier: str | None, value: str) -> Condition:
        """Rows whose element has the code ``[system|]code``; any of its codes for the system alone. Takes ``:not``."""
        if modifier == "not":
            return self.condition(store, table, name, None, value).negated()
        no_modifier(name, modifier)
        system, code = token(value)
        if system is not None and system != self.system:
            return NEVER
        codes = self.codes(store, table)
        if not code and system:
            return Condition.any_of(list(codes.values()))
        return codes.get(code, NEVER)

    def sort_key(self, store: Store, table: Table) -> str | None:
        """None: a code has no order."""
        return None


def always(*codes: str) -> Callable[[Store, Table], dict[str, Condition]]:
    """Every resource has one of these codes."""
    return lambda store, table: dict.fromkeys(codes, ALWAYS)


def ended(column: str, then: str, otherwise: str) -> Callable[[Store, Table], dict[str, Condition]]:
    """One code where the column has a date, another where it has none."""

    def codes(store: Store, table: Table) -> dict[str, Condition]:
        if not store.has(table.name, column):
            return {then: NEVER, otherwise: ALWAYS}
        return {then: Condition(f"t.{column} IS NOT NULL"), otherwise: Condition(f"t.{column} IS NULL")}

    return codes


def genders(store: Store, table: Table) -> dict[str, Condition]:
    """FHIR's administrative genders, each as a condition on OMOP's gender concept; no concept is ``unknown``."""
    gender = "COALESCE(t.gender_concept_id, 0)"
    codes: dict[str, Condition] = {}
    for code in ("male", "female", "unknown"):
        concepts = ", ".join(str(concept) for concept, name in GENDERS.items() if name == code)
        codes[code] = Condition(f"{gender} IN ({concepts})")
    codes["other"] = Condition(f"{gender} NOT IN ({', '.join(map(str, GENDERS))})")
    return codes


def visit_classes(store: Store, table: Table) -> dict[str, Condition]:
    """The classes of encounters (v3 ActCode) that OMOP's visit concepts become, each as a condition."""
    codes = sorted({code for code, _ in VISIT_CLASSES.values()})
    return {
        code: Condition(
            f"t.visit_concept_id IN ({', '.join(str(c) for c, (own, _) in VISIT_CLASSES.items() if own == code)})"
        )
        for code in codes
    }


def observation_categories(default: str | None) -> Callable[[Store, Table], dict[str, Condition]]:
    """As ``diagnostics.observation_category`` says them, in SQL."""

    def codes(store: Store, table: Table) -> dict[str, Condition]:
        column = f"t.{table.name}_concept_id"
        if not store.has("concept", "concept_id", "vocabulary_id", "concept_code", "concept_class_id"):
            return {default: ALWAYS} if default else {}
        vital = ", ".join(f"'{code}'" for code in VITAL_SIGNS)
        loinc = "SELECT concept_id FROM concept WHERE vocabulary_id = 'LOINC'"
        classes = {"laboratory": "Lab Test", "survey": "Survey", "exam": "Clinical Observation"}
        found = {"vital-signs": Condition(f"{column} IN ({loinc} AND concept_code IN ({vital}))")}
        for code, name in classes.items():
            inner = f"{loinc} AND concept_class_id = '{name}' AND concept_code NOT IN ({vital})"
            found[code] = Condition(f"{column} IN ({inner})")
        if default is not None:
            names = ", ".join(f"'{name}'" for name in classes.values())
            others = f"{loinc} AND (concept_class_id IN ({names}) OR concept_code IN ({vital}))"
            found[default] = Condition.any_of(
                [found[default], Condition(f"{column} IS NULL OR {column} NOT IN ({others})")]
            )
        return found

    return codes


def condition_categories(store: Store, table: Table) -> dict[str, Condition]:
    """``encounter-diagnosis`` where a visit is recorded with the diagnosis, else ``problem-list-item``."""
    if not store.has(table.name, "visit_occurrence_id"):
        return {"problem-list-item": ALWAYS, "encounter-diagnosis": NEVER}
    return {
        "problem-list-item": Condition("t.visit_occurrence_id IS NULL"),
        "encounter-diagnosis": Condition("t.visit_occurrence_id IS NOT NULL"),
    }
