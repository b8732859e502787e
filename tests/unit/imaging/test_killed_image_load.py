"""A load of some hundred images that is killed, and killed again, ends as one that never was."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from dicom_people import Scanned, write

from flipnb.estate import Estate, load
from flipnb.estate.imaging.archive import Archive

PEOPLE, IMAGES = 25, 260


def killed_at(estate: Path, source: Path, stage: str | None) -> list[str]:
    """What a load says, until it is killed at a stage (or ends)."""
    command = [sys.executable, "-m", "flipnb.cli.main", "images", "load", str(source), "--into", str(estate)]
    said = []
    with subprocess.Popen(
        [*command, "--workers", "2"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            said.append(line.strip())
            if stage is not None and line.startswith(stage):
                run.send_signal(signal.SIGKILL)
                break
        said += run.stderr.read().splitlines()
    assert run.returncode == (0 if stage is None else -signal.SIGKILL), said
    return said


def fill(estate: Path, folder: Path) -> None:
    """The people whose images they are, by their numbers."""
    head = "person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id,person_source_value"
    rows = [f"{n},8507,1950,0,0,{1000 + n}" for n in range(PEOPLE)]
    folder.mkdir(exist_ok=True)
    (folder / "person.csv").write_text("\n".join([head, *rows]) + "\n")
    load(folder, "omop-5.4", estate)


@pytest.mark.slow
def test_a_load_that_is_killed_twice_ends_as_one_that_was_not(tmp_path):
    source = tmp_path / "source"
    for n in range(IMAGES):
        one = Scanned(str(1000 + n % PEOPLE), study=1 + n // 4, instance=1 + n % 4, issuer="", size=16)
        write(source / f"{n % 7}" / f"{n}.dcm", Scanned(**{**one.__dict__, "number": str(1000 + n // 4 % PEOPLE)}))
    killed, other = tmp_path / "killed", tmp_path / "other"
    fill(killed, tmp_path / "people")
    before = Estate.open(killed).current()
    killed_at(killed, source, "de-identified: 128")
    assert Estate.open(killed).current() == before
    said = killed_at(killed, source, "studies")
    assert "de-identified: 256" in said  # 128 of them were done
    assert "de-identified: 128" not in said
    assert Estate.open(killed).current() == before
    said = killed_at(killed, source, None)
    assert not [line for line in said if line.startswith("de-identified")]

    fill(other, tmp_path / "people")
    (other / "images").mkdir()
    shutil.copy(killed / "images" / "key", other / "images" / "key")
    killed_at(other, source, None)
    contents = []
    for estate in (killed, other):
        opened = Estate.open(estate)
        version = opened.current() or ""
        with closing(duckdb.connect(str(opened.file(version)), read_only=True)) as connection:
            tables = ("image_file", "image_occurrence", "procedure_occurrence", "measurement", "image_study")
            found = {
                name: connection.execute(f"SELECT * EXCLUDE (flip_source_id) FROM {name} ORDER BY ALL").fetchall()
                for name in tables
            }
            names = [name for (name,) in connection.execute("SELECT sha256 FROM image_file").fetchall()]
        contents.append((version, found))
        assert len(names) == IMAGES
        for name in names:
            path = Archive(estate).path(name)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == name and path.stat().st_mode & 0o777 == 0o444
        assert not list((estate / "images").glob("work/*")) and not list((estate / "images").glob("partial/*"))
    assert contents[0] == contents[1]
