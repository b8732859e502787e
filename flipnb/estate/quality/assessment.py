"""``assess``: an estate's version against every rule; one scan per table, and one join per thing that rows refer to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from flipnb.estate.database import EstateDatabase, reading
from flipnb.estate.omop.cdm import Field, Table, tables
from flipnb.estate.quality.concept_checks import people_of_one_sex, values
from flipnb.estate.quality.findings import Finding, QualityReport, example_of
from flipnb.estate.quality.rules import (
    AFTER_DEATH_DAYS,
    AROUND_VISIT_DAYS,
    EXACT,
    LIFE,
    VISIT,
    RowRule,
    row_rules,
)
from flipnb.estate.quality.source_values import source_values

_AT_ONCE = 60
"""Aggregates per query: more make plans slow to compile."""
_YEARS = (
    "visit_occurrence",
    "condition_occurrence",
    "drug_exposure",
    "procedure_occurrence",
    "measurement",
    "observation",
)


def assess(estate: Path | str, version: str | None = None) -> QualityReport:
    """Check the current version (or the one that is named) of an estate's directory or ``postgresql://`` address.

    Raises FlipError ``no-estate``, ``unknown-version``, ``estate-incomplete``, ``database-away``.
    """
    with reading(estate, version) as database:
        return _Assessment(database).report()


class _Assessment:
    def __init__(self, database: EstateDatabase) -> None:
        self._database = database
        self._there = database.columns().keys()
        self._rows = {name: self._number(f"SELECT count(*) FROM {name}") for name in tables() if name in self._there}

    def report(self) -> QualityReport:
        findings: list[Finding] = []
        for name, rows in self._rows.items():
            if rows:
                findings += self._table(tables()[name], rows)
        findings += [*self._people(), *self._eras(), *self._rejects()]
        return QualityReport(
            version=self._database.version,
            day=date.today(),
            people=self._rows.get("person", 0),
            rows={name: rows for name, rows in self._rows.items() if rows},
            years={name: self._by_year(tables()[name]) for name in _YEARS if self._rows.get(name)},
            findings=tuple(findings),
        )

    def _table(self, table: Table, rows: int) -> Iterator[Finding]:
        yield from self._row_rules(table, rows)
        if table.key is not None:
            yield self._unique(table, rows)
        for field in table.fields:
            if field.concept:
                yield from self._concepts(table, field)
            elif field.foreign_key is not None and field.foreign_key.table in self._rows:
                yield self._foreign_key(table, field)
        if table.of_person and table.start is not None and self._rows.get("person"):
            yield from self._lives(table, table.start)
        if table.name == "observation_period":
            yield self._overlaps(table)
        if table.start is not None and table.name not in ("visit_occurrence", "visit_detail"):
            yield from self._around_visits(table, table.start)
        if not table.vocabulary:
            yield from source_values(self._database, table)
        if self._rows.get("concept"):
            if table.name == "measurement":
                yield from values(self._database, table)
            descendants = bool(self._rows.get("concept_ancestor"))
            yield from people_of_one_sex(self._database, table, with_descendants=descendants)

    def _row_rules(self, table: Table, rows: int) -> Iterator[Finding]:
        rules = row_rules(table)
        for first in range(0, len(rules), _AT_ONCE):
            some = rules[first : first + _AT_ONCE]
            counts = [
                f"count(*) FILTER (WHERE {rule.violated}), "
                + (f"count(*) FILTER (WHERE {rule.among})" if rule.among else str(rows))
                for rule in some
            ]
            (found,) = self._database.rows(f"SELECT {', '.join(counts)} FROM {table.name}")
            for number, rule in enumerate(some):
                yield _finding(table, rule, int(found[2 * number]), int(found[2 * number + 1]))

    def _unique(self, table: Table, rows: int) -> Finding:
        key = table.fields[0] if table.key is None else table.key
        twice = f"SELECT {key.quoted} AS k, count(*) AS n FROM {table.name} GROUP BY {key.quoted} HAVING count(*) > 1"
        (found,) = self._database.rows(f"SELECT coalesce(sum(n), 0), min(k) FROM ({twice}) t")
        return Finding(
            category="conformance",
            check="unique key",
            table=table.name,
            field=key.name,
            meaning="no value twice",
            violated=int(found[0]),
            total=rows,
            allowed=EXACT,
            example=example_of(found[1]),
        )

    def _concepts(self, table: Table, field: Field) -> Iterator[Finding]:
        """What the concepts of a field are: known, of the field's domain and class, standard."""
        if not self._rows.get("concept") or (table.vocabulary and table.name != "concept_relationship"):
            return
        standard = field.domain is not None and field.domain != "Type Concept"
        domains = [] if field.domain is None else [part.strip() for part in field.domain.split(",")]
        wrong_domain = " AND ".join(f"c.domain_id NOT LIKE '%{domain}%'" for domain in domains) or "false"
        wrong_class = f"c.concept_class_id <> '{field.concept_class}'" if field.concept_class else "false"
        query = (
            f"SELECT sum(n), sum(CASE WHEN c.concept_id IS NULL THEN n ELSE 0 END), "
            f"min(CASE WHEN c.concept_id IS NULL THEN k END), "
            f"sum(CASE WHEN {wrong_domain} THEN n ELSE 0 END), min(CASE WHEN {wrong_domain} THEN k END), "
            "sum(CASE WHEN c.standard_concept = 'S' AND coalesce(c.invalid_reason, '') = '' THEN 0 "
            "WHEN c.concept_id IS NULL THEN 0 ELSE n END), "
            "min(CASE WHEN c.concept_id IS NOT NULL AND (coalesce(c.standard_concept, '') <> 'S' "
            "OR coalesce(c.invalid_reason, '') <> '') THEN k END), "
            f"sum(CASE WHEN {wrong_class} THEN n ELSE 0 END), min(CASE WHEN {wrong_class} THEN k END) "
            f"FROM (SELECT {field.name} AS k, count(*) AS n FROM {table.name} "
            f"WHERE {field.name} IS NOT NULL AND {field.name} <> 0 GROUP BY {field.name}) u "
            "LEFT JOIN concept c ON c.concept_id = u.k"
        )
        (found,) = self._database.rows(query)
        total = int(found[0] or 0)
        if not total:
            return
        said = [("known concept", "a concept of the vocabulary", 1, EXACT)]
        if domains:
            said.append(("domain", f"a concept of the domain {field.domain}", 3, EXACT))
        if standard:
            said.append(("standard", "a standard, valid concept", 5, EXACT))
        if field.concept_class:
            said.append(("concept class", f"a concept of the class {field.concept_class}", 7, EXACT))
        for check, meaning, place, allowed in said:
            yield Finding(
                category="conformance",
                check=check,
                table=table.name,
                field=field.name,
                meaning=meaning,
                violated=int(found[place] or 0),
                total=total,
                allowed=allowed,
                example=example_of(found[place + 1]),
            )

    def _foreign_key(self, table: Table, field: Field) -> Finding:
        key = field.foreign_key
        assert key is not None
        name = field.quoted
        lost = f"NOT EXISTS (SELECT 1 FROM {key.table} o WHERE o.{key.field} = t.{name})"
        query = (
            f"SELECT (SELECT count(*) FROM {table.name} WHERE {name} IS NOT NULL), count(*), min({name}) "
            f"FROM {table.name} t WHERE t.{name} IS NOT NULL AND {lost}"
        )
        (found,) = self._database.rows(query)
        return Finding(
            category="conformance",
            check="foreign key",
            table=table.name,
            field=field.name,
            meaning=f"a {key.field} of {key.table}",
            violated=int(found[1]),
            total=int(found[0]),
            allowed=EXACT,
            example=example_of(found[2]),
        )

    def _lives(self, table: Table, start: Field) -> Iterator[Finding]:
        """Rows before their person's birth, and long after their death."""
        # Only what is known of a birth counts: its year, else its month, else its day.
        born = (
            "CASE WHEN p.year_of_birth BETWEEN 1 AND 9999 THEN make_date(CAST(p.year_of_birth AS INTEGER), "
            "CASE WHEN p.month_of_birth BETWEEN 1 AND 12 THEN CAST(p.month_of_birth AS INTEGER) ELSE 1 END, 1) END"
        )
        (found,) = self._database.rows(
            f"SELECT count(*), count(*) FILTER (WHERE t.{start.name} < {born}) "
            f"FROM {table.name} t JOIN person p ON p.person_id = t.person_id"
        )
        yield Finding(
            category="plausibility",
            check="after birth",
            table=table.name,
            field=start.name,
            meaning="not before the person was born",
            violated=int(found[1]),
            total=int(found[0]),
            allowed=LIFE,
        )
        if table.name != "death" and self._rows.get("death"):
            (found,) = self._database.rows(
                f"SELECT count(*) FILTER (WHERE t.{start.name} > d.day + {AFTER_DEATH_DAYS}), count(*) "
                f"FROM {table.name} t "
                "JOIN (SELECT person_id, min(death_date) AS day FROM death GROUP BY person_id) d "
                "ON d.person_id = t.person_id"
            )
            yield Finding(
                category="plausibility",
                check="during life",
                table=table.name,
                field=start.name,
                meaning=f"not over {AFTER_DEATH_DAYS} days after the person's death",
                violated=int(found[0]),
                total=int(found[1]),
                allowed=LIFE,
            )

    def _overlaps(self, table: Table) -> Finding:
        (found,) = self._database.rows(
            "SELECT count(*) FILTER (WHERE before >= observation_period_start_date), count(*) FROM (SELECT *, "
            "max(observation_period_end_date) OVER (PARTITION BY person_id ORDER BY observation_period_start_date, "
            "observation_period_end_date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before "
            f"FROM {table.name}) t"
        )
        return Finding(
            category="plausibility",
            check="no overlap",
            table=table.name,
            meaning="no two periods of a person overlap",
            violated=int(found[0]),
            total=int(found[1]),
            allowed=EXACT,
        )

    def _around_visits(self, table: Table, start: Field) -> Iterator[Finding]:
        if not self._rows.get("visit_occurrence") or "visit_occurrence_id" not in table.columns:
            return
        (found,) = self._database.rows(
            f"SELECT count(*) FILTER (WHERE t.{start.name} < v.visit_start_date - {AROUND_VISIT_DAYS} "
            f"OR t.{start.name} > v.visit_end_date + {AROUND_VISIT_DAYS}), count(*) FROM {table.name} t "
            "JOIN visit_occurrence v ON v.visit_occurrence_id = t.visit_occurrence_id"
        )
        yield Finding(
            category="plausibility",
            check="within visit",
            table=table.name,
            field=start.name,
            meaning=f"within {AROUND_VISIT_DAYS} days of its visit",
            violated=int(found[0]),
            total=int(found[1]),
            allowed=VISIT,
        )

    def _people(self) -> Iterator[Finding]:
        """For each table, people without a row; everybody needs an observation period."""
        people = self._rows.get("person", 0)
        for name, rows in self._rows.items():
            if not people or not tables()[name].of_person or (not rows and name != "observation_period"):
                continue
            violated = self._number(
                f"SELECT count(*) FROM person p "
                f"WHERE NOT EXISTS (SELECT 1 FROM {name} t WHERE t.person_id = p.person_id)"
            )
            yield Finding(
                category="completeness",
                check="people",
                table=name,
                meaning="every person has a row",
                violated=violated,
                total=people,
                allowed=EXACT if name == "observation_period" else None,
            )

    def _eras(self) -> Iterator[Finding]:
        """People with records of a kind, and without the eras that are derived of them."""
        for era, records, concept in (
            ("condition_era", "condition_occurrence", "condition_concept_id"),
            ("drug_era", "drug_exposure", "drug_concept_id"),
        ):
            if not self._rows.get(records) or era not in self._rows:
                continue
            (found,) = self._database.rows(
                f"SELECT count(*), count(*) FILTER (WHERE NOT EXISTS "
                f"(SELECT 1 FROM {era} e WHERE e.person_id = t.person_id)) "
                f"FROM (SELECT DISTINCT person_id FROM {records} WHERE {concept} <> 0) t"
            )
            yield Finding(
                category="completeness",
                check="eras",
                table=era,
                meaning=f"everybody who has a {records}",
                violated=int(found[1]),
                total=int(found[0]),
            )

    def _rejects(self) -> Iterator[Finding]:
        if "flip_source" not in self._there:
            return
        for file, total, rejected in self._database.rows(
            "SELECT file, row_count + reject_count, reject_count FROM flip_source WHERE reject_count > 0 ORDER BY file"
        ):
            yield Finding(
                category="conformance",
                check="rejected",
                table="flip_reject",
                meaning=f"every row of {file} could be loaded",
                violated=int(rejected),
                total=int(total),
                allowed=EXACT,
            )

    def _by_year(self, table: Table) -> dict[int, int]:
        start = table.start
        assert start is not None
        query = (
            f"SELECT extract(year FROM {start.name}) AS y, count(*) FROM {table.name} WHERE {start.name} IS NOT NULL "
            "GROUP BY 1 ORDER BY 1"
        )
        return {int(year): int(count) for year, count in self._database.rows(query)}

    def _number(self, query: str) -> int:
        for (value,) in self._database.rows(query):
            return int(value)
        return 0


def _finding(table: Table, rule: RowRule, violated: int, total: int) -> Finding:
    return Finding(
        category=rule.category,
        check=rule.check,
        table=table.name,
        field=None if rule.field is None else rule.field.name,
        meaning=rule.meaning,
        violated=violated,
        total=total,
        allowed=rule.allowed,
    )
