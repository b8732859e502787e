"""Eras of conditions and of drugs' ingredients, derived of what was recorded, as OHDSI derives them.

Records of one concept (of one ingredient, for drugs) belong to one era while no more than 30 days lie between the end
of one and the start of the next. A condition without an end lasts a day.
"""

from __future__ import annotations

from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading

_GAP_DAYS = 30

_CONDITIONS = (
    "SELECT person_id, condition_concept_id AS concept_id, condition_start_date AS day, "
    "coalesce(condition_end_date, condition_start_date + 1) AS until FROM condition_occurrence "
    f"WHERE condition_concept_id <> 0 AND {SOURCE_ID} IN {{sources}}"
)
_DRUGS = (
    "SELECT person_id, i.concept_id, drug_exposure_start_date AS day, drug_exposure_end_date AS until "
    "FROM drug_exposure JOIN concept_ancestor ON descendant_concept_id = drug_concept_id "
    "JOIN concept i ON i.concept_id = ancestor_concept_id AND i.concept_class_id = 'Ingredient' "
    f"AND i.standard_concept = 'S' WHERE drug_exposure.{SOURCE_ID} IN {{sources}}"
)


def derive_eras(build: Build, loading: Loading, sources: str) -> None:
    """Eras of the rows whose source ids are in ``sources`` (SQL, in parentheses), as rows of ``loading``."""
    build.connection.execute(
        "INSERT INTO condition_era (condition_era_id, person_id, condition_concept_id, condition_era_start_date, "
        f"condition_era_end_date, condition_occurrence_count, {SOURCE_ID}) "
        f"SELECT id, person_id, concept_id, day, until, records, {loading.source_id} "
        f"FROM ({_eras(_CONDITIONS.format(sources=sources))})"
    )
    build.connection.execute(
        "INSERT INTO drug_era (drug_era_id, person_id, drug_concept_id, drug_era_start_date, drug_era_end_date, "
        f"drug_exposure_count, gap_days, {SOURCE_ID}) "
        "SELECT id, person_id, concept_id, day, until, records, greatest(until - day - covered, 0), "
        f"{loading.source_id} "
        f"FROM ({_eras(_DRUGS.format(sources=sources))})"
    )


def _eras(records: str) -> str:
    """SQL: id, person_id, concept_id, day, until, records, covered (days that the records last, added up)."""
    window = "PARTITION BY person_id, concept_id ORDER BY day, until ROWS BETWEEN UNBOUNDED PRECEDING AND"
    return (
        "SELECT (md5_number_lower(concat_ws('/', person_id, concept_id, min(day))) >> 1)::BIGINT AS id, person_id, "
        "concept_id, min(day) AS day, max(until) AS until, count(*) AS records, sum(until - day) AS covered FROM ("
        f"SELECT *, sum(CASE WHEN before IS NULL OR day > before + {_GAP_DAYS} THEN 1 ELSE 0 END) "
        f"OVER ({window} CURRENT ROW) AS era FROM (SELECT *, max(until) OVER ({window} 1 PRECEDING) AS before "
        f"FROM ({records}))) GROUP BY person_id, concept_id, era"
    )
