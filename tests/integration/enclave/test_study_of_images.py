"""A study of images from end to end: radiographs into two estates, a template's notebook, rounds over real agents."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from dicom_people import Scanned, write
from enclave_federation import Federation, open_federation, until
from safetensors.numpy import load as read_weights

import flipnb as flip
from flipnb.contracts.desk import DeskRuns, RequestDetail
from flipnb.estate import load
from flipnb.estate.harmonise.images.load import Settings, load_images
from flipnb.estate.imaging.deidentify import Policy
from flipnb.link.key_files import save_key
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.studies import roster_path
from flipnb.workbench.templates.images import RADIOGRAPH
from flipnb.workbench.validation import find_issues

PEOPLE = 40
CRP, PNEUMONIA = 3020460, 255848
FIRST = date(2020, 1, 1)


def _table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def day_of(person: int) -> date:
    return FIRST + timedelta(person)


def write_records(folder: Path) -> Path:
    """Forty people in the shape of the CDM: a protein measured on the day of their radiograph, pneumonia of every
    other one on the next, and what DICOM's CR is called."""
    folder.mkdir(parents=True)
    people = range(1, PEOPLE + 1)
    valid = {"valid_start_date": "1970-01-01", "valid_end_date": "2099-12-31"}
    tables: dict[str, list[dict[str, object]]] = {
        "person": [
            {"person_id": n, "gender_concept_id": 8507 + 25 * (n % 2), "year_of_birth": 1930 + n, "race_concept_id": 0,
             "ethnicity_concept_id": 0, "person_source_value": f"h{n}"}
            for n in people
        ],
        "observation_period": [
            {"observation_period_id": n, "person_id": n, "observation_period_start_date": "2019-01-01",
             "observation_period_end_date": "2021-12-31", "period_type_concept_id": 0}
            for n in people
        ],
        "measurement": [
            {"measurement_id": n, "person_id": n, "measurement_concept_id": CRP, "measurement_date": day_of(n),
             "measurement_type_concept_id": 0, "value_as_number": 5 * n, "unit_concept_id": 8751,
             "unit_source_value": "mg/L"}
            for n in people
        ],
        "condition_occurrence": [
            {"condition_occurrence_id": n, "person_id": n, "condition_concept_id": PNEUMONIA,
             "condition_start_date": day_of(n) + timedelta(1), "condition_type_concept_id": 0}
            for n in people if n % 2
        ],
        "concept": [
            {"concept_id": concept, "concept_name": name, "domain_id": domain, "vocabulary_id": vocabulary,
             "concept_class_id": "x", "standard_concept": "S", "concept_code": code, **valid}
            for concept, name, domain, vocabulary, code in (
                (RADIOGRAPH, "Radiograph", "Procedure", "ours", "xray"), (CRP, "CRP", "Measurement", "LOINC", "1988-5"),
                (PNEUMONIA, "Pneumonia", "Condition", "SNOMED", "233604007"),
                (8751, "milligram per liter", "Unit", "UCUM", "mg/L"),
            )
        ],
        "source_to_concept_map": [
            {"source_code": "CR", "source_concept_id": 0, "source_vocabulary_id": "DICOM",
             "target_concept_id": RADIOGRAPH, "target_vocabulary_id": "ours", **valid}
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        _table(folder / f"{name}.csv", rows)
    return folder


def fill(place: Path, name: str, estate: Path) -> None:
    """A hospital's records, the numbers of its archive, and a radiograph for each of its people: one of several frames,
    and one whose number is nobody's."""
    load(write_records(place / name / "records"), "omop-5.4", estate)
    numbers = ["system,number,person,from,to,merged_into"]
    numbers += [f"PACS,{name}-{n},h{n},,," for n in range(1, PEOPLE + 1)]
    (place / name / "numbers.csv").write_text("\n".join(numbers) + "\n")
    load(place / name / "numbers.csv", "identities", estate)
    files = place / name / "files"
    for n in range(1, PEOPLE + 1):
        one = Scanned(f"{name}-{n}", n, issuer="PACS", day=day_of(n), seed=len(name))
        write(files / f"{n}.dcm", one, **({"NumberOfFrames": 2, "Rows": 16} if n == 7 else {}))
    write(files / "stranger.dcm", Scanned("elsewhere-1", 99, issuer="PACS", day=day_of(3)))
    report = load_images(files, estate, Settings(Policy.named("research"), workers=1))
    assert report.people == PEOPLE and len(report.rejects) == 1


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    place = tmp_path_factory.mktemp("hospitals")
    with open_federation(
        tmp_path_factory.mktemp("images"),
        packages=("monai", "numpy", "torch"),
        memory=4 << 30,
        fill=lambda name, estate: fill(place, name, estate),
    ) as opened:
        yield opened


def home_of(federation: Federation, place: Path) -> Home:
    home = Home(place / "home")
    save_key(federation.study.researcher, home.directory / "keys" / "researcher.pem")
    configuration = Configuration(
        hub=federation.url,
        audience="flip-test",
        ca=str(federation.ca),
        name="R",
        environment=federation.study.bundle().environment,
    )
    (home.directory / "config.json").write_text(configuration.model_dump_json())
    roster = roster_path(home, "heart")
    roster.parent.mkdir(parents=True, exist_ok=True)
    roster.write_bytes(federation.study.roster_envelope())
    return home


@pytest.mark.timeout(600)
def test_radiographs_and_rows_of_the_same_people_train_one_model(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLIP_HOME", str(home_of(federation, tmp_path).directory))
    made = flip.new("chest", template="images", folder=tmp_path)
    flip.rehearse(made.notebook)
    assert find_issues(made.notebook) == []
    sent = flip.submit(made.notebook, "heart", rounds=2)
    for trust in federation.trusts:
        until(lambda trust=trust: trust.waits_for(sent.bundle), 120)
        detail = RequestDetail.model_validate(trust.get(f"/requests/{sent.bundle}"))
        assert detail.count == PEOPLE
        assert trust.approve(sent.bundle).is_success
    done = federation.reaches(sent.runs[0].run, "succeeded", "failed", "stopped", seconds=240)
    assert done.state == "succeeded", done.model_dump_json(indent=1)
    found = flip.results(done.run, tmp_path / "results")
    for trust in federation.trusts:
        (here,) = [one for one in DeskRuns.model_validate(trust.get("/runs")).runs if one.run == done.run]
        (count,) = here.images
        assert (count.found, count.frozen, count.people) == (PEOPLE, PEOPLE - 1, PEOPLE - 1)
        assert [(one.reason, one.images) for one in count.left_out] == [("several-frames", 1)]
        assert found.record.images[trust.node.key_id] == {"xray": "90-or-more"}
    first, last = (read_weights(federation.ask("GET", f"/v1/blobs/{sha}")) for sha in
                   (found.record.initial_weights, found.record.final_weights))  # fmt: skip
    moved = {name for name in first if (first[name] != last[name]).any()}
    assert {"last.weight", "radiograph.conv1.weight"} <= moved, "both the rows and the radiographs were learned from"
