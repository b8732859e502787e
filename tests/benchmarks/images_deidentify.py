"""De-identification: how fast it is on one core, what survives it, its answer key, and its memory on a large file.

Rates are files or bytes by CPU second of one process, read from and written to memory-backed files: what a disk or a
busy machine takes is not in them. Rivals run on the same files in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import orthanc_server
import psutil
import pydicom
from dicom_cases.answer_key import BASIC, POLICIES, REMOVALS, Fate, write
from dicom_cases.every_case import every_case
from dicom_cases.headers import encoded, image
from dicom_cases.judge import judge
from dicom_cases.outcomes import deidentified, released
from dicom_cases.rivals import HELD_OF_PYDICOM, dicom_anonymizer, orthanc, parsed, pydicom_files
from dicom_cases.survivors import survivors as left_in

from benchmarks.figures import Figures
from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy
from flipnb.estate.imaging.postscan import survivors

SMALL, LARGE = 1_000, 100
RIVALS_SMALL, RIVALS_LARGE = 200, 50
REPEATS = 3
GIGABYTE = 1 << 30
_RIVAL = "dicom-anonymizer 2.1.0, 2026c"


def small_files(figures: Figures) -> None:
    """Radiographs of 64×64 with a full header: what is not pixels."""
    with _shelf() as shelf:
        paths = _copies(shelf, "CR", 64, SMALL)
        engine, scan = _engine(BASIC)
        ours = _rates(paths, lambda path: _through(engine, path, shelf / "out"))
        scanned = _rates(paths, lambda path: _through(engine, path, shelf / "out", scan))
        theirs = _rates(paths[:RIVALS_SMALL], lambda path: _by_rival(path, shelf / "out"))
        figures.add("small files: engine", "files/s", ours, theirs, _RIVAL)
        figures.add("small files: engine and post-scan", "files/s", scanned, theirs, _RIVAL)


def slices(figures: Figures) -> None:
    """CT of 512×512, half a megabyte each."""
    with _shelf() as shelf:
        paths = _copies(shelf, "CT", 512, LARGE)
        size = paths[0].stat().st_size / 1e6
        engine, scan = _engine(BASIC)
        ours = _rates(paths, lambda path: _through(engine, path, shelf / "out"))
        scanned = _rates(paths, lambda path: _through(engine, path, shelf / "out", scan))
        theirs = _rates(paths[:RIVALS_LARGE], lambda path: _read_walk_write(path, shelf / "out"))
        rival, name = [rate * size for rate in theirs], "pydicom: read, walk, write"
        figures.add("512×512 CT: engine", "MB/s", [rate * size for rate in ours], rival, name)
        figures.add("512×512 CT: engine and post-scan", "MB/s", [rate * size for rate in scanned], rival, name)


def survivors_of_pydicom(figures: Figures) -> None:
    """pydicom's own files through the command; the same values looked for in everybody's outputs."""
    with _shelf() as shelf, orthanc_server.serving() as server, server.client() as client:
        (shelf / "in").mkdir()
        for path in pydicom_files():
            (shelf / "in" / path.name).write_bytes(path.read_bytes())
        outcomes, _, _ = deidentified(shelf / "in", shelf / "out", BASIC, timeout=1800)
        outputs = released(outcomes)
        sent = len(pydicom_files())
        ours = _left(pydicom_files(), lambda path: outputs[path.name].read_bytes() if path.name in outputs else None)
        anonymizer = _left(pydicom_files(), lambda path: dicom_anonymizer(path.read_bytes()))
        orthancs = _left(pydicom_files(), lambda path: orthanc(client, path.read_bytes()))
        figures.add("pydicom's files: survivors", "values", [float(ours)], [float(anonymizer)], _RIVAL)
        figures.add("pydicom's files: survivors, Orthanc", "values", [float(ours)], [float(orthancs)], "Orthanc 1.10.1")
        figures.add("pydicom's files: accounted for", "share", [len({one.file for one in outcomes}) / sent])
        figures.add("pydicom's files: released", "share", [len(outputs) / sent])
        figures.add(
            "pydicom's files: released of those that are whole and without letters",
            "share",
            [len(set(outputs) - set(HELD_OF_PYDICOM)) / (sent - len(HELD_OF_PYDICOM))],
        )


def answers(figures: Figures) -> None:
    """The answer key of the hard cases, by policy, through the command; the rival's files judged alike."""
    cases = every_case()
    with _shelf() as shelf:
        write(cases, shelf / "in")
        yours = {}
        for number, case in enumerate(cases):
            output = dicom_anonymizer(case.data)
            if output is not None:
                yours[case.name] = shelf / f"rival-{number}"
                yours[case.name].write_bytes(output)
        for policy in POLICIES:
            outcomes, _, _ = deidentified(shelf / "in", shelf / policy, policy, timeout=1800)
            mine = judge(cases, released(outcomes), policy)
            rival = judge(cases, yours, policy) if policy == BASIC else None
            figures.add(f"answer key, {policy}: actions passed", "share", [mine.share], rival and [rival.share], _RIVAL)
            figures.add(
                f"answer key, {policy}: removals that failed in released files",
                "actions",
                [float(len(mine.leaks()))],
                rival and [float(len(rival.leaks()))],
                _RIVAL,
            )
            removals = sum(mine.asked[action] for action in REMOVALS)
            figures.add(f"answer key, {policy}: removals asked for", "actions", [float(removals)])
            wanted = [case.name for case in cases if case.fate[policy] is Fate.RELEASED]
            share = len(set(wanted) & set(released(outcomes))) / len(wanted)
            figures.add(f"answer key, {policy}: released of what should be", "share", [share])


def gigabyte(figures: Figures) -> None:
    """A multi-frame file of 1 GB through the command: all its processes' memory at once."""
    with _shelf(os.environ.get("FLIP_BENCH_DIR", gettempdir())) as shelf:
        (shelf / "in").mkdir()
        _write_frames(shelf / "in" / "frames.dcm", GIGABYTE)
        command = [sys.executable, "-m", "flipnb.cli.main", "images", "deidentify", shelf / "in", "--to", shelf / "out"]
        began = time.perf_counter()
        told_by = subprocess.Popen([*map(str, command), "--policy", BASIC, "--json"], stdout=subprocess.PIPE)
        with told_by as process, _Memory(process.pid) as memory:
            told, _ = process.communicate()
        seconds = time.perf_counter() - began
        rival = subprocess.run(
            [sys.executable, "-c", _RIVALS_MEMORY, str(shelf / "in" / "frames.dcm"), str(shelf / "rival")],
            capture_output=True,
            text=True,
            check=True,
        )
    assert b'"quarantined"' in told or b'"released"' in told, told
    theirs = [float(rival.stdout.split()[-1])]
    figures.add("1 GB multi-frame: memory of the largest process", "bytes", [float(memory.largest)], theirs, _RIVAL)
    figures.add("1 GB multi-frame: memory of all processes", "bytes", [float(memory.own)], theirs, _RIVAL)
    figures.add("1 GB multi-frame: the same with mapped pages of files", "bytes", [float(memory.mapped)])
    figures.add("1 GB multi-frame: time", "s", [seconds])


PARTS: dict[str, Callable[[Figures], None]] = {
    "small": small_files,
    "slices": slices,
    "survivors": survivors_of_pydicom,
    "answers": answers,
    "gigabyte": gigabyte,
}

_RIVALS_MEMORY = """
import sys
from dicomanonymizer import simpledicomanonymizer as rival
from benchmarks.processes import own_peak
rival.anonymize_dicom_file(*sys.argv[1:], None, True, lambda: rival.initialize_actions("dicomfields_2026c"))
print(own_peak())
"""


def _engine(policy: str) -> tuple[Deidentifier, object]:
    named = Policy.named(policy)
    return Deidentifier(named, Keys(b"k" * 32)), named.scan_policy()


@contextmanager
def _shelf(place: str = "/dev/shm") -> Iterator[Path]:
    with TemporaryDirectory(prefix="flip-bench-", dir=place if Path(place).is_dir() else None) as name:
        yield Path(name).resolve()


def _copies(shelf: Path, modality: str, size: int, count: int) -> list[Path]:
    """Files of one study that differ in their instance's number, UID and position."""
    first = image(modality=modality, study=1, instance=1, size=size)
    paths = []
    for number in range(1, count + 1):
        first.SOPInstanceUID = f"{first.SeriesInstanceUID}.{number}"
        first.InstanceNumber = str(number)
        path = shelf / f"{number:05}.dcm"
        path.write_bytes(encoded(first))
        paths.append(path)
    return paths


def _rates(paths: list[Path], through: Callable[[Path], None]) -> list[float]:
    """Files by second of CPU time, one rate of each repetition."""
    rates = []
    for _ in range(REPEATS):
        began = time.process_time()
        for path in paths:
            through(path)
        rates.append(len(paths) / (time.process_time() - began))
    return rates


def _through(engine: Deidentifier, path: Path, output: Path, scan: object = None) -> None:
    data = memoryview(path.read_bytes())
    chunks = engine.deidentify(data).chunks
    with output.open("wb") as file:
        file.writelines(chunks)
    if scan is not None:
        found = survivors(data, output.read_bytes(), policy=scan)  # type: ignore[arg-type]
        assert not found, found


def _by_rival(path: Path, output: Path) -> None:
    data = dicom_anonymizer(path.read_bytes())
    assert data is not None
    output.write_bytes(data)


def _read_walk_write(path: Path, output: Path) -> None:
    ds = pydicom.dcmread(path)
    ds.walk(lambda *_: None)
    ds.save_as(output)


def _left(paths: list[Path], through: Callable[[Path], bytes | None]) -> int:
    """Values of the table that survive in all outputs, together."""
    counted: Counter[str] = Counter()
    for path in paths:
        output = through(path)
        if output is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                counted.update(left_in(parsed(path.read_bytes()), parsed(output)))
    return counted.total()


def _write_frames(path: Path, size: int) -> None:
    """A CT multi-frame of so many bytes, its pixels written piece by piece."""
    first = image(study=5, size=512)
    frames = size // (512 * 512 * 2)
    frame = bytes(first[0x7FE00010].value)
    first.NumberOfFrames = str(frames)
    head = BytesIO(encoded(first)).getvalue()[: -len(frame)]
    with path.open("wb") as file:
        file.write(head[:-4] + (frames * len(frame)).to_bytes(4, "little"))
        for _ in range(frames):
            file.write(frame)


class _Memory:
    """The most memory of a process and its children at once, in bytes, until the block ends.

    ``own``: without the pages of mapped files, which the kernel drops where it needs room; ``mapped``: with them;
    ``largest``: as ``own``, of the one process that had most.
    """

    def __init__(self, pid: int) -> None:
        self.own = self.mapped = self.largest = 0
        self._process, self._over = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.02):
            try:
                alive = [self._process, *self._process.children(recursive=True)]
            except psutil.Error:
                return
            sizes = [_sizes(one.pid) for one in alive]
            owns = [size["Pss_Anon:"] + size["Pss_Shmem:"] for size in sizes]
            self.own, self.largest = max(self.own, sum(owns)), max(self.largest, *owns)
            self.mapped = max(self.mapped, sum(size["Pss:"] for size in sizes))


def _sizes(pid: int) -> Counter[str]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Counter()
    return Counter({words[0]: int(words[1]) * 1024 for words in (line.split() for line in lines)})
