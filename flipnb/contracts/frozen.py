"""The shape of a frozen cohort: a folder that holds a DuckDB file with OMOP CDM 5.4 names, one row of ``cohort`` per
member.

An estate freezes real people into it, a twin invented ones; ``meta`` says which. Ids are pseudonyms of the study,
of no use outside. Dates are those of the record; nothing but the dataset's concepts and these columns is there.

Beside the variables' rows a dataset may declare whole tables of the CDM, with the columns it wants of them
(``contracts.dataset.FrozenTable``); they join the columns that a table has always. Free text, source values, places and
staff are never among them. ``concept`` names the concepts that occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DATABASE = "cohort.duckdb"
"""The name of the tables' file in a frozen cohort's folder. Beside it lie its images' pixels (``images_file``)."""

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
"""Table name → column definitions (SQL), of every frozen cohort."""

CONCEPT = (
    "concept_id INTEGER PRIMARY KEY, concept_name VARCHAR NOT NULL, domain_id VARCHAR NOT NULL, "
    "vocabulary_id VARCHAR NOT NULL, concept_class_id VARCHAR NOT NULL, standard_concept VARCHAR, "
    "concept_code VARCHAR NOT NULL"
)

_VISIT = {"visit_occurrence_id": "BIGINT"}

DECLARABLE: dict[str, dict[str, str]] = {
    "person": {"month_of_birth": "INTEGER", "day_of_birth": "INTEGER"},
    "observation_period": {
        "observation_period_start_date": "DATE NOT NULL",
        "observation_period_end_date": "DATE NOT NULL",
    },
    "visit_occurrence": {
        "visit_concept_id": "INTEGER NOT NULL",
        "visit_start_date": "DATE NOT NULL",
        "visit_start_datetime": "TIMESTAMP",
        "visit_end_date": "DATE",
        "visit_end_datetime": "TIMESTAMP",
        "admitted_from_concept_id": "INTEGER",
        "discharged_to_concept_id": "INTEGER",
    },
    "condition_occurrence": {
        "condition_start_datetime": "TIMESTAMP",
        "condition_end_datetime": "TIMESTAMP",
        "condition_status_concept_id": "INTEGER",
        "condition_source_concept_id": "INTEGER",
        **_VISIT,
    },
    "drug_exposure": {
        "drug_concept_id": "INTEGER NOT NULL",
        "drug_exposure_start_date": "DATE NOT NULL",
        "drug_exposure_end_date": "DATE",
        "drug_type_concept_id": "INTEGER",
        "drug_source_concept_id": "INTEGER",
        "refills": "INTEGER",
        "quantity": "DOUBLE",
        "days_supply": "INTEGER",
        "route_concept_id": "INTEGER",
        **_VISIT,
    },
    "procedure_occurrence": {
        "procedure_concept_id": "INTEGER NOT NULL",
        "procedure_date": "DATE NOT NULL",
        "procedure_datetime": "TIMESTAMP",
        "procedure_end_date": "DATE",
        "procedure_source_concept_id": "INTEGER",
        **_VISIT,
    },
    "measurement": {
        "measurement_datetime": "TIMESTAMP",
        "operator_concept_id": "INTEGER",
        "unit_concept_id": "INTEGER",
        "range_low": "DOUBLE",
        "range_high": "DOUBLE",
        "measurement_source_concept_id": "INTEGER",
        **_VISIT,
    },
    "observation": {
        "observation_datetime": "TIMESTAMP",
        "qualifier_concept_id": "INTEGER",
        "unit_concept_id": "INTEGER",
        "observation_source_concept_id": "INTEGER",
        **_VISIT,
    },
    "death": {"death_date": "DATE NOT NULL", "cause_concept_id": "INTEGER"},
}
"""Table → the columns that a dataset may declare, beside those of TABLES, the table's key and the person."""


def key_of(table: str) -> str | None:
    """The column that numbers a table's rows; None where a person has one row at most."""
    return None if table in ("death", "person") else f"{table}_id"


def columns_of(table: str, declared: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """A frozen table's columns and their SQL types, the constant ones first.

    ``declared`` are the dataset's tables with their columns; a table that is neither there nor constant has none.
    """
    if table == IMAGES:
        return IMAGES_COLUMNS
    columns: dict[str, str] = {}
    if table in TABLES:
        for definition in TABLES[table].split(" CHECK ")[0].split(", "):
            name, kind = definition.split(" ", 1)
            columns[name] = kind
    elif table in declared:
        key = key_of(table)
        if key is not None:
            columns[key] = "BIGINT PRIMARY KEY"
        columns["person_id"] = "BIGINT NOT NULL"
    for name in declared.get(table, ()):
        columns.setdefault(name, DECLARABLE[table][name])
    return columns


def definitions(declared: Mapping[str, Sequence[str]], *, images: bool = False) -> dict[str, str]:
    """Table → its column definitions (SQL), of the frozen cohort of a dataset with these declared tables, and with the
    table of images where it has any."""
    found = {"concept": CONCEPT, **TABLES}
    if images:
        found[IMAGES] = ", ".join(f"{name} {kind}" for name, kind in IMAGES_COLUMNS.items())
    for table in declared:
        columns = columns_of(table, declared)
        found[table] = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return found


META_DATASET = "dataset"
META_KIND = "kind"
KIND_REAL = "cohort"
KIND_TWIN = "twin"

IMAGES = "images"
"""The table of a dataset's images, where it has any, and how the names of the files of their pixels begin."""

IMAGES_COLUMNS: dict[str, str] = {
    "image_id": "BIGINT PRIMARY KEY",
    "person_id": "BIGINT NOT NULL",
    "split": "VARCHAR NOT NULL",
    "image_set": "VARCHAR NOT NULL",
    "modality": "VARCHAR NOT NULL",
    "body_part_concept_id": "INTEGER",
    "day": "INTEGER NOT NULL",
    "shape": "INTEGER[] NOT NULL",
    "dtype": "VARCHAR NOT NULL",
    "affine": "DOUBLE[] NOT NULL",
    "spacing": "DOUBLE[] NOT NULL",
    "rescale_slope": "DOUBLE NOT NULL",
    "rescale_intercept": "DOUBLE NOT NULL",
    "photometric": "VARCHAR NOT NULL",
    "file": "VARCHAR NOT NULL",
    "tensor": "VARCHAR NOT NULL",
    "tensor_row": "INTEGER NOT NULL",
    "file_offset": "BIGINT NOT NULL",
    "sha256": "VARCHAR NOT NULL",
    "label_names": "VARCHAR[] NOT NULL",
    "label_file_offset": "BIGINT",
    "label_sha256": "VARCHAR",
}
"""One row per frozen image, numbered in the order of persons.

``day`` is that of the study after the index date. ``shape`` is x, y(, z); ``dtype`` a NumPy name; ``affine`` the upper
three rows, row by row, of the matrix from voxels to millimetres (RAS+), of a picture that says nothing of its place its
spacing alone. A number's meaning (Hounsfield units in CT) is ``rescale_slope`` times it plus ``rescale_intercept``.
``photometric`` is MONOCHROME2, or MONOCHROME1 where the pixels were turned round so that larger is brighter.
The pixels are row ``tensor_row`` of the tensor ``tensor`` in ``file`` (safetensors), from byte ``file_offset`` on, in C
order; ``sha256`` is of these bytes. Labels have the same shape, as uint8, from ``label_file_offset`` on: the place of a
name in ``labels`` of the set, from 1; ``label_names`` are those that the segmentation had.
"""


def images_file(image_set: str) -> str:
    """The name of the file of a set's pixels in a frozen cohort's folder."""
    return f"{IMAGES}-{image_set}.safetensors"
