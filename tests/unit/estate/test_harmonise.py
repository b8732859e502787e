"""What is refused before and during a load, by name, and that nothing is left of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.demo import hospitals
from flipnb.estate import Estate, load
from flipnb.estate.harmonise.units import conversion_factor

CONCEPTS = Path(hospitals.__file__).parent / "mappings" / "concepts.csv"

MAPPING = """
format = "flip/mapping/1"
vocabulary = ["concepts.csv"]

[source]
name = "Test"
abbreviation = "Test"
holder = "Test"
release_date = 2001-02-03

[files.people]
path = "people.csv"
delimiter = ";"
decimal = ","
missing = ["", "NA"]
columns = ["id", "sex", "age", "chol", "sugar"]

[person]
file = "people"
id = "id"
sex = { column = "sex", codes = { f = 8532, m = 8507 } }
age = "age"
date = { day = 2001-02-03 }

[[fields]]
file = "people"
column = "chol"
table = "measurement"
concept = 2000000102
unit = "mmol/L"
to = "mg/dL"
molar_mass = 386.65
flags = [{ equals = 0, concept = 2000000120 }]

[[fields]]
file = "people"
column = "sugar"
table = "observation"
concept = 2000000103
codes = { y = 2000000190, n = 2000000191 }
"""
PEOPLE = "id;sex;age;chol;sugar\na;f;40;5,0;y\nb;m;50;0;NA\nc;;60;NA;n\n"


@pytest.fixture
def source(tmp_path):
    shutil.copy(CONCEPTS, tmp_path / "concepts.csv")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    (tmp_path / "people.csv").write_text(PEOPLE)
    return tmp_path


def loaded(source):
    return load(source, source / "mapping.toml", source / "estate")


def test_load_and_what_it_keeps(source):
    stages = []
    report = load(source, source / "mapping.toml", source / "estate", progress=lambda *at: stages.append(at))
    assert (report.people, report.flagged) == (3, 1)
    assert report.rows["measurement"] == 2
    estate = Estate.open(source / "estate")
    assert estate.current() == report.version and estate.versions() == (report.version,)
    assert stages[0] == ("people.csv", 3) and stages[-1][0] == "observation by concept"
    assert "writing" in {stage for stage, _ in stages}
    with estate.reading(report.version) as connection:
        rows = connection.execute(
            "SELECT person_id, value_as_number, c.concept_code, unit_source_value, value_source_value "
            "FROM measurement m JOIN concept c ON c.concept_id = m.unit_concept_id ORDER BY 1"
        ).fetchall()
        assert rows[0] == (1, pytest.approx(193.325), "mg/dL", "mmol/L", "5,0")
        assert rows[1][1] == 0
        people = connection.execute("SELECT gender_concept_id, year_of_birth FROM person ORDER BY person_id").fetchall()
        assert people == [(8532, 1961), (8507, 1951), (0, 1941)]
        assert connection.execute("SELECT cdm_version FROM cdm_source").fetchall() == [("5.4",)]


def test_same_data_same_version_other_data_other_version(source):
    first = loaded(source).version
    assert loaded(source).version == first
    (source / "people.csv").write_text(PEOPLE.replace("5,0", "5,1"))
    second = loaded(source).version
    estate = Estate.open(source / "estate")
    assert second != first and estate.current() == second
    assert set(estate.versions()) == {first, second}
    assert estate.file(first).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('column = "chol"', 'column = "cholesterol"', "invalid-mapping", "no column 'cholesterol'"),
        ('unit = "mmol/L"', 'unit = "mmol/l"\nuint = "x"', "invalid-mapping", "fields.0.uint: a mapping has no such"),
        ('unit = "mmol/L"', 'unit = "milimoles"', "unknown-unit", "'milimoles' is no unit of UCUM"),
        ("molar_mass = 386.65", "", "unit-conversion", "molar mass"),
        ('to = "mg/dL"', 'to = "mm[Hg]"', "unit-conversion", "mmol/L can't be converted to mm[Hg]"),
        ('to = "mg/dL"', 'to = "g/dL"', "unknown-concept", "domain Unit for 'g/dL'"),
        ("concept = 2000000102", "concept = 2000000999", "unknown-concept", "no concept 2000000999"),
        ("y = 2000000190", "y = 12345", "unknown-concept", "codes.y: the vocabulary has no concept 12345"),
        ("concept = 2000000102", "concept = 2000000103", "wrong-domain", "domain Observation"),
        ('"concepts.csv"', '"none.csv"', "no-vocabulary", "none.csv"),
        ('"people.csv"', '"../people.csv"', "invalid-mapping", "files.people.path"),
        ('path = "people.csv"', 'path = "persons.csv"', "no-source", "persons.csv"),
        ("[person]", "[person", "invalid-mapping", "can't be read"),
    ],
)
def test_mapping_refused_by_name(source, old, new, code, words):
    assert old in MAPPING
    (source / "mapping.toml").write_text(MAPPING.replace(old, new))
    with pytest.raises(FlipError) as error:
        loaded(source)
    assert error.value.code == code and words in str(error.value)
    assert "mapping.toml" in str(error.value) or code in ("no-vocabulary", "no-source")
    assert Estate.open(source / "estate").current() is None


@pytest.mark.parametrize(
    ("row", "line", "words"),
    [
        ("d;f;40;5,0", 5, "4 fields where 5"),
        ("d;f;40;5.0;y", 5, "'5.0' in column chol is no number"),
        ("d;f;40;nan;y", 5, "is no number"),
        ("d;f;40;1_0;y", 5, "is no number"),
        ("d;x;40;5,0;y", 5, "'x' in column sex is none of the mapping's codes"),
        ("d;f;40,5;5,0;y", 5, "no whole number"),
        ("d;f;400;5,0;y", 5, "no plausible year"),
        ("d;f;;5,0;y", 5, "age or year of birth is missing"),
        ("a;f;40;5,0;y", 5, "person 'a' is there twice"),
        (";f;40;5,0;y", 5, "the person's id, is missing"),
        ("d;f;40;5,0;maybe", 5, "'maybe' in column sugar"),
        ('d;"f"x;40;5,0;y', 5, "people.csv, line 5"),
    ],
)
def test_bad_row_is_named_and_nothing_is_loaded(source, row, line, words):
    before = loaded(source).version
    (source / "people.csv").write_text(PEOPLE + row + "\n")
    with pytest.raises(FlipError) as error:
        loaded(source)
    assert error.value.code == "too-many-rejects"
    assert f"people.csv, line {line}" in str(error.value) and words in str(error.value)
    estate = Estate.open(source / "estate")
    assert estate.current() == before and estate.versions() == (before,)
    assert [path.name for path in (source / "estate" / "versions").iterdir()] == [before]


def test_header_of_another_extract(source):
    (source / "people.csv").write_text(PEOPLE.replace("chol", "kolesterol"))
    with pytest.raises(FlipError, match=r"people.csv, line 1: .*kolesterol") as error:
        loaded(source)
    assert error.value.code == "bad-header"


def test_wrong_encoding(source):
    (source / "people.csv").write_bytes(PEOPLE.encode() + b"d\xff;f;40;5,0;y\n")
    with pytest.raises(FlipError, match=r"people.csv, line .* not utf-8"):
        loaded(source)


def test_unknown_version_and_path_tricks(source):
    version = loaded(source).version
    estate = Estate.open(source / "estate")
    for wrong in ("f" * 32, f"../versions/{version}", "", "x" * 5000):
        with pytest.raises(FlipError) as error:
            estate.file(wrong)
        assert error.value.code == "unknown-version"


def test_a_load_that_dies_leaves_the_estate(source):
    before = loaded(source).version
    estate = Estate.open(source / "estate")

    def write(path: Path) -> str:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        estate.add(write)
    assert estate.current() == before
    assert [path.name for path in (source / "estate" / "versions").iterdir()] == [before]


@pytest.mark.parametrize(
    ("unit", "to", "molar_mass", "factor"),
    [
        ("mmol/L", "mg/dL", 386.65, 38.665),
        ("mg/dL", "mmol/L", 386.65, 1 / 38.665),
        ("umol/L", "mg/dL", 113.12, 0.011312),
        ("kPa", "mm[Hg]", None, 7.500615758456563),
        ("g/L", "mg/dL", None, 100.0),
        ("/min", "Hz", None, 1 / 60),
    ],
)
def test_conversions(unit, to, molar_mass, factor):
    assert conversion_factor(unit, to, molar_mass, "here") == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize(("unit", "to", "mass"), [("Cel", "K", None), ("kPa", "mm[Hg]", 18.0), ("mg", "mL", None)])
def test_conversions_refused(unit, to, mass):
    with pytest.raises(FlipError) as error:
        conversion_factor(unit, to, mass, "here")
    assert error.value.code == "unit-conversion"
