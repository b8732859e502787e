"""Tables in OMOP shape: odd partial inputs, older names, rejects by line, incremental and resumed loads."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import duckdb
import pytest
from estate_rows import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb import cohorts as build
from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.cohort import generate
from flipnb.estate.harmonise.build import Build
from flipnb.estate.harmonise.omop_shape import table_of
from flipnb.estate.omop.cdm import tables

PERSON = "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n2,8532,0\n"
VISITS = (
    "VISIT_OCCURRENCE_ID,Person_ID,visit_concept_id,visit_start_date,visit_end_date,admitting_source_value,odd\n"
    "1,1,9202,2000-06-07,2000-06-09,home,x\n1,1,9202,2000-08-31,2000-09-04,,y\n"
)


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / f"{name}.csv").write_text(text, newline="")
    return directory


def test_partial_tables_and_older_names(tmp_path):
    source = write(
        tmp_path / "source",
        PERSON=PERSON,
        visit_occurrence=VISITS,
        observation_period="observation_period_id,person_id,observation_period_start_datetime,"
        "observation_period_end_datetime\n1,1,2000-01-01 00:00:00,2001-01-01 00:00:00\n",
        drug_exposure="person_id,drug_concept_id,drug_exposure_start_datetime\n1,5,2000-02-03T10:00:00\n"
        "1,5.0,2000-02-04T00:00:00\n",
        attribute_definition="attribute_definition_id\n1\n",
    )
    report = load(source, "omop-5.4", tmp_path / "estate")
    assert report.people == 2 and report.rows["visit_occurrence"] == 2 and report.rejected == 0
    assert report.ignored_files == ("attribute_definition.csv",)
    assert report.ignored_columns == {"visit_occurrence.csv": "odd"}
    assert rows(tmp_path / "estate", "SELECT race_concept_id, month_of_birth FROM person") == [(0, None)] * 2
    visits = rows(tmp_path / "estate", "SELECT admitted_from_source_value, visit_type_concept_id FROM visit_occurrence")
    assert sorted(visits, key=str) == [("home", 0), (None, 0)]
    period = rows(tmp_path / "estate", "SELECT observation_period_start_date::VARCHAR FROM observation_period")
    assert period == [("2000-01-01",)]
    drugs = rows(
        tmp_path / "estate",
        "SELECT drug_exposure_id, drug_exposure_start_date::VARCHAR, drug_exposure_end_date "
        "FROM drug_exposure ORDER BY 1",
    )
    assert drugs == [(1, "2000-02-03", None), (2, "2000-02-04", None)]


def test_rejects_name_file_line_column_and_reason(tmp_path):
    text = (
        "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,measurement_source_value\n"
        "1,1,3,2000-01-01,1.5,fine\n"
        "2,1,3,2000-13-01,1,bad date\n"
        '3,1,3,2000-01-01,x,"two\nlines"\n'
        "4,1,3\n"
        "5,,3,2000-01-01,1,nobody\n"
        "6,1,3.5,2000-01-01,1,concept\n"
        "7,1,NA,2000-01-01,NA,missing\n"
        "8,1,99999999999,2000-01-01,1,too large\n"
    )
    source = write(tmp_path / "source", person=PERSON, measurement=text)
    with pytest.raises(FlipError) as refused:
        load(source, "omop-5.4", tmp_path / "estate")
    assert refused.value.code == "too-many-rejects" and "measurement.csv, line 3: no date" in str(refused.value)
    assert Estate.open(tmp_path / "estate").current() is None
    listed = (tmp_path / "estate" / "rejected.csv").read_text().splitlines()
    assert len(listed) == 7 and listed[1] == "measurement.csv,3,measurement_date,no date,2000-13-01"

    report = load(source, "omop-5.4", tmp_path / "estate", max_rejects=0.9)
    assert report.rejected == 6
    found = rows(tmp_path / "estate", 'SELECT line, "column", "value" FROM flip_reject ORDER BY line')
    assert found == [
        (3, "measurement_date", "2000-13-01"),
        (4, "value_as_number", "x"),
        (6, None, None),
        (7, "person_id", None),
        (8, "measurement_concept_id", "3.5"),
        (10, "measurement_concept_id", "99999999999"),
    ]
    kept = rows(
        tmp_path / "estate",
        "SELECT measurement_id, measurement_concept_id, value_as_number, s.file, s.mapping "
        "FROM measurement JOIN flip_source s ON source_id = flip_source_id ORDER BY 1",
    )
    assert kept == [(1, 3, 1.5, "measurement.csv", "omop-5.4"), (7, 0, None, "measurement.csv", "omop-5.4")]


def test_other_ways_to_write_text(tmp_path):
    """A byte order mark, Windows' line ends, other delimiters, gzip, another encoding, an empty file."""
    source = write(tmp_path / "source", person="\ufeff" + PERSON.replace("\n", "\r\n"), note="")
    (source / "visit_occurrence.txt").write_text(VISITS.replace(",", "|"))
    compressed = gzip.compress(b"person_id;death_date;cause_source_value\n1;2001-01-01;caf\xc3\xa9\n2;2001-01-01;a;b\n")
    (source / "death.csv.gz").write_bytes(compressed)
    (source / "provider.csv").write_bytes(b"provider_id,provider_name\n1,M\xfcller\n2,Meyer\n")
    report = load(source, "omop-5.4", tmp_path / "estate", max_rejects=0.5)
    assert report.people == 2 and report.rows["visit_occurrence"] == 2 and report.ignored_files == ("note.csv",)
    assert rows(tmp_path / "estate", "SELECT cause_source_value FROM death") == [("café",)]
    assert rows(tmp_path / "estate", "SELECT provider_name FROM provider") == [("Meyer",)]
    rejected = rows(tmp_path / "estate", "SELECT file, line FROM flip_reject ORDER BY 1")
    assert rejected == [("death.csv.gz", 3), ("provider.csv", 2)]


def test_only_what_changed_is_read_again(tmp_path):
    source, estate = write(tmp_path / "source", person=PERSON, visit_occurrence=VISITS), tmp_path / "estate"
    first = load(source, "omop-5.4", estate)
    again = load(source, "omop-5.4", estate)
    assert (again.version, again.new, again.read) == (first.version, False, ())
    write(source, person=PERSON + "3,8507,1990\n")
    second = load(source, "omop-5.4", estate)
    assert second.read == ("person.csv",) and second.unchanged == ("visit_occurrence.csv",)
    assert second.people == 3 and second.rows["visit_occurrence"] == 2 and second.version != first.version
    write(source, person=PERSON)
    third = load(source, "omop-5.4", estate)
    assert third.version == first.version == Estate.open(estate).current()
    (source / "visit_occurrence.csv").unlink()
    assert "visit_occurrence" not in load(source, "omop-5.4", estate).rows


CT, MR, MILLIMETRE, SLICE, PAIN = 2000000010, 2000000011, 8588, 2000000012, 2000000013
IMAGES = {
    "observation_period": "observation_period_id,person_id,observation_period_start_date,observation_period_end_date\n"
    "1,1,2000-01-01,2001-01-01\n2,2,2000-01-01,2001-01-01\n",
    "image_occurrence": "image_occurrence_id,person_id,image_occurrence_date,image_study_uid,image_series_uid,"
    f"modality_concept_id\n1,1,2000-03-01,1.2,1.2.1,{CT}\n2,2,2000-03-01,1.3,1.3.1,{CT}\n3,2,2000-03-02,1.4,1.4.1,{MR}\n",
    "image_feature": "image_feature_id,person_id,image_occurrence_id,image_feature_concept_id,"
    "image_feature_event_field_concept_id,image_feature_event_id\n"
    f"1,1,1,{SLICE},1147330,1\n2,2,2,{SLICE},1147330,2\n3,2,3,{SLICE},1147330,3\n",
    "measurement": "measurement_id,person_id,measurement_concept_id,measurement_date,value_as_number,unit_concept_id\n"
    f"1,1,{SLICE},2000-03-01,5,{MILLIMETRE}\n2,2,{SLICE},2000-03-01,2.5,{MILLIMETRE}\n"
    f"3,2,{SLICE},2000-03-02,1,{MILLIMETRE}\n",
    "note": "note_id,person_id,note_date,note_text\n1,1,2000-04-01,chest pain\n2,2,2000-04-01,no chest pain\n",
    "note_nlp": "note_nlp_id,note_id,note_nlp_concept_id,lexical_variant,term_exists\n"
    f"1,1,{PAIN},chest pain,Y\n2,2,{PAIN},chest pain,N\n",
    "concept": "concept_id,concept_name\n" + "".join(f"{c},c\n" for c in (CT, MR, MILLIMETRE, SLICE, PAIN)),
}  # fmt: skip


def test_texts_and_images_are_loaded_and_asked_for(tmp_path):
    source, estate = write(tmp_path / "source", person=PERSON, **IMAGES), tmp_path / "estate"
    ct = build.concepts("CT", CT)
    thin = build.image(ct).feature(build.concepts("slice", SLICE), at_most=3, unit=MILLIMETRE)
    pain = build.text(build.concepts("chest pain", PAIN)).asserted()
    load(source, "omop-5.4", estate)
    for records, people in ((thin, [2]), (pain, [1]), (build.image(ct), [1, 2])):
        generate(build.enter(records).expression(), estate, tmp_path / "rows.csv")
        assert [int(row.split(",")[0]) for row in (tmp_path / "rows.csv").read_text().splitlines()[1:]] == people

    # A version that an earlier release wrote: without images' tables.
    opened = Estate.open(estate)
    file = opened.file(opened.current())
    file.chmod(0o644)
    with duckdb.connect(str(file)) as connection:
        for name in ("image_occurrence", "image_feature", "by_concept.image_occurrence"):
            connection.execute(f"DROP TABLE {name}")
    with pytest.raises(FlipError, match=r"The estate has no .*image_occurrence") as refused:
        generate(build.enter(thin).expression(), estate)
    assert refused.value.code == "estate-incomplete"
    write(source, person=PERSON + "3,8507,1990\n")
    for name in ("image_occurrence", "image_feature"):
        (source / f"{name}.csv").unlink()
    assert load(source, "omop-5.4", estate).unchanged != ()
    assert generate(build.enter(thin).expression(), estate).people == 0


def test_a_load_that_died_goes_on(tmp_path, monkeypatch):
    source, estate = write(tmp_path / "source", person=PERSON, visit_occurrence=VISITS), tmp_path / "estate"
    stages: list[str] = []

    def die(stage, count):
        stages.append(stage)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(source, "omop-5.4", estate, progress=die)
    assert stages == ["person.csv"] and Estate.open(estate).current() is None
    report = load(source, "omop-5.4", estate, progress=lambda stage, count: stages.append(stage))
    assert (
        stages == ["person.csv", "visit_occurrence.csv", "writing", "visit_occurrence by concept"]
        and report.people == 2
    )
    assert [path.name for path in (estate / "versions").iterdir()] == [report.version]


def test_readers_keep_their_version_and_loads_exclude_each_other(tmp_path):
    source, estate = write(tmp_path / "source", person=PERSON), tmp_path / "estate"
    first = load(source, "omop-5.4", estate).version
    with Estate.open(estate).reading(first) as connection:
        write(source, person=PERSON + "3,8507,1990\n")

        def another(stage, count):
            with pytest.raises(FlipError) as busy:
                load(source, "omop-5.4", estate)
            assert busy.value.code == "estate-busy"

        assert load(source, "omop-5.4", estate, progress=another).people == 3
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (2,)


def test_older_versions_go_unless_a_run_needs_them(tmp_path):
    """Only where it is known who needs them; who reads one goes on reading."""
    source, estate = tmp_path / "source", tmp_path / "estate"

    def loaded(people: int, in_use=None):
        born = "".join(f"{number},8507,1990\n" for number in range(10, 10 + people))
        return load(write(source, person=PERSON + born), "omop-5.4", estate, in_use=in_use)

    made = [loaded(people).version for people in range(4)]
    assert Estate.open(estate).versions() == tuple(made)
    with Estate.open(estate).reading(made[1]) as connection:
        report = loaded(4, in_use=[made[0]])
        assert report.removed == (made[1], made[2])
        assert Estate.open(estate).versions() == (made[0], made[3], report.version)
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (3,)
    assert loaded(4, in_use=[]).removed == (), "the same load again"
    assert [path.name for path in (estate / "versions").iterdir() if path.name.startswith(".")] == []


def test_zip_and_parquet(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("export/PERSON.csv", PERSON)
        archive.writestr("__MACOSX/export/._PERSON.csv", "junk")
        archive.writestr("export/visit_occurrence.csv", VISITS)
        archive.writestr("../../outside/visit_occurrence.csv", VISITS)
    duckdb.sql(
        "SELECT 1.0::DOUBLE AS death_id, 1::BIGINT AS person_id, DATE '2001-01-01' AS death_date, "
        "TIMESTAMP '2001-01-01 10:00:00' AS death_datetime, 2.5::DOUBLE AS cause_concept_id"
    ).write_parquet(str(tmp_path / "death.parquet"))
    assert load(tmp_path / "a.zip", "omop-5.4", tmp_path / "one").rows["visit_occurrence"] == 2
    assert not (tmp_path.parent / "outside").exists()
    load(tmp_path / "death.parquet", "omop-5.4", tmp_path / "two", max_rejects=1)
    assert rows(tmp_path / "two", 'SELECT line, "column" FROM flip_reject') == [(1, "cause_concept_id")]


def test_two_mappings_live_together_but_not_with_the_same_people(tmp_path):
    estate = tmp_path / "estate"
    load(write(tmp_path / "source", person=PERSON), "omop-5.4", estate)
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'format = "flip/mapping/1"\nreviewer = "Dr A"\nvocabulary = ["c.csv"]\n[source]\nname = "T"\n'
        'abbreviation = "T"\n'
        'holder = "T"\nrelease_date = 2001-02-03\n[files.p]\npath = "p.csv"\ncolumns = ["id", "sex", "age", "x"]\n'
        '[person]\nfile = "p"\nid = "id"\nsex = { column = "sex", codes = { f = 8532 } }\nage = "age"\n'
        'date = { day = 2001-02-03 }\n[[fields]]\nfile = "p"\ncolumn = "x"\ntable = "measurement"\n'
        'concept = 2000000001\nunit = "1"\n'
    )
    concept = ",".join(tables()["concept"].columns) + "\n8532,F,Gender,Gender,Gender,S,F,1970-01-01,2099-12-31,\n"
    concept += (
        "2000000001,X,Measurement,L,L,S,X,1970-01-01,2099-12-31,\n2000000002,u,Unit,UCUM,U,S,1,1970-01-01,2099-12-31,\n"
    )
    (tmp_path / "c.csv").write_text(concept)
    (tmp_path / "p.csv").write_text("id,sex,age,x\na,f,3,4\n")
    with pytest.raises(FlipError) as clash:
        load(tmp_path / "p.csv", mapping, estate)
    assert clash.value.code == "people-clash"
    assert load(tmp_path / "p.csv", mapping, tmp_path / "own").people == 1
    said = rows(tmp_path / "own", "SELECT file, mapping, reviewer FROM flip_source ORDER BY file")
    assert said == [("m.toml", "m.toml", "Dr A"), ("p.csv", "m.toml", "Dr A")]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("PERSON.csv", "person"),
        ("cdm.person.csv", "person"),
        ("a/Drug_Exposure_01.csv.gz", "drug_exposure"),
        ("person/part-0.parquet", "person"),
        ("concept.txt", "concept"),
        ("people.csv", None),
    ],
)
def test_files_are_known_by_name(name, table):
    found = table_of(name)
    assert (found and found.name) == table


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "x", "", "3.0", "4.5"]),
            st.sampled_from(["2000-01-01", "20000101", "2000-02-30", "", "soon"]),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
            | st.just('a"b') | st.just("two\nlines") | st.just("a,b"),
        ),
        max_size=12,
    )
)  # fmt: skip
@pytest.mark.slow
def test_every_row_is_loaded_or_rejected_by_its_line(tmp_path_factory, given_rows):
    """Differential: what Python's own reading of the file says of each row."""
    import csv
    import io

    stream, expected, line = io.StringIO(newline=""), {}, 2
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["person_id", "death_date", "cause_source_value"])
    for row in given_rows:
        writer.writerow(row)
        expected[line] = row[0] in ("1", "2", "3.0") and row[1] in ("2000-01-01", "20000101")
        line += 1 + row[2].count("\n")
    place = tmp_path_factory.mktemp("generated")
    load(write(place / "source", death=stream.getvalue()), "omop-5.4", place / "estate", max_rejects=1)
    rejected = {line for (line,) in rows(place / "estate", "SELECT line FROM flip_reject")}
    assert rejected == {line for line, good in expected.items() if not good}
    kept = rows(place / "estate", "SELECT cause_source_value FROM death")
    good = [row[2] for row, fine in zip(given_rows, expected.values(), strict=True) if fine]
    assert sorted(text or "" for (text,) in kept) == sorted(good)


def test_memory_and_threads_are_set(tmp_path):
    with Build.open(tmp_path / "estate.duckdb", memory="300MB") as build:
        assert build.connection.execute("SELECT current_setting('memory_limit')").fetchone()[0].startswith("286")


def test_too_little_memory_is_said_and_leaves_nothing(tmp_path):
    people = "".join(f"{person},8507,1950\n" for person in range(1_000_000))
    source = write(tmp_path / "source", PERSON=PERSON.splitlines()[0] + "\n" + people)
    with pytest.raises(FlipError) as caught:
        load(source, "omop-5.4", tmp_path / "estate", memory="20MB")
    assert caught.value.code == "out-of-memory" and "PERSON.csv" in str(caught.value)
    assert "--memory" in (caught.value.remedy or "")
    assert Estate.open(tmp_path / "estate").current() is None
    assert load(source, "omop-5.4", tmp_path / "estate").people == 1_000_000
