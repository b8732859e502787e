"""How much of what a source said has found a standard concept, by distinct value."""

from __future__ import annotations

from collections.abc import Iterator

from flipnb.estate.database import EstateDatabase
from flipnb.estate.omop.cdm import Field, Table
from flipnb.estate.quality.findings import Finding, example_of


def source_values(database: EstateDatabase, table: Table) -> Iterator[Finding]:
    """For each source value beside a standard concept: how many distinct values have concept 0, and the commonest."""
    for value, concept in _pairs(table):
        values = (
            f"SELECT {value.quoted} AS v, max({concept.name}) AS c, count(*) AS n FROM {table.name} "
            f"WHERE {value.quoted} IS NOT NULL AND {concept.name} IS NOT NULL GROUP BY {value.quoted}"
        )
        (found,) = database.rows(
            f"WITH s AS ({values}) SELECT count(*), count(*) FILTER (WHERE c = 0), "
            "(SELECT v FROM s WHERE c = 0 ORDER BY n DESC, v LIMIT 1) FROM s"
        )
        if found[0]:
            yield Finding(
                category="completeness",
                check="source value",
                table=table.name,
                field=value.name,
                meaning=f"each distinct value with a {concept.name} other than 0",
                violated=int(found[1]),
                total=int(found[0]),
                example=example_of(found[2]),
            )


def _pairs(table: Table) -> Iterator[tuple[Field, Field]]:
    names = {field.name: field for field in table.fields}
    for name, field in names.items():
        concept = names.get(f"{name.removesuffix('_source_value')}_concept_id")
        if name.endswith("_source_value") and concept is not None and concept.concept:
            yield field, concept
