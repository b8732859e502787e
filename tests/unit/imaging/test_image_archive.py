"""The archive holds whole files by their content, whoever is killed, and whatever is offered to it."""

import hashlib
import os
import signal
import stat
import subprocess
import sys

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import Build, SourceRecord
from flipnb.estate.imaging.archive import Archive
from flipnb.estate.omop.cdm import own_tables, tables

KILLED = """
import os, signal, sys
from pathlib import Path
from flipnb.estate.imaging import archive

calls = 0

def counted(act):
    def done(*arguments, **named):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **named)
    return done

os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
Path.mkdir = counted(Path.mkdir)
Path.chmod = counted(Path.chmod)
list(archive.Archive(Path(sys.argv[1])).add_all(sorted(Path(sys.argv[2]).iterdir())))
"""


def objects(archive):
    return sorted((archive.directory / "objects").glob("*/*"))


@given(contents=st.lists(st.binary(max_size=3000), min_size=1, max_size=6))
def test_each_content_is_there_once_whole_and_read_only(tmp_path_factory, contents):
    place = tmp_path_factory.mktemp("archive")
    archive = Archive(place / "estate")
    files = [place / f"file{number}" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    names = list(archive.add_all(files))
    assert names == [hashlib.sha256(content).hexdigest() for content in contents]
    assert [archive.path(name).read_bytes() for name in names] == contents
    assert {path.name for path in objects(archive)} == {f"{name}.dcm" for name in names}
    assert {stat.S_IMODE(path.stat().st_mode) for path in objects(archive)} == {0o444}
    assert [file.read_bytes() for file in files] == contents
    assert archive.add(files[0]) == names[0]
    assert not list((archive.directory / "partial").iterdir())


def test_who_still_holds_a_file_changes_nothing_of_the_archive(tmp_path):
    archive = Archive(tmp_path / "estate")
    file = tmp_path / "file"
    file.write_bytes(b"pixels")
    with file.open("r+b") as held:
        name = archive.add(file)
        held.write(b"others")
    assert archive.path(name).read_bytes() == b"pixels"


def test_a_file_cut_short_by_a_power_cut_is_replaced(tmp_path):
    archive = Archive(tmp_path / "estate")
    file = tmp_path / "file"
    file.write_bytes(b"pixels")
    name = archive.add(file)
    archive.path(name).chmod(0o644)
    archive.path(name).write_bytes(b"")
    assert archive.add(file) == name
    assert archive.path(name).read_bytes() == b"pixels"


def test_links_folders_pipes_and_other_names_are_refused(tmp_path):
    archive = Archive(tmp_path / "estate")
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "estate", "missing"):
        (tmp_path / "estate").mkdir(exist_ok=True)
        with pytest.raises(FlipError, match="no regular file"):
            archive.add(tmp_path / name)
    for name in ("../" * 20 + "etc", "A" * 64, "", "0" * 63):
        with pytest.raises(FlipError) as refused:
            archive.path(name)
        assert refused.value.code == "not-a-digest"
    assert not objects(archive)


@pytest.mark.slow
def test_a_killed_process_leaves_whole_files_alone_under_their_names(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    contents = [bytes([number]) * 5000 for number in range(3)]
    for number, content in enumerate(contents):
        (source / str(number)).write_bytes(content)
    for moment in range(1, 40):
        archive = Archive(tmp_path / str(moment))
        command = [sys.executable, "-c", KILLED, str(tmp_path / str(moment)), str(source)]
        ended = subprocess.run([*command, str(moment)], check=False)
        for path in objects(archive):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        archive.sweep()
        assert list(archive.add_all(sorted(source.iterdir()))) == [hashlib.sha256(c).hexdigest() for c in contents]
        assert len(objects(archive)) == 3
    else:
        pytest.fail("it never came to its end")


def test_a_new_version_keeps_the_files_of_a_source_that_has_not_changed(tmp_path):
    table = own_tables()["image_file"]
    row = {
        "image_occurrence_id": 7,
        "person_id": 1 << 40,
        "sha256": "ab" * 32,
        "bytes": 5 << 30,
        "sop_class": "1.2",
        "transfer_syntax": "1.2.3",
        "frames": 1,
        "rows": 3,
        "columns": 4,
        "study_uid": "2.25.1",
        "series_uid": "2.25.2",
        "sop_uid": "2.25.3",
    }
    kept, gone = (SourceRecord("pacs", name, "d", "images", "1", None) for name in ("kept", "gone"))
    with Build.open(tmp_path / "old.duckdb") as build:
        for record in (gone, kept):
            with build.file(record) as loading:
                build.insert(table, loading, [row | {"sha256": record.file}])
        assert "image_file" not in build.counts()
    with Build.open(tmp_path / "new.duckdb") as build:
        build.keep(tmp_path / "old.duckdb", [kept])
    with duckdb.connect(str(tmp_path / "new.duckdb")) as connection:
        found = connection.execute("SELECT sha256, bytes, person_id, flip_source_id FROM image_file").fetchall()
    assert found == [("kept", 5 << 30, 1 << 40, 1)]
    assert table.columns == ("image_occurrence_id", "person_id", *list(row)[2:6], "instance_number", *list(row)[6:])


def test_it_is_no_table_of_the_model():
    assert not own_tables().keys() & tables().keys()
