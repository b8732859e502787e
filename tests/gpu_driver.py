"""A machine with two GPUs, for tests: NVIDIA's own bindings over a stand-in (gpu_driver.c) of the library they load."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from flipnb.enclave.kernels import gpu

GIB = 1 << 30


class Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu", ctypes.c_uint),
        ("compute", ctypes.c_uint),
    ]


class Gpu(ctypes.Structure):
    _fields_ = [
        ("unsupported", ctypes.c_uint),
        ("running", ctypes.c_uint),
        ("total", ctypes.c_ulonglong),
        ("processes", Process * 4),
    ]

    def runs(self, *processes: tuple[int, int]) -> None:
        """From now on these processes, by pid and bytes used."""
        self.running = len(processes)
        for place, (pid, used) in enumerate(processes):
            self.processes[place] = Process(pid, used)


class GpuDriver:
    """``large`` has 80 GiB, ``small`` 16; nobody uses them yet."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        library, gpus = directory / "libnvidia-ml.so.1", directory / "gpus"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-o", library, source], check=True)
        for address in ("0000:17:00.0", "0000:65:00.0"):
            (gpus / address).mkdir(parents=True)
        self._library = ctypes.CDLL(str(library))
        all_gpus = (Gpu * 2).in_dll(self._library, "gpus")
        all_gpus[:] = [Gpu(total=80 * GIB), Gpu(total=16 * GIB)]
        self.large, self.small = all_gpus
        monkeypatch.setattr(pynvml, "nvmlLib", self._library)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        monkeypatch.setattr(gpu, "_GPUS", gpus)
        monkeypatch.setattr(gpu, "_MACHINE", Path("/proc/self/ns/pid").stat().st_ino)
        monkeypatch.setattr(gpu, "MEASURE_S", 0.01)

    @property
    def opened(self) -> int:
        """How often the library is open."""
        return ctypes.c_int.in_dll(self._library, "opened").value


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
