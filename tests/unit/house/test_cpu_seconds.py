"""The account of CPU seconds: a process is counted while it lives and, once, after it ended."""

from __future__ import annotations

import subprocess
import sys

from cpu_seconds import used

BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
SCRIPT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\nprint(flush=True)\ninput()"


def test_a_childs_child_is_counted_while_it_works_and_once_it_ended():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        told = []
        for _ in range(2):
            assert child.stdout.readline() == b"\n"
            told.append(used(child.pid))
            child.stdin.write(b"\n")
            child.stdin.flush()
    assert 0.49 < told[0] <= told[1] < told[0] + 0.4
