"""A real kernel's processes are found among a GPU's, through the process namespaces of its jail and its sandbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from gpu_driver import GIB, GpuDriver

from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.policy import KernelLimits
from flipnb.enclave.kernels.gpu import gpus_watched
from flipnb.enclave.runner.order import RunnerOrder
from flipnb.enclave.runner.process import RunnerProcess

MIB = 1 << 20
LIMITS = KernelLimits(memory_bytes=512 * MIB, scratch_bytes=16 * MIB, shm_bytes=16 * MIB)
UID = 60_900 if os.geteuid() == 0 else None


def test_the_kernels_own_processes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = GpuDriver(tmp_path, monkeypatch)
    source = (
        "import multiprocessing, time\nmultiprocessing.Process(target=time.sleep, args=(60,)).start()\ntime.sleep(60)"
    )
    notebook = FrozenNotebook(cells=(Cell(id="a", type="code", source=source, tags=("parameters",)),))
    told: list[tuple[int, int]] = []

    async def scene() -> None:
        order = RunnerOrder(notebook=notebook, limits=LIMITS, executed=tmp_path / "executed.ipynb")
        runner = await RunnerProcess.start(order, uid=UID, log=None)
        with gpus_watched(runner.pid, lambda *rise: told.append(rise)):
            async for event in runner.events():
                if event.event == "cell":
                    kernel, worker = await _processes(runner.pid)
                    driver.large.runs((kernel, 15 * GIB), (os.getpid(), 60 * GIB))
                    await _until(lambda: told == [(2, 80 * GIB)])
                    driver.large.runs((kernel, 15 * GIB), (worker, 10 * GIB), (os.getpid(), 50 * GIB))
                    await _until(lambda: told == [(2, 80 * GIB), (3, 80 * GIB)])
                    await runner.stop(0.5)

    asyncio.run(scene())
    assert told == [(2, 80 * GIB), (3, 80 * GIB)]


async def _processes(jail: int) -> tuple[int, int]:
    """The kernel, and the process that it started, by the machine's numbers."""
    while True:
        for process in psutil.Process(jail).children(recursive=True):
            started = process.children()
            if "launcher.py" in " ".join(process.cmdline()[:4]) and started:
                return process.pid, started[0].pid
        await asyncio.sleep(0.05)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
