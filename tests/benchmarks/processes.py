"""What process trees use: CPU seconds, and memory sampled while something runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from flipnb.enclave.sandbox.limits import tree

GB = 1e9


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all processes below ``pids`` that live now, and of children that they waited for."""
    total = 0.0
    for process in {p for pid in pids for p in tree(pid)}:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(processes: Iterable[psutil.Process]) -> int:
    """Bytes of physical memory: the processes' PSS, and what their open memfds hold.

    A memfd that is open but not mapped is in no PSS, yet takes memory; one that is mapped is not counted twice.
    """
    own = shared = 0
    held: dict[int, int] = {}
    for process in processes:
        place = Path(f"/proc/{process.pid}")
        try:
            lines = (line.split() for line in (place / "smaps_rollup").read_text().splitlines()[1:])
            sizes = {words[0]: int(words[1]) * 1024 for words in lines}
            own += sizes["Pss:"] - sizes["Pss_Shmem:"]
            shared += sizes["Pss_Shmem:"]
            for descriptor in (place / "fd").iterdir():
                if str(descriptor.readlink()).startswith("/memfd:"):
                    status = descriptor.stat()
                    held[status.st_ino] = status.st_blocks * 512
        except (OSError, ProcessLookupError):
            continue
    return own + max(shared, sum(held.values()))


def own_peak() -> int:
    """The most physical memory that this process has held, in bytes (VmHWM).

    Not ``ru_maxrss``: that one begins with what the parent held when it started this process.
    """
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == "VmHWM:")


class PeakMemory:
    """Samples named groups of processes until the block ends; ``peaks`` has each group's highest sum in bytes."""

    def __init__(self, groups: Callable[[], dict[str, list[psutil.Process]]], seconds: float = 0.1) -> None:
        self._groups, self._seconds = groups, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def forget(self) -> None:
        self.peaks = {}

    def _sample(self) -> None:
        while not self._over.wait(self._seconds):
            for name, processes in self._groups().items():
                self.peaks[name] = max(self.peaks.get(name, 0), memory(processes))
