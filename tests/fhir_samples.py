"""A small OMOP database with the corners of each table, for tests of what FHIR makes of it."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import duckdb

from flipnb.estate import Estate
from flipnb.estate.omop.cdm import tables

CONCEPTS = [
    # id, name, domain, vocabulary, class, code
    (3025315, "Body weight", "Measurement", "LOINC", "Clinical Observation", "29463-7"),
    (3004249, "Systolic blood pressure", "Measurement", "LOINC", "Clinical Observation", "8480-6"),
    (3027114, "Cholesterol [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "2093-3"),
    (40770471, "Thoughts about the future", "Observation", "LOINC", "Survey", "67875-5"),
    (201826, "Type 2 diabetes mellitus", "Condition", "SNOMED", "Clinical Finding", "44054006"),
    (201820, "Diabetes mellitus", "Condition", "SNOMED", "Clinical Finding", "73211009"),
    (45542738, "Type 2 diabetes mellitus", "Condition", "ICD10", "ICD10 code", "E11"),
    (19073183, "amoxicillin 250 MG Oral Capsule", "Drug", "RxNorm", "Clinical Drug", "308182"),
    (4298386, "Anticipatory guidance", "Procedure", "SNOMED", "Procedure", "386516004"),
    (9529, "kilogram", "Unit", "UCUM", "Unit", "kg"),
    (8840, "milligram per deciliter", "Unit", "UCUM", "Unit", "mg/dL"),
    (8876, "millimeter mercury column", "Unit", "UCUM", "Unit", "mm[Hg]"),
    (4188539, "Yes", "Meas Value", "SNOMED", "Qualifier Value", "373066001"),
    (9202, "Outpatient Visit", "Visit", "Visit", "Visit", "OP"),
    (9201, "Inpatient Visit", "Visit", "Visit", "Visit", "IP"),
    (2000000001, "Invented score", "Measurement", "A Trust's own", "Undefined", "score 1"),
    (4056681, "Computed tomography", "Spec Anatomic Site", "DICOM", "DICOM Value Sets", "CT"),
    (706391, "Radiology report", "Note", "LOINC", "Note Type", "18748-4"),
]


def sample_estate(directory, **options):
    """The sample database as an estate of one version."""

    def write(path):
        with sample_database(**options) as source:
            source.execute(f"ATTACH '{path}' AS target")
            source.execute("COPY FROM DATABASE memory TO target")
            source.execute("DETACH target")
        return f"{options.get('seed', 1):032x}"

    return Estate.open(directory).add(write)


def insert(connection, table, **values):
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def sample_database(people=40, seed=1):
    """An in-memory DuckDB in OMOP's shape, with the imaging extension."""
    connection = duckdb.connect()
    for table in tables().values():
        connection.execute(table.ddl())
    for number, name, domain, vocabulary, kind, code in CONCEPTS:
        insert(
            connection, "concept", concept_id=number, concept_name=name, domain_id=domain, vocabulary_id=vocabulary,
            concept_class_id=kind, concept_code=code, valid_start_date=date(1970, 1, 1),
            valid_end_date=date(2099, 12, 31),
        )  # fmt: skip
    for ancestor, descendant in ((201820, 201826), (201820, 201820), (201826, 201826)):
        insert(
            connection, "concept_ancestor", ancestor_concept_id=ancestor, descendant_concept_id=descendant,
            min_levels_of_separation=0, max_levels_of_separation=0,
        )  # fmt: skip
    _Filler(connection, random.Random(seed)).fill(people)
    return connection


class _Filler:
    def __init__(self, connection, chance):
        self.connection, self.chance, self.number = connection, chance, 0

    def next(self):
        self.number += 1
        return self.number

    def day(self):
        return date(2019, 12, 20) + timedelta(days=self.chance.randrange(60))

    def time_of(self, day):
        """None, midnight (no time) or a time."""
        return self.chance.choice(
            [None, datetime.combine(day, datetime.min.time()), datetime(day.year, day.month, day.day, 10, 30, 15)]
        )

    def fill(self, people):
        pick = self.chance.choice
        for person in range(1, people + 1):
            month, day = pick([(None, None), (2, None), (2, 28), (12, 31), (1, 1)])
            insert(
                self.connection, "person", person_id=person, gender_concept_id=pick([8507, 8532, 0, 8521]),
                year_of_birth=pick([1950, 1951, 1999]), month_of_birth=month, day_of_birth=day, race_concept_id=0,
                ethnicity_concept_id=0,
            )  # fmt: skip
            if person % 7 == 0:
                died = self.day()
                insert(self.connection, "death", person_id=person, death_date=died, death_datetime=self.time_of(died))
            visits = [self.visit(person) for _ in range(pick([0, 1, 2]))]
            for _ in range(pick([0, 2, 5])):
                self.clinical(person, pick([None, *visits]))
            self.images(person, pick([None, *visits]))

    def visit(self, person):
        number, start = self.next(), self.day()
        insert(
            self.connection, "visit_occurrence", visit_occurrence_id=number, person_id=person,
            visit_concept_id=self.chance.choice([9202, 9201, 0]), visit_start_date=start,
            visit_end_date=start + timedelta(days=self.chance.choice([-1, 0, 3])), visit_type_concept_id=0,
        )  # fmt: skip
        return number

    def clinical(self, person, visit):
        pick, start = self.chance.choice, self.day()
        end = pick([None, start, start + timedelta(days=9)])
        insert(
            self.connection, "condition_occurrence", condition_occurrence_id=self.next(), person_id=person,
            condition_concept_id=pick([201826, 201820, 0]), condition_source_concept_id=pick([45542738, 0, None]),
            condition_source_value=pick(["E11", " ", None]), condition_start_date=start,
            condition_start_datetime=self.time_of(start), condition_end_date=end, condition_type_concept_id=0,
            visit_occurrence_id=visit,
        )  # fmt: skip
        concept, unit = pick([(3025315, 9529), (3004249, 8876), (3027114, 8840), (2000000001, None), (0, None)])
        insert(
            self.connection, "measurement", measurement_id=self.next(), person_id=person,
            measurement_concept_id=concept, measurement_date=start, measurement_datetime=self.time_of(start),
            measurement_type_concept_id=0, value_as_number=pick([70.0, 70.25, 120, None]),
            value_as_concept_id=pick([None, 4188539]), unit_concept_id=unit, unit_source_value=pick([None, "units"]),
            operator_concept_id=pick([None, 4171756]), range_low=pick([None, 1.5]),
            measurement_source_value=pick([None, "x\x07 y"]), value_source_value=pick([None, "n/a"]),
            visit_occurrence_id=visit,
        )  # fmt: skip
        insert(
            self.connection, "observation", observation_id=self.next(), person_id=person,
            observation_concept_id=pick([40770471, 0]), observation_date=start,
            observation_datetime=self.time_of(start), observation_type_concept_id=0,
            value_as_string=pick([None, "", "often"]), visit_occurrence_id=visit,
        )  # fmt: skip
        insert(
            self.connection, "drug_exposure", drug_exposure_id=self.next(), person_id=person,
            drug_concept_id=pick([19073183, 0]), drug_exposure_start_date=start,
            drug_exposure_end_date=start + timedelta(days=pick([-3, 0, 14])), drug_type_concept_id=0,
            quantity=pick([None, 0, 20.5]), days_supply=pick([None, 14]), refills=pick([None, 0, 2]),
            sig=pick([None, "one a day"]), visit_occurrence_id=visit,
        )  # fmt: skip
        insert(
            self.connection, "procedure_occurrence", procedure_occurrence_id=self.next(), person_id=person,
            procedure_concept_id=pick([4298386, 0]), procedure_source_value=pick(["P1", None]), procedure_date=start,
            procedure_datetime=self.time_of(start), procedure_end_date=pick([None, start, start + timedelta(days=2)]),
            procedure_type_concept_id=0, visit_occurrence_id=visit,
        )  # fmt: skip
        insert(
            self.connection, "note", note_id=self.next(), person_id=person, note_date=start,
            note_datetime=self.time_of(start), note_type_concept_id=0, note_class_concept_id=pick([706391, 0]),
            note_title=pick([None, "Chest"]), note_text=pick(["Nothing seen.\n", "Ünclear"]), encoding_concept_id=0,
            language_concept_id=0, visit_occurrence_id=visit,
        )  # fmt: skip

    def images(self, person, visit):
        for study in range(self.chance.choice([0, 1, 2])):
            for series in range(self.chance.choice([1, 2])):
                insert(
                    self.connection, "image_occurrence", image_occurrence_id=self.next(), person_id=person,
                    procedure_occurrence_id=study, visit_occurrence_id=visit, image_occurrence_date=date(2020, 1, 5),
                    image_study_uid=f"1.2.826.{person}.{study}", image_series_uid=f"1.2.826.{person}.{study}.{series}",
                    modality_concept_id=self.chance.choice([4056681, 0]), anatomic_site_concept_id=0,
                )  # fmt: skip
