"""What bounds the memory and the processes of a whole run: a control group where there is one, else a watchdog.

Only a control group counts everything (private memory, shared memory, tmpfs, memfd). Version 1 needs root; version 2
needs a delegated subtree (a service unit with ``Delegate=memory pids``).
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import psutil

MIB = 1 << 20
RUNNER_BYTES = 512 * MIB
"""A control group holds the runner too; this much is added for it."""
RUNNER_PROCESSES = 48
OPEN_FILES = 8192
"""What an agent needs to be allowed: a kernel's 1,024, what may be sent at once beyond them, and its own."""
_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "flip-"
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ")


@dataclass(frozen=True)
class ControlGroup:
    """One run's control group.

    ``members`` are the files that a process writes 0 to, to join; ``report`` is the directory with the counters.
    """

    version: Literal[1, 2]
    members: tuple[Path, ...]
    directories: tuple[Path, ...]
    report: Path

    @classmethod
    def create(cls, memory_bytes: int, processes: int, *, root: Path = _ROOT) -> Self | None:
        """A new group below this process's own, or None where this machine or user has none.

        ``memory_bytes`` for the kernel, to which the runner's share is added; ``processes`` likewise.
        """
        memory, tasks = memory_bytes + RUNNER_BYTES, processes + RUNNER_PROCESSES
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        own = _own_groups()
        if (root / "cgroup.controllers").exists():
            return cls._second_version(root / own.get("", "").lstrip("/"), name, memory, tasks)
        return cls._first_version(root, own, name, memory, tasks)

    @classmethod
    def _first_version(cls, root: Path, own: dict[str, str], name: str, memory: int, tasks: int) -> Self | None:
        places = {
            controller: root / controller / own.get(controller, "/").lstrip("/") / name
            for controller in ("memory", "pids")
        }
        for place in places.values():
            _sweep(place.parent)
        made: list[Path] = []
        try:
            for place in places.values():
                place.mkdir()
                made.append(place)
            _write(places["memory"] / "memory.limit_in_bytes", memory)
            swap = places["memory"] / "memory.memsw.limit_in_bytes"
            if swap.exists():
                _write(swap, memory)
            _write(places["pids"] / "pids.max", tasks)
        except OSError:
            _remove(made)
            return None
        directories = tuple(places.values())
        return cls(1, tuple(d / "cgroup.procs" for d in directories), directories, places["memory"])

    @classmethod
    def _second_version(cls, own: Path, name: str, memory: int, tasks: int) -> Self | None:
        # Controllers can be switched on for children of a group without processes only, so the run's group is a
        # sibling of the agent's: the service's delegated group holds both.
        place = own.parent / name
        _sweep(own.parent)
        try:
            with contextlib.suppress(OSError):
                (own.parent / "cgroup.subtree_control").write_text("+memory +pids")
            place.mkdir()
        except OSError:
            return None
        try:
            _write(place / "memory.max", memory)
            _write(place / "pids.max", tasks)
            if (place / "memory.swap.max").exists():
                _write(place / "memory.swap.max", 0)
        except OSError:
            _remove([place])
            return None
        return cls(2, (place / "cgroup.procs",), (place,), place)

    def destroy(self, patience_s: float = 2.0) -> None:
        """Remove the group once its processes are gone."""
        deadline = time.monotonic() + patience_s
        while not _remove(self.directories) and time.monotonic() < deadline:
            time.sleep(0.02)


def raise_open_files() -> None:
    """Let this process have as many open files as it may at all.

    Linux lets a process send no descriptor where its user has more of them in flight than this: a kernel of the same
    user, which may have few files open, would keep the enclave from lending memory to all the others.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def oom_kills(report: Path) -> int:
    """How many processes of a group the kernel ended for want of memory; 0 where ``report`` has no such counter."""
    for file in (report / "memory.events", report / "memory.oom_control"):
        with contextlib.suppress(OSError):
            for line in file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
    return 0


def tree(pid: int) -> list[psutil.Process]:
    """``pid`` and all its descendants; none if it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def eighths(used: int, limit: int) -> int:
    """How many eighths of ``limit`` are used, begun ones counted, and at most all."""
    return min(8, -(-8 * used // limit))


def resident_bytes(pid: int) -> int:
    """Resident memory of ``pid`` and all its descendants, in bytes; 0 if it is gone.

    A page that forked processes share is counted once for each of them: an upper bound, cheap to read.
    """
    return sum(_resident(process) for process in tree(pid))


def proportional_bytes(pid: int) -> int:
    """As ``resident_bytes``, with each shared page counted in parts (PSS); slower by milliseconds a process."""
    total = 0
    for process in tree(pid):
        try:
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except OSError:
            total += _resident(process)
    return total


def used_bytes(pid: int, lent: int, name: str, limit: int) -> int:
    """Memory of ``pid`` and all its descendants and of ``lent`` bytes in memfds called ``name`` that they were lent.

    A kernel fills a memfd without mapping it, where no process's memory shows it: those bytes count whole, and what is
    mapped of them not again. Below ``limit`` it is a cheap upper bound.
    """
    rough = resident_bytes(pid) + lent
    return rough if rough <= limit else proportional_bytes(pid) - _mapped(pid, f"/memfd:{name}") + lent


def _mapped(pid: int, path: str) -> int:
    """What all mappings of ``path`` hold in memory, shared pages in parts (PSS), in bytes."""
    total, of_path = 0, False
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process.pid}/smaps").read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("Pss:"):
                total += (int(line.split()[1]) << 10) * of_path
            elif _MAPPING.match(line):
                of_path = line.split(maxsplit=5)[5:6] == [f"{path} (deleted)"]
    return total


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _own_groups() -> dict[str, str]:
    """Path of this process's group by controller; the unified hierarchy under the empty name."""
    groups: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _sweep(parent: Path) -> None:
    """Remove the empty groups of agents that ended without doing so."""
    for place in parent.glob(f"{_PREFIX}[0-9]*-*"):
        owner = place.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove([place])


def _write(file: Path, value: int) -> None:
    file.write_text(str(value))


def _remove(directories: tuple[Path, ...] | list[Path]) -> bool:
    gone = True
    for directory in directories:
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone
