"""What a hostile notebook can do inside a real sandbox: nothing outside it, and nothing to its runner.

As root each case runs twice: with an unprivileged uid given by root, and wholly as an ordinary user.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from drive_runner import MIB, drive, order

from flipnb.contracts.failure import ERROR_CLASSES

pytestmark = pytest.mark.timeout(60)

IDENTITIES = [False, True] if os.geteuid() == 0 else [False]
identity = pytest.mark.parametrize("ordinary", IDENTITIES, ids=["native", "ordinary"][: len(IDENTITIES)])

WALLS = """
import ctypes, errno, json, os, resource, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
found = {}
def attempt(name, action):
    try:
        action()
        found[name] = "worked"
    except BaseException as error:
        found[name] = type(error).__name__
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "denied")
for family in (2, 10, 16, 17, 38, 40):
    attempt(f"family {family}", lambda: socket.socket(family, socket.SOCK_DGRAM))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", 80), 1))
for path in OUTSIDE:
    attempt(f"path {path}", lambda: os.stat(path))
for place in ("/", "/opt/site", "/opt/flip", "/dev", "/run", "/usr/lib", "/data", "/proc/sys/kernel"):
    attempt(f"write {place}", lambda: open(place + "/planted", "w"))
attempt("write cohort", lambda: open("/data/cohort.duckdb", "r+b"))
attempt("write core_pattern", lambda: open("/proc/sys/kernel/core_pattern", "w"))
attempt("userns", lambda: call(272, 0x10000000))
attempt("userns by clone", lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))
attempt("ptrace", lambda: call(101, 16, os.getppid(), 0, 0))
attempt("keyctl", lambda: call(250, 0, -3, 0))
attempt("io_uring", lambda: call(425, 1, 0))
attempt("mount", lambda: call(165, b"none", b"/scratch", b"tmpfs", 0, 0))
attempt("raise a limit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))
attempt("setuid", lambda: os.setuid(0))
attempt("kill all", lambda: os.kill(2**22 - 1, 9))
ctypes.CDLL(None).prctl(4, 1)
status = dict(l.split(":\\t", 1) for l in open("/proc/self/status").read().splitlines() if ":\\t" in l)
found["capabilities"] = status["CapEff"].strip("0") + status["CapBnd"].strip("0")
found["uid"] = os.getuid()
found["processes"] = sorted(int(p) for p in os.listdir("/proc") if p.isdigit())
links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
found["descriptors"] = sorted(os.readlink(link) for link in links if os.path.lexists(link))
found["commands"] = open("/proc/1/cmdline", "rb").read().decode()
found["environment"] = open("/proc/1/environ", "rb").read().decode()
found["interfaces"] = [l.split(":")[0].strip() for l in open("/proc/net/dev").read().splitlines()[2:]]
found["unix"] = len(open("/proc/net/unix").read().splitlines())
found["mounts"] = open("/proc/self/mountinfo").read()
found["hostname"] = os.uname().nodename
found["cohort"] = open("/data/cohort.duckdb").read()
broker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); broker.connect(os.environ["FLIP_BROKER"])
found["broker"] = "connected"
found["flipnb"] = sorted(os.listdir("/opt/flip/flipnb"))
print(json.dumps(found))
"""


@identity
def test_walls(ordinary: bool, tmp_path: Path) -> None:
    keys, other = tmp_path / "keys", tmp_path / "runs" / "other"
    for place in (keys, other):
        place.mkdir(parents=True)
        (place / "secret").write_text("secret")
    outside = [
        "/etc",
        "/etc/passwd",
        "/home",
        "/root",
        "/sys",
        "/var",
        "/usr/bin",
        "/bin/sh",
        "/opt/flip/flipnb/enclave",
    ]
    outside += [str(tmp_path), str(keys / "secret"), str(other / "secret"), os.path.expanduser("~"), os.getcwd()]
    fields = {}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if ordinary:
        # The driver's jail has files of its own only; its /tmp is empty, so cohort and broker stay out of this case.
        source = WALLS.replace('found["cohort"] = open("/data/cohort.duckdb").read()\n', "")
        source = source[: source.index("broker =")] + source[source.index('found["flipnb"]') :]
    else:
        cohort = tmp_path / "frozen"
        cohort.mkdir()
        (cohort / "cohort.duckdb").write_text("cohort")
        broker = Path("/tmp") / f"flip-{os.getpid()}.sock"
        broker.unlink(missing_ok=True)
        listener.bind(str(broker))
        listener.listen()
        fields, source = {"cohort": cohort, "broker": broker}, WALLS
    try:
        (outcome,) = drive(order("a = 1", f"OUTSIDE = {outside!r}\n{source}", **fields), ordinary=ordinary)
    finally:
        listener.close()
        if not ordinary:
            broker.unlink()
    assert outcome.verdict.outcome == "finished", outcome.verdict
    found = json.loads(outcome.text())
    worked = [name for name, result in found.items() if result == "worked"]
    assert worked == []
    assert found["capabilities"] == "" and found["uid"] == 1000 and found["hostname"] == "enclave"
    assert found["interfaces"] in ([], ["lo"])
    assert found["processes"][:2] == [1, 2] and len(found["processes"]) <= 3
    assert "bind" not in found["commands"] and "PYTHON" not in found["environment"]
    assert str(keys) not in found["mounts"] and str(other) not in found["mounts"]
    assert set(found["flipnb"]) == {"__init__.py", "contracts", "records", "session"}
    assert not [name for name in found["descriptors"] if "secret" in name or name.startswith(os.getcwd())]
    if not ordinary:
        assert found["cohort"] == "cohort" and found["broker"] == "connected"
        assert found["unix"] < 40


@identity
def test_failures_leave_as_class_cell_and_line(ordinary: bool) -> None:
    raising = "def f():\n    raise ValueError('patient 4711')\n\n\nf()"
    chained = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('patient 4711')"
    named = "class KernelDied(Exception): pass\n\nraise KernelDied('patient 4711')"
    syntax = "x = 1\ny = = 2"
    ending = "import os, signal\nprint('a')\n"
    outcomes = drive(
        order("a = 1", "\n", raising),
        order("a = 1", chained),
        order("a = 1", named),
        order("a = 1", syntax),
        order("a = 1", "1", ending + "os._exit(3)"),
        order("a = 1", ending + "os.kill(os.getpid(), signal.SIGSEGV)"),
        order("a = 1", ending + "import ctypes; ctypes.string_at(0)"),
        order("a = 1", "open('/scratch/big', 'wb').write(bytes(64 << 20))"),
        ordinary=ordinary,
    )
    verdicts = [o.verdict for o in outcomes]
    told = [(v.error_class, v.cell, v.line, v.reason, v.status) for v in verdicts]
    assert told == [
        ("ValueError", 3, 5, None, None),
        ("KeyError", 2, 4, None, None),
        ("Exception", 2, 3, None, None),
        ("SyntaxError", 2, 2, None, None),
        ("KernelDied", 3, None, "exit", 3),
        ("KernelDied", 2, None, "signal", 139),
        ("KernelDied", 2, None, "signal", 139),
        ("ScratchFull", 2, 1, None, None),
    ]
    for outcome in outcomes:
        told_all = "".join(event.model_dump_json() for event in outcome.events)
        assert "4711" not in told_all and "'a'" not in told_all
        assert outcome.verdict.error_class in ERROR_CLASSES
    # What the data controller may see is kept inside.
    assert "4711" in json.dumps(outcomes[0].notebook)


def test_a_dead_kernel_is_noticed_within_two_seconds() -> None:
    outcomes = drive(
        order("a = 1", "import os; os._exit(0)"),
        order("a = 1", "import os; os.kill(os.getpid(), 9)"),
    )
    for outcome, status in zip(outcomes, (0, 137), strict=True):
        assert (outcome.verdict.error_class, outcome.verdict.status) == ("KernelDied", status)
        assert outcome.after["verdict"] < 4  # two seconds, and a busy machine


MEMORY = """
import mmap
kept = []
while True:
    block = mmap.mmap(-1, 64 << 20)
    block.write(b"x" * (64 << 20))
    kept.append(block)
"""


@identity
def test_memory_beyond_the_limit(ordinary: bool) -> None:
    """Shared memory passes RLIMIT_DATA: only a control group (as root) or the watchdog (otherwise) stops it."""
    small = {"memory_bytes": 512 * MIB}
    private, shared = drive(
        order("a = 1", "x = bytearray(8 << 30)", limits=small),
        order("a = 1", MEMORY, limits=small),
        ordinary=ordinary,
    )
    assert (private.verdict.error_class, private.verdict.line) == ("MemoryError", 1)
    assert (shared.verdict.error_class, shared.verdict.cell, shared.verdict.reason) == ("OutOfMemory", 2, "memory")


def test_forever_ends_at_its_time() -> None:
    deaf = (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    )
    outcomes = drive(
        order("a = 1", deaf + "while True: pass", limits={"wall_seconds": 3}),
        order("a = 1", "import time", "time.sleep(60)", limits={"cell_seconds": 1}),
        order("a = 1", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", limits={"wall_seconds": 3}),
        order("a = 1", deaf + "while True: pass", limits={"cpu_seconds": 2}),
    )
    told = [(o.verdict.error_class, o.verdict.cell, o.verdict.reason) for o in outcomes]
    assert told == [
        ("TimeLimit", 2, "wall-time"),
        ("TimeLimit", 3, "cell-time"),
        ("TimeLimit", 2, "wall-time"),
        ("TimeLimit", 2, "cpu-time"),
    ]
    assert max(o.after["verdict"] for o in outcomes) < 15


def test_floods_of_output_end_the_kernel_and_not_the_runner() -> None:
    small = {"output_bytes": 2 * MIB}
    frames = (
        "from IPython import get_ipython\n"
        "s = get_ipython().kernel.iopub_socket\n"
        "while True: s.send_multipart([b'x' * 1000] * 50)"
    )
    outcomes = drive(
        order("a = 1", "while True: print('x' * 1000)", limits=small),
        order("a = 1", "import time\nprint('x' * (100 << 20), flush=True)\ntime.sleep(30)", limits=small),
        order("a = 1", frames, limits=small),
        order("a = 1", "from IPython.display import display\nfor i in range(10**6): display(1)", output_messages=500),
    )
    told = [(o.verdict.error_class, o.verdict.cell, o.verdict.reason) for o in outcomes]
    assert told == [
        ("OutputLimit", 2, "output-bytes"),
        ("OutputLimit", 2, "output-bytes"),
        ("Exception", 2, "bad-message"),
        ("OutputLimit", 2, "output-messages"),
    ]
    assert max(o.runner_peak for o in outcomes) < 300 * MIB
    assert max(o.after["verdict"] for o in outcomes) < 25


def test_many_honest_outputs_are_kept() -> None:
    (outcome,) = drive(
        order(
            "a = 1",
            "from IPython.display import display\nfor i in range(3000): display(i)",
            "for i in range(20000): print(i)",
        )
    )
    assert outcome.verdict.outcome == "finished"
    shown = outcome.notebook["cells"][1]["outputs"]
    assert len(shown) == 3000 and shown[-1]["data"]["text/plain"] == ["2999"]
    assert outcome.text().endswith("19999\n")


FORKS = """
import os, time
made = 0
try:
    while made < 2000:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except BlockingIOError:
    print("stopped at", made < 64)
"""


@identity
def test_a_fork_bomb_is_contained(ordinary: bool) -> None:
    (outcome,) = drive(order("a = 1", FORKS, limits={"processes": 64}), ordinary=ordinary)
    assert outcome.verdict.outcome == "finished"
    assert outcome.text() == "stopped at True\n"


def test_torch_trains_with_workers_inside() -> None:
    source = """
import torch
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.arange(64.0).reshape(-1, 1))
total = sum(float(x.sum()) for (x,) in DataLoader(data, batch_size=8, num_workers=2))
weight = torch.zeros(1, requires_grad=True)
(weight * 2).sum().backward()
print(total, weight.grad.item(), torch.get_num_threads())
"""
    (outcome,) = drive(order("a = 1", source, limits={"memory_bytes": 4096 * MIB, "shm_bytes": 64 * MIB, "threads": 1}))
    assert outcome.verdict.outcome == "finished", (outcome.verdict, json.dumps(outcome.notebook)[-2000:])
    assert outcome.text() == "2016.0 2.0 1\n"


def test_nothing_outlives_a_run() -> None:
    """Neither processes that left their session, nor files, nor control groups."""
    source = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n"
        "    os.execv('/opt/python/bin/python', ['flip-left-behind', '-c', 'import time; time.sleep(60)'])"
    )
    (outcome,) = drive(order("a = 1", source))
    assert outcome.verdict.outcome == "finished"
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and _running("flip-left-behind"):
        time.sleep(0.05)
    assert not _running("flip-left-behind")


def _running(name: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(name.encode()):
                return True
        except OSError:
            continue
    return False
