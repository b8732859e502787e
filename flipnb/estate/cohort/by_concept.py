"""Records by concept: a second copy of the clinical tables in an estate version, in the order in which cohorts ask.

The CDM's tables lie in the order in which they were loaded, mostly by person. A criterion asks for the records of a
few concepts, and would read a whole table to find them. The copies hold what criteria read of a row, by concept and
person, so that DuckDB skips the blocks that hold none of the concepts, and the bounds of the observation period that
the row's start is in, so that they need not be looked for. Beside them is what concept sets read of the vocabulary.
All of it is written once, with the version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.estate.cohort.domains import DOMAINS, Domain
from flipnb.estate.cohort.vocabulary import VOCABULARY_BY_CONCEPT
from flipnb.estate.database import BY_CONCEPT
from flipnb.estate.omop.cdm import tables

if TYPE_CHECKING:
    import duckdb

_COLUMN = re.compile(r"\bt\.(\w+)")
_BLOCK_ROWS = 8192
"""DuckDB knows of a block's least and greatest concept alone: with its usual 122,880 rows to a block, a rare concept
costs as much as those beside it."""
_PLACE_OF_VISIT = ("provider_id", "care_site_id")
PERIOD = ("op_start_date", "op_end_date")
_PERIOD_COLUMNS = "op.observation_period_start_date AS op_start_date, op.observation_period_end_date AS op_end_date"
_IN_PERIOD = (
    "LEFT JOIN observation_period op ON op.person_id = t.person_id AND op.observation_period_start_date <= {0} "
    "AND op.observation_period_end_date >= {0}"
)
_OVERLAPS = """
SELECT person_id FROM (
    SELECT person_id, observation_period_start_date AS started, MAX(observation_period_end_date) OVER (
        PARTITION BY person_id ORDER BY observation_period_start_date, observation_period_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM observation_period
) WHERE started <= before LIMIT 1
"""


@cache
def copied() -> Mapping[str, Domain]:
    """Domains by their table, of those that have a concept set and a table of their own."""
    return {
        domain.table: domain
        for domain in DOMAINS.values()
        if "codeset_id" in domain.codesets and domain.table in tables() and domain.table != "death"
    }


def table_by_concept(table: str) -> str:
    """The name of a clinical table's copy by concept, with its schema."""
    return f"{BY_CONCEPT}.{table}"


def add_by_concept(path: Path, config: dict[str, Any], progress: Callable[[str, int], None]) -> None:
    """Write the copies into a database's file, which nobody has open, in small blocks.

    ``progress`` is told of each copy that holds rows, and of how many.
    """
    import duckdb

    with duckdb.connect(config=config) as connection:
        place = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{place}' AS version (ROW_GROUP_SIZE {_BLOCK_ROWS})")
        connection.execute("USE version")
        write_by_concept(connection, progress)
        connection.execute("CHECKPOINT version")


def write_by_concept(connection: duckdb.DuckDBPyConnection, progress: Callable[[str, int], None] | None = None) -> None:
    """Write the copies anew, from the tables as they are.

    They have no periods where somebody's overlap, against the CDM's conventions: a start could be in two.
    """
    connection.execute(f"DROP SCHEMA IF EXISTS {BY_CONCEPT} CASCADE")
    connection.execute(f"CREATE SCHEMA {BY_CONCEPT}")
    for statement in VOCABULARY_BY_CONCEPT:
        connection.execute(statement)
    overlap = connection.execute(_OVERLAPS).fetchone() is not None
    for table, domain in copied().items():
        columns = [f"t.{name}" for name in held(domain)] + ([] if overlap else [_PERIOD_COLUMNS])
        written = connection.execute(
            f"CREATE TABLE {table_by_concept(table)} AS SELECT {', '.join(columns)} FROM {table} t "
            f"{'' if overlap else _IN_PERIOD.format(domain.start)} "
            f"ORDER BY {domain.codesets['codeset_id']}, t.person_id"
        ).fetchone()
        if progress is not None and written and written[0]:
            progress(f"{table} by concept", int(written[0]))


def held(domain: Domain) -> list[str]:
    """The columns of the copy of a domain's table, without those of ``PERIOD``: what criteria may read of it."""
    read = " ".join(
        (
            domain.event_id,
            domain.concept,
            domain.start,
            domain.end,
            domain.visit,
            *domain.codesets.values(),
            *(column for _, column in domain.filters.values()),
            *domain.counted.values(),
        )
    )
    there = tables()[domain.table].columns
    names = ("person_id", *_COLUMN.findall(read), *_PLACE_OF_VISIT)
    return [name for name in dict.fromkeys(names) if name in there]
