"""A file or folder is as it was, or all new: where its writing raises, where the writer is killed, by many at once."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.files.whole import making, write, writing

KILLED = """
import os, signal, sys
from pathlib import Path
from flipnb.files import whole

place, how, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def counted(act):
    def done(*arguments, **named):
        global calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **named)
    return done

os.fsync = counted(os.fsync)
Path.replace = counted(Path.replace)
Path.mkdir = counted(Path.mkdir)
if how == "write":
    whole.write(place, b"new" * 1000)
elif how == "writing":
    with whole.writing(place) as partial:
        partial.write_bytes(b"new" * 1000)
else:
    with whole.making(place) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"new")
        (folder / "file").write_bytes(b"new")
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_raises_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), writing(path) as partial:
        partial.write_bytes(b"half")
        raise ZeroDivisionError
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])
    with pytest.raises(ZeroDivisionError), making(tmp_path / "folder") as folder:
        (folder / "file").write_bytes(b"half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, b"new")
    with pytest.raises(OSError, match="No space"), writing(path) as partial:
        partial.write_bytes(b"new")
    with pytest.raises(OSError, match="No space"), making(tmp_path / "folder") as folder:
        (folder / "file").write_bytes(b"new")
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


@pytest.mark.parametrize("how", ["write", "writing", "making"])
def test_whoever_is_killed_leaves_all_or_nothing_and_the_next_one_goes_on(tmp_path, how):
    """Killed before each call in turn that touches the disk, until there is none left."""
    outcomes = []
    for moment in range(1, 12):
        place = tmp_path / f"{moment}" / "place"
        place.parent.mkdir()
        if how != "making":
            place.write_bytes(b"old")
        command = [sys.executable, "-c", KILLED, str(place), how]
        ended = subprocess.run([*command, str(moment)], check=False)
        if how != "making":
            content = place.read_bytes()
            assert content in (b"old", b"new" * 1000)
            outcomes.append(content != b"old")
        else:
            outcomes.append(place.exists())
            assert not place.exists() or names(place) == ["file", "inner"]
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        if how == "making" and place.exists():
            continue
        subprocess.run([*command, "-1"], check=True)
        assert (place / "inner" / "file").read_bytes() == b"new" if how == "making" else place.read_bytes() != b"old"
    else:
        pytest.fail("it never came to its end")
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (False, True)


@given(contents=st.lists(st.binary(max_size=200_000), min_size=2, max_size=4))
def test_many_that_write_one_path_leave_one_of_theirs(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("place") / "file"
    threads = [threading.Thread(target=write, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(path.parent) == ["file"]


def test_modes_are_those_asked_for_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write(tmp_path / "open", b"", mode=0o644)
        write(tmp_path / "usual", b"")
        with writing(tmp_path / "fixed", mode=0o444) as partial:
            partial.write_bytes(b"")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"open": 0o644, "usual": 0o600, "fixed": 0o444}


def test_what_a_killed_one_left_is_begun_anew(tmp_path):
    (tmp_path / "file.partial").write_bytes(b"of a killed one")
    (tmp_path / "folder.partial").mkdir()
    (tmp_path / "folder.partial" / "old").write_bytes(b"")
    with writing(tmp_path / "file") as partial:
        assert not partial.exists()
        partial.write_bytes(b"new")
    with making(tmp_path / "folder") as folder:
        assert names(folder) == []
    assert names(tmp_path) == ["file", "folder"]
