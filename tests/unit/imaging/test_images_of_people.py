"""From DICOM files and an extract to frozen images beside their own people's rows."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pydicom
import pytest
from dicom_people import Scanned, write
from safetensors.numpy import load_file
from small_estate import EVERYBODY, has

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageSet
from flipnb.contracts.window import Window
from flipnb.estate import freeze, load
from flipnb.estate.harmonise.images.load import Settings, load_images
from flipnb.estate.imaging.deidentify import Policy

DAY = date(2015, 6, 1)
PEOPLE = 6


def extract(folder: Path) -> Path:
    """People whose years of birth tell them apart."""
    folder.mkdir()
    person = [f"{n},8532,{1930 + 10 * n},p{n}" for n in range(1, PEOPLE + 1)]
    period = [f"{n},{n},2000-01-01,2030-01-01" for n in range(1, PEOPLE + 1)]
    condition = [f"{n},{n},{EVERYBODY},{DAY}" for n in range(1, PEOPLE + 1)]
    for name, head, rows in (
        ("person", "person_id,gender_concept_id,year_of_birth,person_source_value", person),
        (
            "observation_period",
            "observation_period_id,person_id,observation_period_start_date,observation_period_end_date",
            period,
        ),
        (
            "condition_occurrence",
            "condition_occurrence_id,person_id,condition_concept_id,condition_start_date",
            condition,
        ),
        (
            "concept",
            "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code",
            [f"{EVERYBODY},a condition,Condition,SNOMED,Finding,S,{EVERYBODY}"],
        ),
    ):
        (folder / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


@pytest.mark.slow
def test_each_image_lies_beside_its_own_persons_row(tmp_path):
    estate = tmp_path / "estate"
    load(extract(tmp_path / "extract"), "omop-5.4", estate)
    pixels = {}
    for n in range(1, PEOPLE + 1):
        # The number of a scan says nothing of the person's: 106 is p1's, 105 is p2's.
        path = write(tmp_path / "scans" / f"{n}.dcm", Scanned(str(100 + n), n, day=DAY, seed=n))
        pixels[1930 + 10 * (PEOPLE + 1 - n)] = pydicom.dcmread(path).pixel_array
    rows = [f"KCH,{100 + n},p{PEOPLE + 1 - n},,," for n in range(1, PEOPLE)]
    (tmp_path / "numbers.csv").write_text("\n".join(["system,number,person,from,to,merged_into", *rows]) + "\n")
    load(tmp_path / "numbers.csv", "identities", estate)
    report = load_images(tmp_path / "scans", estate, Settings(Policy.named("research"), workers=1))
    assert sorted(one.state for one in report.studies) == ["nobody has its number", *["whole"] * (PEOPLE - 1)]
    wanted = ImageSet(name="xray", modalities=("CR",), dimensions=2, window=Window(start_days=-9, end_days=9))
    dataset = Dataset(variables=(Variable(name="age", source="age"),), images=(wanted,))
    split = Split(seed=1, shares=Shares(train=1))
    made = freeze(
        estate,
        report.load.version,
        CohortExpression.parse(has([EVERYBODY])),
        dataset,
        split,
        b"k" * 32,
        tmp_path / "frozen",
    )
    assert made.train == PEOPLE and made.images[0].frozen == PEOPLE - 1
    with closing(duckdb.connect(str(next((tmp_path / "frozen").glob("*.duckdb"))), read_only=True)) as connection:
        placed = connection.execute(
            "SELECT year_of_birth, tensor, tensor_row, file, i.day FROM images i JOIN person p USING (person_id)"
        ).fetchall()
        names = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert names.isdisjoint({"person_number", "image_study", "image_series", "image_file", "procedure_accession"})
    assert {born for born, *_ in placed} == {1930 + 10 * n for n in range(2, PEOPLE + 1)}
    for born, tensor, row, file, day in placed:
        found = load_file(tmp_path / "frozen" / file)[tensor][row]
        assert day == 0 and np.array_equal(np.sort(found, axis=None), np.sort(pixels[born], axis=None))
    everything = b"".join(path.read_bytes() for path in (tmp_path / "frozen").iterdir() if path.is_file())
    for told in ("Quennell", "KCH", "ACC", *(one.study for one in report.studies), json.dumps(str(tmp_path))):
        assert told.encode() not in everything
