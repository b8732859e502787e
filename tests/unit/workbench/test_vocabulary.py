"""Concepts are found by name, code and id; an Athena download is read as it is."""

import os

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.demo.hospitals import CONCEPTS
from flipnb.workbench.home import Home
from flipnb.workbench.vocabulary import find_concepts

ATHENA = [
    "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tvalid_start_date"
    "\tvalid_end_date\tinvalid_reason",
    '201826\tType 2 "adult" diabetes mellitus\tCondition\tSNOMED\tClinical Finding\tS\t44054006\t20020131\t20991231\t',
    "201820\tDiabetes mellitus\tCondition\tSNOMED\tClinical Finding\tS\t73211009\t20020131\t20991231\t",
    "45561952\tDiabetes mellitus\tCondition\tICD10\t3-char\t\tE11\t20020131\t20991231\t",
    "4193704\tDiabetes clinic\tVisit\tSNOMED\tLocation\tS\t1\t20020131\t20991231\t",
]


@pytest.fixture
def athena(tmp_path):
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "CONCEPT.csv").write_text("\n".join(ATHENA) + "\n")
    ancestors = ["ancestor_concept_id\tdescendant_concept_id\tmin\tmax", "201820\t201826\t1\t1", "201820\t201820\t0\t0"]
    (folder / "CONCEPT_ANCESTOR.csv").write_text("\n".join(ancestors) + "\n")
    return Home(tmp_path)


def ids(found):
    return [concept.concept_id for concept in found.concepts]


def test_words_in_any_order_standard_and_exact_first(athena):
    assert ids(find_concepts(athena, "mellitus DIABETES")) == [201820, 201826, 45561952]
    assert ids(find_concepts(athena, "diabetes mellitus"))[0] == 201820
    assert find_concepts(athena, "diabetes").total == 4
    assert ids(find_concepts(athena, "diabetes", domain="Visit")) == [4193704]


def test_codes_ids_and_descendants(athena):
    (found,) = find_concepts(athena, "44054006").concepts
    assert (found.concept_id, found.name, found.descendants) == (201826, 'Type 2 "adult" diabetes mellitus', None)
    assert find_concepts(athena, "201820").concepts[0].descendants == 2
    assert not find_concepts(athena, "E11").concepts[0].standard
    assert ids(find_concepts(athena, "  ")) == []


def test_a_changed_download_is_read_again(athena):
    assert ids(find_concepts(athena, "asthma")) == []
    file = athena.directory / "vocabulary" / "CONCEPT.csv"
    file.write_text(file.read_text() + "317009\tAsthma\tCondition\tSNOMED\tClinical Finding\tS\t195967001\t1\t2\t\n")
    later = file.stat().st_mtime + 10
    os.utime(file, (later, later))
    assert ids(find_concepts(athena, "asthma")) == [317009]


def test_comma_separated_files_too(tmp_path):
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "CONCEPT.csv").write_bytes(CONCEPTS.read_bytes())
    assert ids(find_concepts(Home(tmp_path), "cholesterol")) == [2000000102, 2000000120]


def test_what_is_missing_or_wrong_is_said(tmp_path):
    with pytest.raises(FlipError) as error:
        find_concepts(Home(tmp_path), "x")
    assert error.value.code == "no-vocabulary"
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "CONCEPT.csv").write_text("a\tb\n1\t2\n")
    with pytest.raises(FlipError) as error:
        find_concepts(Home(tmp_path), "x")
    assert error.value.code == "invalid-vocabulary"
    assert list((tmp_path / "vocabulary").glob("*.partial")) == []
