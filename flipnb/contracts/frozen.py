"""The shape of a frozen cohort: a DuckDB file with OMOP CDM 5.4 names, one row of ``cohort`` per member.

An estate freezes real people into it, a twin invented ones; ``meta`` says which. Ids are pseudonyms of the study,
of no use outside. Dates are those of the record; nothing but the dataset's concepts and these columns is there.
"""

from __future__ import annotations

TABLES: dict[str, str] = {
    "meta": "key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL",
    "cohort": (
        "subject_id BIGINT PRIMARY KEY, cohort_start_date DATE NOT NULL, cohort_end_date DATE NOT NULL, "
        "split VARCHAR NOT NULL CHECK (split IN ('train', 'validation', 'test'))"
    ),
    "person": "person_id BIGINT PRIMARY KEY, gender_concept_id INTEGER NOT NULL, year_of_birth INTEGER NOT NULL",
    "measurement": (
        "measurement_id BIGINT PRIMARY KEY, person_id BIGINT NOT NULL, measurement_concept_id INTEGER NOT NULL, "
        "measurement_date DATE NOT NULL, value_as_number DOUBLE, value_as_concept_id INTEGER, "
        "unit_source_value VARCHAR"
    ),
    "observation": (
        "observation_id BIGINT PRIMARY KEY, person_id BIGINT NOT NULL, observation_concept_id INTEGER NOT NULL, "
        "observation_date DATE NOT NULL, value_as_number DOUBLE, value_as_concept_id INTEGER, "
        "unit_source_value VARCHAR"
    ),
    "condition_occurrence": (
        "condition_occurrence_id BIGINT PRIMARY KEY, person_id BIGINT NOT NULL, "
        "condition_concept_id INTEGER NOT NULL, condition_start_date DATE NOT NULL, condition_end_date DATE"
    ),
}
"""Table name → column definitions (SQL)."""

META_DATASET = "dataset"
META_KIND = "kind"
KIND_REAL = "cohort"
KIND_TWIN = "twin"
