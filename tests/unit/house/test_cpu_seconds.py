"""The account of CPU seconds: a process is counted while it lives and, once, after it ended."""

from __future__ import annotations

import subprocess
import sys

from cpu_seconds import Reading

BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
SCRIPT = f"""
import subprocess, sys
print(flush=True), input()
subprocess.run([sys.executable, '-c', {BUSY!r}])
print(flush=True), input()
"""


def test_a_childs_child_is_counted_while_it_works_and_once_it_ended():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        readings = []
        for _ in range(3):
            assert child.stdout.readline() == b"\n"
            readings.append(Reading.of(child.pid))
            child.stdin.write(b"\n")
            child.stdin.flush()
    before, alive, ended = readings
    assert 0.45 < alive.since(before) <= ended.since(before) < alive.since(before) + 0.4
    assert ended.since(alive) < 0.4
