"""Two runs of one Trust that would talk to each other: what Linux counts for all processes tells neither anything.

One run opens files, fills memory, forks and locks where its bit is 1; the other looks at everything that might show it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from drive_runner import MIB, drive, order

pytestmark = pytest.mark.timeout(120)

SLOT_S = 0.08
BITS = [bit for bit in (0, 1) for _ in range(32)]
random.Random(16).shuffle(BITS)
GUESSED = 46
"""Of 64 bits; who throws a coin is right more often in 1 of 4,000 games."""

COMMON = """
import ctypes, fcntl, json, mmap, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
SHARED = os.path.realpath(json.__file__)
def wait(slot, part):
    time.sleep(max(0, BEGIN + (slot + part) * SLOT_S - time.time()))
"""

SENDER = """
for slot, bit in enumerate(BITS):
    wait(slot, 0)
    if not bit:
        continue
    shared = open(SHARED, "rb")
    for lock in (lambda: fcntl.flock(shared, fcntl.LOCK_EX),
                 lambda: fcntl.fcntl(shared, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))):
        try:
            lock()
        except OSError:
            pass
    held = [open("/dev/null") for _ in range(600)]
    held += [socket.socket(socket.AF_UNIX) for _ in range(300)]
    memory = mmap.mmap(-1, 16 << 20)
    memory.write(bytes(16 << 20))
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    wait(slot, 0.9)
    os.kill(child, 9)
    shared.close()
    for one in held:
        one.close()
    memory.close()
    os.wait()
print("sent")
"""

RECEIVER = """
def field(path, name):
    return lambda: int(open(path).read().split(name)[1].split()[0])
def word(path, place):
    return lambda: int(open(path).read().split()[place])
def system(place):
    def look():
        told = (ctypes.c_long * 16)()
        if libc.sysinfo(told) < 0:
            raise OSError(ctypes.get_errno(), "denied")
        return told[place]
    return look
shared = open(SHARED, "rb")
def flocked():
    fcntl.flock(shared, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(shared, fcntl.LOCK_UN)
    return 0
def locked():
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    return struct.unpack("hhqqi4x", fcntl.fcntl(shared, 5, asked))[0]
watch = libc.inotify_init1(os.O_NONBLOCK)
if watch >= 0:
    libc.inotify_add_watch(watch, SHARED.encode(), 0x20)
def watched():
    if watch < 0:
        raise OSError("denied")
    try:
        return len(os.read(watch, 65536))
    except BlockingIOError:
        return 0
def cached():
    asked = bytearray(struct.pack("QQIIII", 0, 2**63 - 1, 0, 0, 8, 0) + bytes(8 * 56))
    fcntl.ioctl(shared, 0xC020662A, asked, True)  # EXT4_IOC_GET_ES_CACHE
    return struct.unpack_from("QQIIII", asked)[3]
def mapped():
    last = struct.pack("II7Q", 2**32 - 1, 2**32 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1, 0, 0, 0, 0)
    asked = bytearray(struct.pack("IIII6Q", 0, 0, 0, 0, *[0] * 6) + bytes(64) + last)
    fcntl.ioctl(shared, 0xC0C0583B, asked, True)  # FS_IOC_GETFSMAP
    return struct.unpack_from("IIII", asked)[3]
def hinted():
    return struct.unpack("Q", fcntl.fcntl(shared, 1035, bytes(8)))[0]  # F_GET_RW_HINT
def terminal():
    descriptor = os.open("/dev/ptmx", os.O_RDWR)
    os.close(descriptor)
    return 0
SENSORS = {
    "es-cache": cached,
    "fsmap": mapped,
    "rw-hint": hinted,
    "terminal": terminal,
    "file-nr": word("/proc/sys/fs/file-nr", 0),
    "inode-nr": word("/proc/sys/fs/inode-nr", 0),
    "meminfo": field("/proc/meminfo", "MemFree:"),
    "vmstat": field("/proc/vmstat", "nr_free_pages"),
    "stat": field("/proc/stat", "procs_running"),
    "forks": field("/proc/stat", "processes"),
    "loadavg": lambda: int(open("/proc/loadavg").read().split("/")[1].split()[0]),
    "buddyinfo": lambda: sum(int(n) for n in open("/proc/buddyinfo").read().split() if n.isdigit()),
    "sysinfo": system(5),
    "statfs": lambda: os.statvfs("/usr/lib").f_bfree,
    "flock": flocked,
    "getlk": locked,
    "inotify": watched,
}
readings = {name: [] for name in SENSORS}
for slot in range(len(BITS)):
    wait(slot, 0.7)
    for name, look in SENSORS.items():
        try:
            readings[name].append(look())
        except BlockingIOError:
            readings[name].append(1)
        except (OSError, IndexError):
            readings[name].append(None)
print(json.dumps(readings))
"""


def head(begin: float) -> str:
    return f"BEGIN, SLOT_S, BITS = {begin!r}, {SLOT_S!r}, {BITS!r}\n{COMMON}"


def right(values: list[float | None]) -> int:
    """How many bits the best threshold over the readings tells rightly; 32 of readings that are all the same."""
    known = [0 if value is None else value for value in values]
    best = 32
    for threshold in sorted(set(known)):
        hits = sum((value >= threshold) == bool(bit) for value, bit in zip(known, BITS, strict=True))
        best = max(best, hits, len(BITS) - hits)
    return best


class Player:
    """A part of the game as a process of its own, which waits for a word where it would wait for a time."""

    def __init__(self, part: str) -> None:
        told = "def wait(slot, part):\n    print('ready', flush=True)\n    sys.stdin.readline()\n"
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"{head(0)}\n{told}{part}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = self._next()

    def go_on(self) -> None:
        """Returns when it waits again, or has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.said = self._next()

    def _next(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_outside_of_sandboxes_the_game_is_won() -> None:
    """Else the next test would show nothing."""
    sender, receiver = Player(SENDER), Player(RECEIVER)
    for bit in BITS:
        sender.go_on()
        receiver.go_on()
        if bit:
            sender.go_on()
    scores = {name: right(values) for name, values in json.loads(receiver.said).items()}
    sender.close()
    receiver.close()
    # The machine's other processes open files, too.
    assert max(scores["file-nr"], scores["inode-nr"]) > GUESSED, scores
    assert (scores["flock"], scores["getlk"], scores["inotify"]) == (64, 64, 64), scores


def test_two_runs_tell_each_other_nothing() -> None:
    begin = time.time() + 8
    sender, receiver = drive(order("a = 1", head(begin) + SENDER), order("a = 1", head(begin) + RECEIVER))
    assert sender.text() == "sent\n", sender.notebook
    readings = json.loads(receiver.text())
    denied = {name for name, values in readings.items() if set(values) == {None}}
    scores = {name: right(values) for name, values in readings.items()}
    assert max(scores.values()) < GUESSED, scores
    denied_to_all = {"file-nr", "inode-nr", "vmstat", "buddyinfo", "sysinfo", "statfs", "flock", "getlk", "inotify"}
    assert denied == denied_to_all | {"es-cache", "fsmap", "rw-hint", "terminal"}
    # What libraries can't do without says always the same.
    assert {name for name, values in readings.items() if len(set(values)) > 1} == set(), readings


LOOK = """
import json, os, time
def read(path):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return type(error).__name__
    try:
        return os.read(descriptor, 1 << 18).decode(errors="replace")
    except OSError as error:
        return type(error).__name__
    finally:
        os.close(descriptor)
def look():
    found = {}
    for top in ("/proc", "/sys", f"/proc/{os.getpid()}/net"):
        for place, folders, files in os.walk(top):
            if place == "/proc":
                folders[:] = [name for name in folders if not name.isdigit()]
            found.update((f"{place}/{name}", read(f"{place}/{name}")) for name in files)
    return found
before = look()
time.sleep(2)
after = look()
print(json.dumps([len(after), sorted(name for name in after if after[name] != before.get(name))]))
"""
NETWORK = {"protocols", "sockstat", "softnet_stat"}
"""Of /proc/PID/net, which can't be covered: how busy the machine's network is. A kernel has none to be busy with."""


@contextlib.contextmanager
def noisy_neighbour() -> Iterator[None]:
    """Opens files, pipes and sockets, fills memory, starts processes, all the time."""
    over = threading.Event()

    def make_noise() -> None:
        while not over.wait(0.05):
            with contextlib.ExitStack() as held:
                for _ in range(50):
                    for descriptor in os.pipe():
                        held.callback(os.close, descriptor)
                memory = held.enter_context(mmap.mmap(-1, 32 * MIB))
                memory.write(bytes(32 * MIB))
                subprocess.run(["/bin/true"], check=True)
                over.wait(0.1)

    thread = threading.Thread(target=make_noise)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_no_file_in_a_sandbox_changes_with_a_noisy_neighbour() -> None:
    with noisy_neighbour():
        (outcome,) = drive(order("a = 1", LOOK))
    files, changed = json.loads(outcome.text())
    assert files > 20 and [path for path in changed if path.rpartition("/")[2] not in NETWORK] == []
