"""What a kernel sees of /proc: its own processes, and constants where Linux would tell of the whole machine.

Whatever counts for all processes together (open files, free memory, interrupts, load) is a line between two runs at
once: one of them opens files, the other reads how many are open (64 of 64 bits came through ``file-nr``). So nothing
of /proc is seen but what belongs to a process, however new the machine's Linux is: every other file is closed, every
other directory empty. The few files that libraries can't do without say the same at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from flipnb.contracts.policy import KernelLimits

PROC = Path("/proc")
_CHANGING = re.compile(r"^(?:cpu MHz|bogomips)\s*:")


def constants(limits: KernelLimits, processors: int | None = None) -> dict[Path, bytes]:
    """The files that say a constant: memory as the run's own limit, all of it free; no load, no time, no interrupts.

    ``processors`` is how many the machine has.
    """
    number = processors or os.cpu_count() or 1
    kilobytes = limits.memory_bytes >> 10
    memory = {
        "MemTotal": kilobytes, "MemFree": kilobytes, "MemAvailable": kilobytes, "Buffers": 0, "Cached": 0,
        "SwapCached": 0, "Active": 0, "Inactive": 0, "SwapTotal": 0, "SwapFree": 0, "Shmem": 0, "Slab": 0,
        "SReclaimable": 0,
    }  # fmt: skip
    idle = " 0" * 10
    stat = [f"cpu {idle}", *(f"cpu{index}{idle}" for index in range(number))]
    stat += ["intr 0", "ctxt 0", "btime 0", "processes 0", "procs_running 1", "procs_blocked 0", "softirq 0"]
    text = {
        "cpuinfo": _cpuinfo(),
        "loadavg": "0.00 0.00 0.00 1/1 1\n",
        "meminfo": "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in memory.items()),
        "stat": "\n".join(stat) + "\n",
        "uptime": "0.00 0.00\n",
        "vmstat": "pswpin 0\npswpout 0\n",
    }
    return {PROC / name: content.encode() for name, content in text.items()}


def covers(limits: KernelLimits) -> Iterator[str]:
    """bubblewrap's arguments that cover everything else; to follow ``--proc``."""
    said = constants(limits)
    for place in sorted(PROC.iterdir()):
        # The links lead to what belongs to the process itself.
        if place.name.isdigit() or place.is_symlink() or place in said:
            continue
        if place.is_dir():
            yield from ("--perms", "0555", "--size", "4096", "--tmpfs", str(place), "--remount-ro", str(place))
        else:
            yield from ("--ro-bind", os.devnull, str(place))


def _cpuinfo() -> str:
    """The machine's processors without their present clock."""
    lines = (PROC / "cpuinfo").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not _CHANGING.match(line))
