"""What text from outside can do to a log's lines, and how large logs get."""

import json
import logging
import os
import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from flipnb.files import logs
from flipnb.files.logs import JsonLines, open_log


@given(st.text(), st.text(), st.dictionaries(st.text(min_size=1).map(lambda name: f"x{name}"), st.text(), max_size=3))
def test_a_record_is_one_line_whatever_it_says(logger, text, extra):
    record = logging.getLogger(logger).makeRecord(logger, logging.WARNING, "", 0, text, (), None, extra=extra)
    line = JsonLines().format(record)
    assert line.isascii()
    assert not set("\n\r\x0b\x0c\x1c\x85") & set(line)
    said = json.loads(line)
    assert (said["event"], said["logger"], said["level"]) == (text, logger, "warning")
    assert extra.items() <= said.items()


def test_a_log_that_another_process_writes_is_rotated_when_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_BYTES", 100)
    path = tmp_path / "logs" / "worker.log"
    for number in range(8):
        with open_log(path) as log:
            subprocess.run([sys.executable, "-c", f"print('{number}' * 60)"], stdout=log, check=True)
    kept = {file.name: file.read_text()[0] for file in sorted(path.parent.iterdir())}
    assert kept == {"worker.log": "6", "worker.log.1": "4", "worker.log.2": "2", "worker.log.3": "0"}
    for _ in range(8):
        with open_log(path) as log:
            log.write(b"x" * 100)
    assert len(list(path.parent.iterdir())) == 5


def test_a_process_rotates_the_log_that_it_owns(tmp_path):
    program = (
        "import logging, sys; from pathlib import Path; from flipnb.files import logs\n"
        "logs.MOST_BYTES = 5000; logs.log_to(Path(sys.argv[1]))\n"
        "for number in range(400): logging.getLogger('a').info('line', extra={'number': number})\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "logs" / "own.log")], check=True)
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["own.log", "own.log.1", "own.log.2", "own.log.3", "own.log.4"]
    assert all(file.stat().st_size <= 5000 for file in files)
    lines = [json.loads(line) for file in reversed(files) for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(400 - len(lines), 400))


def test_a_log_that_other_processes_write_is_rotated_while_they_run(tmp_path, monkeypatch):
    """Two at once, by descriptors that they were given; each line is whole, and at most what is cut is lost."""
    monkeypatch.setattr(logs, "MOST_BYTES", 20_000)
    path = tmp_path / "estate-worker.log"
    program = (
        "import os, sys, time\n"
        "for number in range(2000):\n"
        "    os.write(1, (sys.argv[1] * 60 + '\\n').encode())\n"
        "    if number % 20 == 0: time.sleep(0.01)\n"
    )
    with logs.logs_kept((tmp_path, "*.log"), every_s=0.02):
        with open_log(path) as log:
            both = [subprocess.Popen([sys.executable, "-c", program, letter], stdout=log) for letter in "ab"]
        assert [process.wait() for process in both] == [0, 0]
    files = sorted(tmp_path.iterdir())
    assert 2 <= len(files) <= 5
    assert sum(file.stat().st_size for file in files) < 2 * 2000 * 61
    assert path.stat().st_size < 2 * 20_000 and all(file.stat().st_size < 10 * 20_000 for file in files)
    assert {line for file in files for line in file.read_text().splitlines()} == {"a" * 60, "b" * 60}


def test_logs_of_long_ago_are_deleted_and_a_processs_own_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_BYTES", 100)
    own = tmp_path / "hub.log"
    for name in ("hub.log", "coordinator-old.log", "coordinator-old.log.1", "coordinator-new.log", "state.sqlite"):
        (tmp_path / name).write_bytes(b"x" * 200)
    long_ago = time.time() - (logs.KEPT_DAYS + 1) * 86_400
    for name in ("hub.log", "coordinator-old.log.1", "state.sqlite"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / "coordinator-old.log").write_bytes(b"x")
    os.utime(tmp_path / "coordinator-old.log", (long_ago, long_ago))
    with logs.logs_kept((tmp_path, "*.log"), own=own):
        pass
    left = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert left == {"hub.log": 200, "state.sqlite": 200, "coordinator-new.log": 0, "coordinator-new.log.1": 200}
