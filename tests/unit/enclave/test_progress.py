"""What a run's progress says of the memory that its kernels used, and that it says so only where policy lets it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from enclave_scenario import Chamber, Study
from gpu_driver import GIB, GpuDriver

from flipnb.contracts.policy import Policy
from flipnb.contracts.run import Progress
from flipnb.enclave.runner.order import Told, Verdict
from flipnb.enclave.runs import kernel as kernel_module
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.kernel import RunKernel
from flipnb.enclave.runs.progress import ProgressKeeper
from flipnb.enclave.stores.grid import Grid


def test_a_kernel_that_is_started_anew_undoes_no_figure(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path)
    now = [0.0]
    keeper = ProgressKeeper(chamber.store, chamber.run, epochs=None, grid=Grid(0.0, 2.0, lambda: now[0]))
    for eighths in (2, 5, 1, 4):
        keeper.memory(eighths, 4 * GIB)
    for eighths, of_bytes in ((3, 80 * GIB), (6, 16 * GIB), (1, 80 * GIB), (6, 80 * GIB)):
        keeper.gpu(eighths, of_bytes)
    keeper.flush()
    assert chamber.store.outbox.next() is None
    now[0] = 5.0
    keeper.flush()
    stored = chamber.store.runs.get(chamber.run)
    assert stored is not None and stored.progress is not None
    assert stored.progress == Progress(
        seconds=4, memory_bytes=5 * GIB // 2, memory_of_bytes=4 * GIB, gpu_bytes=12 * GIB, gpu_of_bytes=16 * GIB
    )


@pytest.mark.parametrize("memory_use", [True, False])
def test_gpu_memory_is_measured_only_where_policy_lets_it_out(
    memory_use: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = GpuDriver(tmp_path, monkeypatch)
    driver.large.runs((os.getpid(), 15 * GIB))
    chamber = Chamber(Study(), tmp_path / "enclave")
    opened: list[int] = []

    class Runner:
        """Its kernel is this process."""

        pid = os.getpid()
        verdict = Verdict(outcome="finished")

        async def events(self) -> AsyncIterator[Told | Verdict]:
            await asyncio.sleep(0.3)
            opened.append(driver.opened)
            yield self.verdict

    async def start(*_: Any, **__: Any) -> Runner:
        return Runner()

    monkeypatch.setattr(kernel_module.RunnerProcess, "start", start)

    async def scene() -> None:
        directory: Any = SimpleNamespace(
            runs=tmp_path, keys=tmp_path, estate=tmp_path, broker_socket=lambda run: tmp_path / run
        )
        rest: Any = None
        enclave = Enclave(directory, chamber.study.node, chamber.store, chamber.audit, rest, rest)
        stored = chamber.store.runs.get(chamber.run)
        assert stored is not None
        enclave.run_directory(chamber.run).mkdir()
        grid = Grid(0.0, 2.0, lambda: now[0])
        keeper = ProgressKeeper(chamber.store, chamber.run, epochs=None, grid=grid)
        policy = Policy(memory_use=memory_use)
        kernel = RunKernel(enclave, stored, chamber.bundle, policy, rest, keeper, None)
        broker: Any = SimpleNamespace(waiting_seconds=0)
        await kernel._execute(broker)
        now[0] = 2.0
        keeper.flush()

    now = [0.0]
    asyncio.run(scene())
    stored = chamber.store.runs.get(chamber.run)
    assert stored is not None
    if memory_use:
        assert opened == [1]
        assert stored.progress is not None
        assert (stored.progress.gpu_bytes, stored.progress.gpu_of_bytes) == (20 * GIB, 80 * GIB)
    else:
        assert opened == [0]
        assert stored.progress is None
