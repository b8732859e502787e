"""Folders and zips of DICOM files into an estate: whose they are, what is held back, and that nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import duckdb
import pydicom
import pytest
from dicom_people import ROOT, Scanned, write
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.harmonise.images.load import ImagesReport, Settings, load_images, studies_of
from flipnb.estate.imaging.archive import Archive
from flipnb.estate.imaging.deidentify import Policy
from flipnb.estate.imaging.quarantine import Quarantine

HEAD = "person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id,person_source_value"


def people(folder: Path, *values: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{n},8532,1960,0,0,{value}" for n, value in enumerate(values, 1)]
    (folder / "person.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder


def numbers(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["system,number,person,from,to,merged_into", *rows]) + "\n")
    return path


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    """Two people, and whose the numbers 100 and 200 of KCH are."""
    made = tmp_path / "estate"
    load(people(tmp_path / "people", "ann", "ben"), "omop-5.4", made)
    load(numbers(tmp_path / "numbers.csv", "KCH,100,ann,,,", "KCH,200,ben,,,"), "identities", made)
    return made


def loaded(source: Path | None, into: Path | str, *, system: str | None = None, replace: bool = False) -> ImagesReport:
    settings = Settings(Policy.named("research"), system=system, replace=replace, workers=1)
    return load_images(source, into, settings)


def rows(estate: Path, query: str) -> list[tuple]:
    opened = Estate.open(estate)
    with closing(duckdb.connect(str(opened.file(opened.current() or "")), read_only=True)) as connection:
        return connection.execute(query).fetchall()


def states(report: ImagesReport) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in report.studies:
        found[one.state] = found.get(one.state, 0) + 1
    return found


def test_a_folder_becomes_series_procedures_features_and_files(tmp_path, estate):
    source = tmp_path / "source"
    ct = Scanned("100", 1, modality="CT", day=date(2020, 5, 6))
    for n in range(1, 4):
        write(source / "a" / f"{n}.dcm", replace(ct, instance=n))
    write(source / "b" / "x.dcm", Scanned("200", 2))
    report = loaded(source, estate)
    assert states(report) == {"whole": 2} and report.people == 2 and report.rejects == ()
    assert report.load.new and report.load.people == 2
    got = rows(
        estate,
        "SELECT i.person_id, image_occurrence_date, image_study_uid, image_series_uid, p.person_id, procedure_date, "
        "procedure_source_value, count(DISTINCT f.sha256) FROM image_occurrence i JOIN procedure_occurrence p "
        "USING (procedure_occurrence_id) JOIN image_file f USING (image_occurrence_id) GROUP BY ALL ORDER BY 1",
    )
    assert [(row[0], row[1], row[4], row[5], row[6], row[7]) for row in got] == [
        (1, date(2020, 5, 6), 1, date(2020, 5, 6), "CT", 3),
        (2, date(2021, 3, 4), 2, date(2021, 3, 4), "CR", 1),
    ]
    assert all(uid.startswith("2.25.") for row in got for uid in row[2:4])
    features = rows(
        estate,
        "SELECT m.person_id, measurement_source_value, value_as_number, unit_source_value FROM image_feature f "
        "JOIN measurement m ON m.measurement_id = image_feature_event_id "
        "JOIN image_occurrence i USING (image_occurrence_id) WHERE image_feature_event_field_concept_id = 1147330 "
        "AND i.person_id = m.person_id AND m.person_id = 1 ORDER BY 2",
    )
    assert features == [
        (1, "00180050", 1.25, "mm"),
        (1, "00180060", 120.0, "kV"),
        (1, "00201209", 3.0, None),
        (1, "00280010", 32.0, None),
        (1, "00280011", 32.0, None),
        (1, "00280030", 0.7, "mm"),
    ]
    planes = "SELECT person_id, value_as_string FROM observation WHERE observation_source_value = '00200037'"
    assert rows(estate, planes) == [(1, "axial")]
    # The archive's files are whole, and what they say is what the table says.
    for name, study, series, sop, bytes_, frames, number in rows(
        estate,
        "SELECT sha256, study_uid, series_uid, sop_uid, bytes, frames, instance_number FROM image_file",
    ):
        path = Archive(estate).path(name)
        found = pydicom.dcmread(path)
        assert path.stat().st_size == bytes_ and frames == 1 and int(found.InstanceNumber) == number
        assert (found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID) == (study, series, sop)
        assert "Quennell" not in str(found) and found.PatientID not in ("100", "200")


def test_the_same_again_is_the_same_version_and_reads_nothing_twice(tmp_path, estate):
    source = tmp_path / "source"
    for n in (1, 2):
        write(source / f"{n}.dcm", Scanned(f"{n}00", n))
    first = loaded(source, estate)
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, path.name)
    for again in (loaded(source, estate), loaded(tmp_path / "source.zip", estate)):
        assert not again.load.new and again.load.version == first.load.version
    # More of a study, and another: what was there stays, and is not read again.
    more = tmp_path / "more"
    write(more / "1b.dcm", Scanned("100", 1, instance=2))
    write(more / "3.dcm", Scanned("100", 3))
    second = loaded(more, estate)
    assert states(second) == {"whole": 3} and len(second.load.unchanged) >= 1
    assert sorted(one.released for one in second.studies) == [1, 1, 2]
    only = loaded(more, estate, replace=True)
    assert sorted(one.released for one in only.studies) == [1, 1]
    # In another order, or all at once, they are the same.
    shutil.copytree(more, source / "more")
    at_once = loaded(source, estate)
    assert at_once.load.version == second.load.version
    assert at_once.studies == second.studies


def test_who_cannot_be_told_is_counted_and_never_guessed(tmp_path, estate):
    load(
        numbers(
            tmp_path / "numbers.csv",
            "KCH,100,ann,,,",
            "KCH,200,ben,,,",
            "GST,100,ben,,,",
            "KCH,300,ann,,2020-12-31,",
            "KCH,300,ben,2021-01-01,,",
            "KCH,301,,,,300",
        ),
        "identities",
        estate,
    )
    source = tmp_path / "source"
    cases = {
        "ann": Scanned("100", 1),
        "ben": Scanned("301", 2),
        "ann then": Scanned("301", 3, day=date(2019, 1, 1)),
        "nobody": Scanned("999", 4),
        "no number": Scanned("", 5),
        "two without issuer": Scanned("100", 6, issuer=""),
        "another issuer": Scanned("100", 7, issuer="elsewhere"),
    }
    for name, one in cases.items():
        write(source / f"{name}.dcm", one)
    # A study whose images are of two people, and one whose two numbers are one person's.
    write(source / "mixed1.dcm", Scanned("100", 8))
    write(source / "mixed2.dcm", Scanned("200", 8, instance=2))
    write(source / "same1.dcm", Scanned("200", 9))
    write(source / "same2.dcm", Scanned("301", 9, instance=2))
    report = loaded(source, estate)
    assert states(report) == {
        "whole": 4,
        "nobody has its number": 3,
        "several people have its number": 1,
        "of two people": 1,
    }
    people_of = dict(rows(estate, "SELECT source_study_uid, min(person_id) FROM image_study GROUP BY 1"))
    expected = {1: 1, 2: 2, 3: 1, 4: None, 5: None, 6: None, 7: None, 8: None, 9: 2}
    assert people_of == {f"{ROOT}.{study}": person for study, person in expected.items()}
    assert rows(estate, "SELECT count(DISTINCT image_study_uid), count(*) FROM image_occurrence") == [(4, 4)]
    assert rows(estate, "SELECT count(*) FROM image_file WHERE person_id IS NULL") == [(6,)]
    assert len(report.rejects) == 6 and report.load.rejected == 6
    assert report.load.warnings == (
        "The estate knows no number of elsewhere: say whose they are in a file of identities, or load with --system.",
    )
    # Whoever says whose they are finds them there, without the files.
    shutil.rmtree(source)
    before = dict(rows(estate, "SELECT study_uid, state FROM image_study"))
    load(numbers(tmp_path / "numbers.csv", "KCH,100,ann,,,", "KCH,200,ann,,,", "KCH,999,ben,,,"), "identities", estate)
    now = {one.study: one.state for one in studies_of(estate)}
    assert now.keys() == before.keys()
    people_of = dict(rows(estate, "SELECT source_study_uid, min(person_id) FROM image_study GROUP BY 1"))
    expected = {1: 1, 2: None, 3: None, 4: 2, 5: None, 6: 1, 7: None, 8: 1, 9: None}
    assert people_of == {f"{ROOT}.{study}": person for study, person in expected.items()}


def test_people_who_come_with_other_ids_keep_their_images(tmp_path, estate):
    write(tmp_path / "source" / "1.dcm", Scanned("100", 1))
    write(tmp_path / "source" / "2.dcm", Scanned("200", 2))
    report = loaded(tmp_path / "source", estate)
    load(people(tmp_path / "people", "cat", "ben", "ann"), "omop-5.4", estate)
    found = rows(
        estate,
        "SELECT s.source_study_uid, person_source_value FROM image_study s JOIN image_occurrence i "
        "ON i.image_study_uid = s.study_uid JOIN person p ON p.person_id = i.person_id JOIN procedure_occurrence o "
        "ON o.procedure_occurrence_id = i.procedure_occurrence_id AND o.person_id = i.person_id "
        "JOIN image_file f ON f.image_occurrence_id = i.image_occurrence_id AND f.person_id = i.person_id ORDER BY 1",
    )
    assert found == [(f"{ROOT}.1", "ann"), (f"{ROOT}.2", "ben")]
    load(people(tmp_path / "people", "cat", "ben"), "omop-5.4", estate)
    assert {one.state for one in studies_of(estate)} == {"whole", "nobody has its number"}
    load(people(tmp_path / "people", "ann", "ben"), "omop-5.4", estate)
    assert studies_of(estate) == report.studies


def test_what_cannot_be_loaded_is_named_and_loses_nothing_else(tmp_path, estate):
    source = tmp_path / "source"
    write(source / "good.dcm", Scanned("100", 1))
    # An instance that is there twice: with other pixels, with other words, and simply copied.
    write(source / "twice1.dcm", Scanned("100", 2))
    write(source / "twice2.dcm", Scanned("100", 2, seed=1))
    write(source / "words1.dcm", Scanned("100", 3))
    write(source / "words2.dcm", Scanned("100", 3), ImageComments="again")
    shutil.copy(source / "good.dcm", source / "copy.dcm")
    (source / "notes.txt").write_text("not an image")
    Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9\x1b.txt")).write_text("neither")
    (source / "cut.dcm").write_bytes((source / "good.dcm").read_bytes()[:400])
    write(source / "undated.dcm", Scanned("200", 4), StudyDate=None, SeriesDate=None)
    write(source / "no series.dcm", Scanned("200", 5), SeriesInstanceUID=None)
    # A series with a gap, and one of which a PACS had more.
    for n in (1, 2, 5):
        write(source / f"gap{n}.dcm", Scanned("200", 6, instance=n))
    write(source / "some.dcm", Scanned("200", 7))
    (source / "wanted.csv").write_text(f"study,series,images\n{ROOT}.7,{ROOT}.7.1,4\n{ROOT}.8,{ROOT}.8.1,2\n")
    # Words that were burned in, or said to be.
    write(source / "burned.dcm", Scanned("200", 9), BurnedInAnnotation="YES")
    report = loaded(source, estate)
    by_study = {
        uid: (state, wanted, files, released, quarantined, refused)
        for uid, state, wanted, files, released, quarantined, refused in rows(
            estate,
            "SELECT source_study_uid, state, wanted, files, released, quarantined, refused FROM image_study",
        )
    }
    assert by_study.pop(f"{ROOT}.1")[0] in ("whole", "partial")  # the cut file may still have its header
    assert by_study == {
        f"{ROOT}.2": ("nothing released", None, 2, 0, 0, 2),
        f"{ROOT}.3": ("whole", None, 1, 1, 0, 0),
        f"{ROOT}.4": ("nothing released", None, 1, 0, 0, 1),
        f"{ROOT}.6": ("partial", None, 3, 3, 0, 0),
        f"{ROOT}.7": ("partial", 4, 1, 1, 0, 0),
        f"{ROOT}.8": ("not there", 2, 0, 0, 0, 0),
        f"{ROOT}.9": ("nothing released", None, 1, 0, 1, 0),
    }
    named = dict(report.rejects)
    assert named.keys() >= {
        "twice1.dcm",
        "twice2.dcm",
        "notes.txt",
        "cut.dcm",
        "undated.dcm",
        "no series.dcm",
        "burned.dcm",
    }
    assert r"caf\udce9\x1b.txt" in named
    assert "good.dcm" not in named and "other pixels" in named["twice1.dcm"]
    assert "2 series are partial: 5 of their images were not given." in report.load.warnings
    held = rows(estate, "SELECT count(*) FROM flip_reject WHERE reason LIKE 'quarantined%'")
    assert held == [(1,)]
    # A controller decides of what is held back; the next load, of whatever, carries it out.
    store = Quarantine(estate / "images" / "quarantine")
    (waiting,) = store.list()
    assert waiting.decided is None and waiting.id == sha256((source / "burned.dcm").read_bytes()).hexdigest()
    assert store.picture(waiting.id).startswith(b"\x89PNG") and waiting.kind == "CR"
    store.decide(waiting.id, "blank", "Dr A", boxes=[(2, 3, 9, 8)])
    shutil.rmtree(source)
    after = {one.study: one for one in loaded(None, estate).studies}
    changed = [one for one in after.values() if one not in report.studies]
    assert [(one.state, one.released, one.quarantined) for one in changed] == [("whole", 1, 0)]
    (name,) = (sha for (sha,) in rows(estate, f"SELECT sha256 FROM image_file WHERE study_uid = '{changed[0].study}'"))
    pixels = pydicom.dcmread(Archive(estate).path(name)).pixel_array
    assert pixels[3:8, 2:9].min() == pixels[3:8, 2:9].max() < pixels[9:].min()
    assert store.get(waiting.id).carried_out and not store.original(waiting.id).exists()
    assert not loaded(None, estate).load.new
    # A load of records goes on, whatever is held back.
    assert load(people(tmp_path / "people", "ann", "ben", "cat"), "omop-5.4", estate).people == 3


def test_accession_numbers_and_lists_of_series_are_joined(tmp_path):
    def patient(number: str) -> dict:
        identifier = {"system": "KCH", "value": number}
        return {"resourceType": "Patient", "id": f"p{number}", "birthDate": "1950-01-01", "identifier": [identifier]}

    def study(number: str, accession: str, person: str, series: int) -> dict:
        return {
            "resourceType": "ImagingStudy",
            "id": number,
            "status": "available",
            "subject": {"reference": f"Patient/p{person}"},
            "started": "2021-03-04",
            "identifier": [
                {"type": {"coding": [{"code": "ACSN"}]}, "value": accession},
                {"value": f"urn:oid:{ROOT}.{series}"},
            ],
            "series": [{"uid": f"{ROOT}.{series}.1", "modality": {"code": "CR"}}],
        }

    resources = [patient("100"), patient("200"), study("a", "ACC1", "100", 1), study("b", "ACC2", "200", 2)]
    resources += [study("c", "ACC3", "100", 77), study("d", "ACC3", "100", 78)]
    source = tmp_path / "all.ndjson"
    source.write_text("".join(json.dumps(one) + "\n" for one in resources))
    estate = tmp_path / "estate"
    assert load(source, "fhir-r4", estate).rejected == 0
    before = rows(estate, "SELECT count(*) FROM procedure_occurrence")[0][0]
    images = tmp_path / "images"
    write(images / "1.dcm", Scanned("100", 1, accession="ACC1"))  # a series that the list has
    write(images / "2.dcm", Scanned("200", 3, accession="ACC2"))  # another study of the accession
    write(images / "3.dcm", Scanned("100", 4, accession="ACC2"))  # the accession is another person's
    write(images / "4.dcm", Scanned("100", 5, accession="ACC3"))  # two procedures have it
    write(images / "5.dcm", Scanned("200", 77))  # a series that the list has as another person's
    report = loaded(images, estate)
    assert states(report) == {"whole": 4, "a list of series has it as another person's": 1}
    assert rows(estate, "SELECT count(*) FROM procedure_occurrence")[0][0] == before + 2
    assert rows(estate, "SELECT count(*) FROM image_occurrence")[0][0] == 4 + 3
    joined = rows(
        estate,
        "SELECT s.source_study_uid, a.accession FROM image_study s JOIN image_file f USING (study_uid) "
        "JOIN image_occurrence i USING (image_occurrence_id) JOIN procedure_occurrence p "
        "ON p.procedure_occurrence_id = i.procedure_occurrence_id AND p.person_id = s.person_id "
        "LEFT JOIN procedure_accession a ON a.procedure_occurrence_id = p.procedure_occurrence_id ORDER BY 1",
    )
    assert joined == [(f"{ROOT}.1", "ACC1"), (f"{ROOT}.3", "ACC2"), (f"{ROOT}.4", None), (f"{ROOT}.5", None)]


def test_whose_numbers_they_are_may_be_said(tmp_path, estate):
    write(tmp_path / "source" / "1.dcm", Scanned("100", 1, issuer="elsewhere"))
    assert states(loaded(tmp_path / "source", estate)) == {"nobody has its number": 1}
    assert states(loaded(tmp_path / "source", estate, system="KCH")) == {"whole": 1}


def test_what_images_need(tmp_path):
    with pytest.raises(FlipError) as refused:
        loaded(tmp_path, "postgresql://nobody@localhost/none")
    assert refused.value.code == "images-need-directory"
    with pytest.raises(FlipError) as refused:
        loaded(tmp_path / "nothing", tmp_path / "estate")
    assert refused.value.code == "no-such-source"
    source = tmp_path / "source"
    write(source / "1.dcm", Scanned("100", 1))
    (source / "wanted.csv").write_text("study,series,images\n1.2,1.2.3,many\n")
    with pytest.raises(FlipError, match="line 2"):
        loaded(source, tmp_path / "estate")


def test_the_commands(tmp_path, estate):
    def flip(*words: str) -> str:
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    source = tmp_path / "source"
    for n in (1, 2):
        write(source / f"{n}.dcm", Scanned("700", 1, instance=n))
    write(source / "3.dcm", Scanned("800", 2))
    stated = numbers(tmp_path / "more.csv", "KCH,700,ann,,,", "KCH,800,gone,,,")
    assert "1 numbers are of nobody in the estate: 800 of KCH" in flip(
        "estate", "identities", str(stated), "--into", str(estate)
    )
    told = flip("images", "load", str(source), "--into", str(estate), "--quiet", "--workers", "1")
    assert "images of 1 people" in told and "nobody has its number (1 images)" in told
    table = [line.split() for line in flip("estate", "images", str(estate)).splitlines()]
    assert table == [
        ["state", "studies", "wanted", "retrieved", "released", "quarantined", "refused"],
        ["nobody", "has", "its", "number", "1", "0", "1", "1", "0", "0"],
        ["whole", "1", "0", "2", "2", "0", "0"],
        ["all", "2", "0", "3", "3", "0", "0"],
    ]
    each = json.loads(flip("estate", "images", str(estate), "--json"))
    assert sorted((one["state"], one["retrieved"], one["wanted"]) for one in each) == [
        ("nobody has its number", 1, None),
        ("whole", 2, None),
    ]
    assert "2.25." in flip("estate", "images", str(estate), "--studies")
    again = json.loads(
        flip("images", "load", str(source), "--into", str(estate), "--json", "--identities", str(stated))
    )
    assert not again["load"]["new"] and again["people"] == 1
