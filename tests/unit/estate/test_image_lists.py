"""A PACS's list of series becomes images that cohorts find, beside the procedure of each study."""

from __future__ import annotations

from pathlib import Path

import pytest
from estate_rows import rows
from mapped_extract import PEOPLE, write_extract

from flipnb.cohorts import concepts, enter, image
from flipnb.contracts.problem import FlipError
from flipnb.estate import load
from flipnb.estate.cohort import generate

MAPPING = f"""
{PEOPLE}
[files.scans]
path = "scans.csv"
columns = ["subject", "study", "series", "modality", "part", "date"]
person = "subject"

[[series]]
file = "scans"
study = "study"
series = "series"
column = "modality"
codes = "own"
site = "part"
site_codes = "own"
date = {{ column = "date" }}
"""
COMPUTED_TOMOGRAPHY, CHEST = 2000000011, 2000000012
SCANS = (
    "subject,study,series,modality,part,date\n"
    "a,1.2.1,1.2.1.1,CT,CHEST,2000-01-01\na,1.2.1,1.2.1.2,CT,,2000-01-01\nb,1.2.2,1.2.2.1,MR,HEAD,2000-01-02\n"
)


def write(folder: Path, scans: str = SCANS) -> None:
    concepts = {COMPUTED_TOMOGRAPHY: "Procedure", CHEST: "Spec Anatomic Site"}
    codes = {"CT": COMPUTED_TOMOGRAPHY, "CHEST": CHEST}
    write_extract(folder, MAPPING, concepts, codes, {"scans.csv": scans})


def test_series_and_their_studies(tmp_path):
    write(tmp_path)
    report = load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
    assert (report.rejected, report.rows["image_occurrence"], report.rows["procedure_occurrence"]) == (0, 3, 2)
    found = (
        "SELECT image_series_uid, image_study_uid, modality_concept_id, anatomic_site_concept_id, "
        "image_occurrence_date::VARCHAR, procedure_concept_id, procedure_source_value "
        "FROM image_occurrence JOIN procedure_occurrence USING (procedure_occurrence_id, person_id) ORDER BY 1"
    )
    assert rows(tmp_path / "estate", found) == [
        ("1.2.1.1", "1.2.1", COMPUTED_TOMOGRAPHY, CHEST, "2000-01-01", COMPUTED_TOMOGRAPHY, "CT"),
        ("1.2.1.2", "1.2.1", COMPUTED_TOMOGRAPHY, None, "2000-01-01", COMPUTED_TOMOGRAPHY, "CT"),
        ("1.2.2.1", "1.2.2", 0, 0, "2000-01-02", 0, "MR"),
    ]
    scanned = image(concepts("CT", COMPUTED_TOMOGRAPHY))
    assert generate(enter(scanned).expression(), tmp_path / "estate").people == 1
    assert generate(enter(scanned.at_site(CHEST)).expression(), tmp_path / "estate").people == 1


def test_a_bad_series_is_named_and_the_others_load(tmp_path):
    bad = (
        "b,1.2.1,1.2.1.9,CT,,2000-01-01\na,1.2.1,1.2.1.1,CT,,2000-01-01\na,1.2.x,1.2.1.8,CT,,2000-01-01\n"
        "a,,1.2.1.7,CT,,2000-01-01\na,1.2.3,1.2.3.1,CT,,\na,1.2.3,1.2.3.2,,,2000-01-01\n"
    )
    write(tmp_path, SCANS + bad)
    report = load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate", max_rejects=0.7)
    assert (report.rows["image_occurrence"], report.rows["procedure_occurrence"]) == (3, 2)
    assert rows(tmp_path / "estate", "SELECT line, reason FROM flip_reject ORDER BY line") == [
        (5, "study 1.2.1 is of another person, too"),
        (6, "series 1.2.1.1 is there twice"),
        (7, "'1.2.x' in column study is no DICOM UID"),
        (8, "column study, a DICOM UID, is missing"),
        (9, "the date in column date is missing"),
        (10, "column modality, the modality, is missing"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('site_codes = "own"\n', ""), "either site_codes or site_vocabulary"),
        (('site_codes = "own"', 'site_codes = "sites"'), "series[0]: there is no code list 'sites'"),
        (('series = "series"', 'series = "uid"'), "no column 'uid'"),
    ],
)
def test_mappings_that_say_something_wrong(change, reason, tmp_path):
    write(tmp_path)
    assert change[0] in MAPPING
    (tmp_path / "mapping.toml").write_text(MAPPING.replace(*change))
    with pytest.raises(FlipError) as error:
        load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
    assert error.value.code == "invalid-mapping" and reason in error.value.message, error.value.message
