"""Where people leave a cohort, and how their stays become eras."""

from __future__ import annotations

from flipnb.contracts.cohort import CustomEra, DateOffset
from flipnb.estate.cohort.by_concept import table_by_concept
from flipnb.estate.cohort.concept_sets import ConceptSets
from flipnb.estate.cohort.conditions import shifted, supplied
from flipnb.estate.database import Copies


def offset_exit(strategy: DateOffset) -> str:
    """The date that is ``Offset`` days after an event's start or end, at most the end of observation."""
    exit_date = shifted({"StartDate": "start_date", "EndDate": "end_date"}[strategy.date_field], strategy.offset)
    return f"CASE WHEN {exit_date} > op_end_date THEN op_end_date ELSE {exit_date} END"


def drug_eras(strategy: CustomEra, sets: ConceptSets, included: str, *, copies: Copies) -> str:
    """Eras of persistent exposure of the people of the events ``included`` to the drugs of a concept set, by concept
    or source."""
    start = "de.drug_exposure_start_date"
    end = f"COALESCE(de.drug_exposure_end_date, {supplied(start, 'de.days_supply')}, {start} + 1)"
    if strategy.days_supply_override is not None:
        end = shifted(start, strategy.days_supply_override)
    tables = {
        "drug_concept_id": table_by_concept("drug_exposure") if copies is not Copies.NONE else "drug_exposure",
        "drug_source_concept_id": "drug_exposure",
    }
    exposures = " UNION ALL ".join(
        f"SELECT de.person_id, {start} AS start_date, {end} AS end_date FROM {table} de "
        f"WHERE {sets.holds(f'de.{column}', strategy.drug_codeset_id)} "
        f"AND de.person_id IN (SELECT person_id FROM {included})"
        for column, table in tables.items()
    )
    return merged(exposures, strategy.gap_days + strategy.offset, strategy.gap_days)


def merged(rows: str, pad: int, unpad: int) -> str:
    """Periods of a person that overlap, once ends are ``pad`` days later, as one; then ends ``unpad`` days earlier."""
    return (
        f"SELECT person_id, MIN(start_date) AS start_date, {shifted('MAX(end_date)', -unpad)} AS end_date FROM ("
        "SELECT person_id, start_date, end_date, SUM(is_start) OVER (PARTITION BY person_id "
        "ORDER BY start_date, is_start DESC ROWS UNBOUNDED PRECEDING) AS era FROM ("
        "SELECT person_id, start_date, end_date, CASE WHEN MAX(end_date) OVER (PARTITION BY person_id "
        "ORDER BY start_date ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) >= start_date THEN 0 ELSE 1 END "
        f"AS is_start FROM (SELECT person_id, start_date, {shifted('end_date', pad)} AS end_date FROM ({rows}) r) "
        "padded) marked) grouped GROUP BY person_id, era"
    )
