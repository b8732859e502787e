"""Many files into a folder: each accounted for once, no name in what leaves, none half written, whatever dies."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from dicom_files import ROOT, ct, encoded, read

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.batch import pool as pools
from flipnb.estate.imaging.batch.pool import Pool, Task
from flipnb.estate.imaging.batch.sources import Item
from flipnb.estate.imaging.deidentify import Policy
from flipnb.estate.imaging.folder import deidentify

pytestmark = pytest.mark.slow
RESEARCH = Policy.named("research")


def slice_of(number, person="00451873"):
    """A CT slice of a stack, whose pixels are noise."""
    ds = ct(PatientID=person, SOPInstanceUID=f"{ROOT}.{int(person)}.{number}", InstanceNumber=number)
    ds.Rows = ds.Columns = 32
    ds.PixelData = random.Random(number).randbytes(2048)
    return encoded(ds)


@pytest.fixture
def source(tmp_path):
    """Two people's slices below folders that bear their names, and what is no image."""
    folder = tmp_path / "in"
    for person, name in (("00451873", "Whitcombe"), ("00451874", "Larkspur")):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            (folder / name / f"{name}-{number}.dcm").write_bytes(slice_of(number, person))
    (folder / "notes.txt").write_text("Eleanor Whitcombe on Tuesday")
    (folder / "empty.dcm").touch()
    (folder / "link.dcm").symlink_to(folder / "Whitcombe" / "Whitcombe-0.dcm")
    os.mkfifo(folder / "pipe.dcm")
    return folder


def run(source, to, **options):
    return list(deidentify(source, to, RESEARCH, workers=2, **options))


def test_every_file_is_accounted_for_and_no_name_leaves(source, tmp_path):
    to = tmp_path / "out"
    lines = run(source, to)
    assert Counter(line.state for line in lines) == {"released": 6, "refused": 4}
    assert {line.reason for line in lines} == {"", "not-dicom", "empty", "symbolic link", "not a file"}
    outputs = [path for path in to.rglob("*") if path.is_file()]
    assert {Path(line.to) for line in lines if line.to} == set(outputs)
    for path in outputs:
        said = str(path.relative_to(to)) + path.read_bytes().decode("latin-1")
        assert "hitcombe" not in said and "arkspur" not in said and "0045187" not in said
        assert path.parts[-4:-1] == (read(path.read_bytes()).PatientID, *path.parts[-3:-1])
        assert path.stem == read(path.read_bytes()).SOPInstanceUID
    assert len({path.parts[-4] for path in outputs}) == 2
    beside = tmp_path / "out.flip"
    assert stat.S_IMODE((beside / "key").stat().st_mode) == 0o600
    assert "hitcombe" not in (beside / "done.jsonl").read_text()
    assert not (beside / "work").exists()


def test_a_second_run_does_only_what_is_new(source, tmp_path):
    to = tmp_path / "out"
    first = {line.file: line for line in run(source, to)}
    kept = {path: path.stat().st_mtime_ns for path in to.rglob("*.dcm")}
    (source / "another.dcm").write_bytes(slice_of(9))
    lost = Path(first["Whitcombe/Whitcombe-1.dcm"].to)
    lost.unlink()
    again = {line.file: line for line in run(source, to)}
    assert first.items() <= again.items() and again.keys() - first.keys() == {"another.dcm"}
    assert lost.is_file()
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items() if path != lost)


def test_a_key_of_ones_own_gives_the_same_names_everywhere(source, tmp_path):
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    names = [{Path(line.to).name for line in run(source, tmp_path / to, key=key) if line.to} for to in ("a", "b")]
    assert names[0] == names[1] != set()
    assert not (tmp_path / "a.flip" / "key").exists()
    key.write_text("no key")
    with pytest.raises(FlipError, match="64 hexadecimal") as error:
        run(source, tmp_path / "c", key=key)
    assert error.value.code == "bad-key"


def test_one_instance_twice_and_another_with_its_name(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.dcm").write_bytes(slice_of(1))
    (source / "b.dcm").write_bytes(slice_of(1))
    ds = read(slice_of(1))
    ds.KVP = "80"
    (source / "c.dcm").write_bytes(encoded(ds))
    outputs = Counter(line.to for line in run(source, tmp_path / "out"))
    assert sorted(outputs.values()) == [1, 2]
    assert {read(Path(path).read_bytes()).KVP for path in outputs} == {80, 120}


def test_a_zip_as_hostile_as_it_likes(tmp_path):
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("../../outside.dcm", slice_of(1))
        opened.writestr("/etc/Whitcombe.dcm", slice_of(2))
        opened.writestr("twice.dcm", slice_of(3))
        with pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("twice.dcm", slice_of(4))
        opened.writestr("inner.zip", b"PK\3\4" + bytes(200))
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    data = bytearray(archive.read_bytes())
    lines = run(archive, tmp_path / "out")
    assert Counter(line.state for line in lines) == {"released": 4, "refused": 2}
    assert all(Path(line.to).is_relative_to(tmp_path / "out") for line in lines if line.to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zip", "out", "out.flip"]
    at = data.index(slice_of(3)[132:150]) if slice_of(3)[132:150] in data else len(data) // 3
    data[at : at + 40] = bytes(40)
    archive.write_bytes(data)
    assert Counter(line.file for line in run(archive, tmp_path / "other")).total() == 6


def test_zips_that_say_too_much(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
        for number in range(2):
            with opened.open(f"{number}.dcm", "w", force_zip64=True) as member:
                for _ in range(600):
                    member.write(bytes(1 << 20))
    with pytest.raises(FlipError, match="inflates") as error:
        run(archive, tmp_path / "out")
    assert error.value.code == "bad-zip"
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(FlipError) as error:
        run(archive, tmp_path / "out")
    assert error.value.code == "bad-zip"


def test_places_where_nothing_can_be_written(source, tmp_path):
    with pytest.raises(FlipError, match="lies in") as error:
        run(source, source / "out")
    assert error.value.code == "target-inside-source"
    with pytest.raises(FlipError) as error:
        run(tmp_path / "nowhere", tmp_path / "out")
    assert error.value.code == "no-such-source"
    first = deidentify(source, tmp_path / "out", RESEARCH, workers=1)
    next(first)
    with pytest.raises(FlipError) as error:
        run(source, tmp_path / "out")
    assert error.value.code == "target-in-use"
    first.close()


def test_a_process_that_dies_or_hangs_costs_its_file_alone(source, tmp_path, monkeypatch):
    """The child is killed, and stopped, while it has a file; the other files are released."""
    files = sorted(source.glob("*/*.dcm"))
    tasks = [Task(Item(path.name, path, size=2900), tmp_path / f"{n}.dcm") for n, path in enumerate(files)]
    given: list[tuple[int, Task]] = []
    give = pools._Child.give

    def harmed(child, task, seconds):
        given.append((child.process.pid, task))
        harm = {files[1].name: signal.SIGKILL, files[3].name: signal.SIGSTOP}.get(task.item.name)
        if harm is not None:
            os.kill(child.process.pid, harm)
        give(child, task, 1.0 if harm == signal.SIGSTOP else seconds)

    monkeypatch.setattr(pools._Child, "give", harmed)
    pool = Pool(RESEARCH, b"k" * 32, workers=1)
    try:
        answers = {task.item.name: (answer["state"], answer["reason"]) for task, answer in pool.run(tasks)}
    finally:
        pool.close()
    assert answers.pop(files[1].name) == ("quarantined", "the process that read it died of it")
    assert answers.pop(files[3].name) == ("quarantined", "it took too long")
    assert set(answers.values()) == {("released", "")}
    for pid in {pid for pid, _ in given}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def command(*arguments):
    return [sys.executable, "-m", "flipnb.cli.main", "images", "deidentify", *map(str, arguments)]


@pytest.mark.parametrize("harm", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_half_written(tmp_path, harm):
    source, to = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(40):
        (source / f"{number}.dcm").write_bytes(slice_of(number))
    running = subprocess.Popen(command(source, "--to", to, "--policy", "research", "--json"), stdout=subprocess.PIPE)
    told = [json.loads(running.stdout.readline()) for _ in range(3)]
    running.send_signal(harm)
    running.communicate(timeout=200)
    assert running.returncode == (130 if harm == signal.SIGINT else -signal.SIGKILL)
    for path in to.rglob("*.dcm"):
        assert read(path.read_bytes()).PatientIdentityRemoved == "YES"
    assert {Path(line["to"]) for line in told} <= set(to.rglob("*.dcm"))
    done = subprocess.run(
        command(source, "--to", to, "--policy", "research", "--json"), capture_output=True, timeout=200, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(line["state"] for line in lines) == {"released": 40}
    assert {Path(line["to"]) for line in lines} == set(to.rglob("*.dcm"))
    assert all(line in lines for line in told)


def test_a_policy_that_there_is_not(source, tmp_path):
    done = subprocess.run(
        command(source, "--to", tmp_path / "out", "--policy", "strict"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "basic, research, or a file" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_child_has_no_network(tmp_path):
    """It is tried against a server that answers here; where the machine forbids such walls, it is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        tried = (
            "import socket; from flipnb.estate.imaging.batch.child import _wall; _wall()\n"
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        )
        done = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        pytest.skip("this machine lets no process give up its network")
    assert "OSError" in done.stderr or "ConnectionError" in done.stderr or "Network is unreachable" in done.stderr


def test_a_large_file_takes_no_memory_of_its_size(tmp_path):
    """300 MB of frames through the engine and to the disk, in a process of its own, within 150 MB."""
    ds = ct()
    ds.Rows, ds.Columns, ds.NumberOfFrames = 512, 512, 600
    ds.PixelData = b"\0\0"
    data = encoded(ds)
    at = data.rindex(b"\xe0\x7f\x10\x00OW")
    size = 512 * 512 * 2 * 600
    large = tmp_path / "large.dcm"
    with large.open("wb") as file:
        file.write(data[: at + 8] + size.to_bytes(4, "little"))
        file.truncate(at + 12 + size)
    code = (
        "import sys; from pathlib import Path; from flipnb.estate.imaging import release as r\n"
        "from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy\n"
        "with r._opened(Path(sys.argv[1])) as data:\n"
        "    made = Deidentifier(Policy.named('research'), Keys(b'k' * 32)).deidentify(data)\n"
        "    r._write(Path(sys.argv[2]), made.chunks)\n"
        "held = Path('/proc/self/status').read_text().split('VmHWM:')[1]\n"  # of this program, not of who forked it
        "print(held.split()[0])"
    )
    out = tmp_path / "out.dcm"
    done = subprocess.run(
        [sys.executable, "-c", code, str(large), str(out)], capture_output=True, text=True, check=True, timeout=200
    )
    assert out.stat().st_size > size
    assert int(done.stdout) < 150_000
