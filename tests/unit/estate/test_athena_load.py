"""A vocabulary as Athena delivers it: tab-separated, unquoted, dates without dashes."""

from __future__ import annotations

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load

VALID = "valid_start_date\tvalid_end_date\tinvalid_reason\n"
FILES = {
    "CONCEPT": "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\t"
    + VALID
    + '2000000001\t5" wound, "deep"\tCondition\tX\tX\tS\t001\t19700101\t20991231\t\n'
    "2000000002\t\tCondition\tX\tX\t\tNA\t19700101\t20991231\tQ\n",
    "CONCEPT_RELATIONSHIP": "concept_id_1\tconcept_id_2\trelationship_id\t"
    + VALID
    + "2000000002\t2000000001\tMaps to\t19700101\t20991231\t\n2000000001\t7\tIs a\t19700101\t20991231\t\n",
    "CONCEPT_ANCESTOR": "ancestor_concept_id\tdescendant_concept_id\t"
    "min_levels_of_separation\tmax_levels_of_separation\n"
    "2000000001\t2000000001\t0\t0\n",
    "VOCABULARY": "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id\n"
    "None\tNone\t\tv5.0 TEST\t0\n",
    "DOMAIN": "domain_id\tdomain_name\tdomain_concept_id\nCondition\tCondition\t19\n",
}


@pytest.fixture
def download(tmp_path):
    (tmp_path / "athena").mkdir()
    for name, text in FILES.items():
        (tmp_path / "athena" / f"{name}.csv").write_text(text)
    (tmp_path / "athena" / "cpt.sh").write_text("#!/bin/sh\n")
    return tmp_path / "athena"


def test_vocabulary_and_its_warnings(download, tmp_path):
    report = load(download, "athena", tmp_path / "estate")
    assert report.rows == {
        "concept": 2,
        "vocabulary": 1,
        "domain": 1,
        "concept_relationship": 2,
        "concept_ancestor": 1,
    }
    assert report.warnings == (
        "1 rows of concept_relationship have a concept_id_2 that is no concept",
        "1 concepts have no name (for CPT-4, Athena's own tool fills them in)",
        "1 concepts have an invalid_reason that is neither D nor U",
    )
    with Estate.open(tmp_path / "estate").reading(report.version) as connection:
        query = "SELECT concept_name, concept_code, valid_end_date::VARCHAR FROM concept ORDER BY concept_id"
        assert connection.execute(query).fetchall() == [
            ('5" wound, "deep"', "001", "2099-12-31"),
            (None, "NA", "2099-12-31"),
        ]


def test_a_trusts_concepts_stay_beside_it(download, tmp_path):
    concept = FILES["CONCEPT"].replace("2000000002", "2000000009")
    (tmp_path / "concept.csv").write_text(concept)
    load(tmp_path / "concept.csv", "omop-5.4", tmp_path / "estate")
    assert load(download, "athena", tmp_path / "estate").rows["concept"] == 3


def test_an_incomplete_download_is_refused(download, tmp_path):
    (download / "CONCEPT_ANCESTOR.csv").unlink()
    with pytest.raises(FlipError) as refused:
        load(download, "athena", tmp_path / "estate")
    assert refused.value.code == "incomplete-vocabulary" and "CONCEPT_ANCESTOR.csv" in str(refused.value)
