"""The quality report finds what was planted, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flipnb.estate import load
from flipnb.estate.omop.cdm import tables
from flipnb.estate.quality import assess, page
from flipnb.estate.quality.rules import row_rules

CONCEPTS = [
    (8507, "Gender", "Gender", "M", "S"),
    (9202, "Visit", "Visit", "OP", "S"),
    (32817, "Type Concept", "Type Concept", "EHR", "S"),
    (2000000001, "Condition", "SNOMED", "c1", "S"),
    (2000000002, "Condition", "ICD10", "i1", ""),
    (2000000003, "Measurement", "LOINC", "8480-6", "S"),
    (2000000004, "Unit", "UCUM", "mm[Hg]", "S"),
    (2000000005, "Unit", "UCUM", "kg", "S"),
    (2000000006, "Condition", "SNOMED", "399068003", "S"),
    (2000000007, "Condition", "SNOMED", "c2", "S"),
    (8532, "Gender", "Gender", "F", "S"),
]
ALIKE = [
    "person_id,gender_concept_id,year_of_birth,month_of_birth,race_concept_id,ethnicity_concept_id",
    *(f"{n},8507,1950,6,8507,8507" for n in range(1, 11)),
]
FILES = {
    "person": ALIKE,
    "observation_period": [
        "observation_period_id,person_id,observation_period_start_date,observation_period_end_date,period_type_concept_id",
        *(f"{n},{n},2000-01-01,2010-12-31,32817" for n in range(1, 11)),
    ],
    "visit_occurrence": [
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date,visit_type_concept_id",
        *(f"{n},{n},9202,2001-01-01,2001-01-02,32817" for n in range(1, 11)),
    ],
    "condition_occurrence": [
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_start_datetime,"
        "condition_end_date,condition_type_concept_id,visit_occurrence_id,stop_reason",
        *(f"{n},{n},2000000001,2001-01-01,2001-01-01 10:00:00,2001-02-01,32817,{n},well" for n in range(1, 11)),
    ],
    "measurement": [
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_type_concept_id,value_as_number,"
        "unit_concept_id",
        *(f"{n},{n},2000000003,2001-01-01,32817,120,2000000004" for n in range(1, 11)),
    ],
    "death": ["person_id,death_date,death_type_concept_id", "1,2009-01-01,32817"],
}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    for name, lines in FILES.items():
        (tmp_path / "source" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    lines = [",".join(tables()["concept"].columns)]
    lines += [f"{i},name,{d},{v},x,{s},{c},1970-01-01,2099-12-31," for i, d, v, c, s in CONCEPTS]
    (tmp_path / "source" / "concept.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "source"


def failures(source, tmp_path) -> set[tuple[str, str, str | None]]:
    load(source, "omop-5.4", tmp_path / "estate", max_rejects=1)
    return {(one.check, one.table, one.field) for one in assess(tmp_path / "estate").failed}


# These fail of themselves: the vocabulary here knows no domain Race or Ethnicity.
ALWAYS = {("domain", "person", "race_concept_id"), ("domain", "person", "ethnicity_concept_id")}

# Table, person, what is there, what is put in its place, and the check and field that must fail.
EVENT = "condition_occurrence"
PLANTED = [
    ("person", 1, "1950,6", "1950,13", "value", "month_of_birth"),
    ("person", 2, "1950", "1700", "value", "year_of_birth"),
    ("person", 3, "3,8507", "2,8507", "unique key", "person_id"),
    ("person", 4, "4,8507", "4,77", "known concept", "gender_concept_id"),
    ("person", 5, "5,8507", "5,", "standard concept", "gender_concept_id"),
    ("person", 6, "1950", "", "required", "year_of_birth"),
    ("person", 7, "7,8507", "seven,8507", "rejected", None),
    ("observation_period", 2, "2,2,2000", "2,1,2000", "no overlap", None),
    ("observation_period", 3, "3,3,2000", "3,4,1999", "people", None),
    ("observation_period", 4, "2010-12-31", "1999-12-31", "end after start", "observation_period_end_date"),
    (EVENT, 1, "2001-01-01,2001-01-01", "2009-12-01,2009-12-01", "during life", "condition_start_date"),
    (EVENT, 2, "2000000001", "2000000002", "standard", "condition_concept_id"),
    (EVENT, 3, "2000000001", "2000000003", "domain", "condition_concept_id"),
    (EVENT, 4, ",2001-01-01,2001-01-01", ",2001-01-02,2001-01-01", "date and time agree", "condition_start_datetime"),
    (EVENT, 5, "2001-01-01,2001-01-01", "2008-01-01,2008-01-01", "within visit", "condition_start_date"),
    (EVENT, 6, "2001-02-01", "2901-02-01", "not in the future", "condition_end_date"),
    (EVENT, 7, "32817,7,", "32817,99,", "foreign key", "visit_occurrence_id"),
    (EVENT, 8, "8,8,", "8,88,", "foreign key", "person_id"),
    (EVENT, 9, "well", "a reason that is too long", "text length", "stop_reason"),
    (EVENT, 10, "2001-01-01,2001-01-01", "1949-01-01,1949-01-01", "after birth", "condition_start_date"),
    ("measurement", 1, "120", "1200", "value by unit", "value_as_number"),
    ("measurement", 2, "2000000004", "2000000005", "unit of a measurement", "unit_concept_id"),
]


def test_nothing_is_found_where_nothing_is_wrong(source, tmp_path):
    found = failures(source, tmp_path)
    assert {one for one in found if one[1] != "concept"} == ALWAYS


def test_planted_faults_are_found(source, tmp_path):
    expected = set()
    for table, person, old, new, check, field in PLANTED:
        path = source / f"{table}.csv"
        lines = path.read_text().splitlines()
        assert old in lines[person]
        lines[person] = lines[person].replace(old, new, 1)
        path.write_text("\n".join(lines) + "\n")
        expected.add((check, "flip_reject" if check == "rejected" else table, field))
    assert expected - failures(source, tmp_path) == set()


def test_sex_and_what_has_no_concept(source, tmp_path):
    """A woman with a tumour of the prostate, by a descendant; the commonest code without a concept is named."""
    people = (source / "person.csv").read_text().replace("2,8507", "2,8532", 1)
    (source / "person.csv").write_text(people)
    (source / "concept_ancestor.csv").write_text(
        "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,max_levels_of_separation\n"
        "2000000006,2000000007,1,1\n"
    )
    header = "person_id,condition_concept_id,condition_start_date,condition_source_value,condition_source_concept_id"
    rows = ["1,2000000006,2001-01-01,a,5", "2,2000000007,2001-01-01,b,5", "3,0,2001-01-01,c,0", "4,0,2001-01-01,d,0"]
    (source / f"{EVENT}.csv").write_text("\n".join([header, *rows, rows[-1]]) + "\n")
    load(source, "omop-5.4", tmp_path / "estate", max_rejects=1)
    found = {(one.check, one.field): one for one in assess(tmp_path / "estate").findings if one.table == EVENT}
    sex = found["sex", "condition_concept_id"]
    assert (sex.violated, sex.total, sex.status, sex.example) == (1, 2, "fail", "person 2")
    unmapped = found["source value", "condition_source_value"]
    assert (unmapped.violated, unmapped.total, unmapped.example, unmapped.status) == (2, 4, "d", "note")
    source_concept = found["source concept", "condition_source_concept_id"]
    assert (source_concept.violated, source_concept.total) == (3, 5)
    eras = next(one for one in assess(tmp_path / "estate").findings if one.check == "eras")
    assert (eras.table, eras.violated, eras.total) == ("condition_era", 2, 2)


def test_every_required_field_and_date_has_its_rule():
    for table in tables().values():
        checked = {(rule.check, rule.field.name) for rule in row_rules(table) if rule.field}
        for field in table.fields:
            assert ("required" if field.required else "filled", field.name) in checked
            # A code without an end is valid until 2099.
            happened = field.type in ("DATE", "TIMESTAMP") and field.name not in ("valid_start_date", "valid_end_date")
            assert (("not in the future", field.name) in checked) == (happened and not table.vocabulary)


def test_page_and_data(source, tmp_path):
    path = source / "condition_occurrence.csv"
    path.write_text(path.read_text().replace("well", "<script>alert(1)</script>", 1))
    (source / "<b>.csv").write_text("x\n1\n")
    (source / "person.csv").write_text("\n".join([*ALIKE, "x,8507,1950,6,8507,8507"]) + "\n")
    load(source, "omop-5.4", tmp_path / "estate", max_rejects=1)
    report = assess(tmp_path / "estate")
    assert report.years["condition_occurrence"] == {2001: 10}
    text = page(report)
    assert "<script" not in text and "http" not in text.replace("http-equiv", "") and "every row of person.csv" in text
    run = subprocess.run(
        [sys.executable, "-m", "flipnb.cli.main", "estate", "quality", tmp_path / "estate", "--json",
         "--html", tmp_path / "q.html"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert told["summary"]["failed"] == len(report.failed) and told["people"] == 10
    assert (tmp_path / "q.html").read_text() == text
    some = next(one for one in told["findings"] if one["check"] == "rejected")
    assert (some["violated"], some["total"], some["status"]) == (1, 11, "fail")
