"""Runs notebooks through real runners and tells how they ended; in this process, or as an ordinary user in a jail."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.policy import KernelLimits
from flipnb.enclave.runner.order import RUNNER_EVENT, RunnerOrder, Verdict
from flipnb.enclave.runner.process import RunnerProcess
from flipnb.enclave.sandbox.jail import RUNTIME, Bind, spawn

MIB = 1 << 20
ORDINARY_UID = 65533
_uids = count(61_000 + os.getpid() % 1000 * 4)


@dataclass
class Outcome:
    events: list[Any]
    notebook: dict[str, Any] | None
    after: dict[str, float] = field(default_factory=dict)
    """Seconds since the cell in question was started, by event."""
    runner_peak: int = 0
    """Largest resident memory of the runner, in bytes."""

    @property
    def verdict(self) -> Verdict:
        return self.events[-1]

    def text(self) -> str:
        """All that the notebook printed."""
        cells = (self.notebook or {"cells": []})["cells"]
        return "".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


def order(*sources: str, limits: dict[str, Any] | None = None, **fields: Any) -> RunnerOrder:
    """An order for code cells; the first gets the tag ``parameters``."""
    cells = tuple(
        Cell(id=f"c{i}", type="code", source=source, tags=("parameters",) if i == 0 else ())
        for i, source in enumerate(sources)
    )
    small = {"memory_bytes": 1024 * MIB, "scratch_bytes": 16 * MIB, "shm_bytes": 16 * MIB}
    return RunnerOrder(
        notebook=FrozenNotebook(cells=cells),
        limits=KernelLimits(**{**small, **(limits or {})}),
        executed=Path(tempfile.gettempdir()) / f"flip-run-{secrets.token_hex(6)}" / "executed.ipynb",
        **fields,
    )


async def execute(one: RunnerOrder, *, stop_at_cell: int | None = None, lent: Callable[[], int] = lambda: 0) -> Outcome:
    one.executed.parent.mkdir(parents=True)
    uid = next(_uids) if os.geteuid() == 0 else None
    runner = await RunnerProcess.start(one, uid=uid, log=None, lent=lent)
    outcome = Outcome([], None)
    sampling = asyncio.create_task(_sample(runner.pid, outcome))
    began = time.monotonic()
    async for event in runner.events():
        outcome.events.append(event)
        if event.event == "cell" and event.state == "started":
            began = time.monotonic()
            if event.index == stop_at_cell:
                await runner.stop()
        outcome.after[event.event] = time.monotonic() - began
    sampling.cancel()
    if one.executed.exists():
        outcome.notebook = json.loads(one.executed.read_text())
    shutil.rmtree(one.executed.parent)
    return outcome


async def _sample(jailer: int, outcome: Outcome) -> None:
    while True:
        for process in psutil.Process(jailer).children(recursive=True):
            try:
                if "flipnb.enclave.runner" in process.cmdline():
                    outcome.runner_peak = max(outcome.runner_peak, process.memory_info().rss)
            except psutil.Error:
                continue
        await asyncio.sleep(0.1)


async def _all(orders: list[RunnerOrder]) -> list[Outcome]:
    return list(await asyncio.gather(*map(execute, orders)))


def drive(*orders: RunnerOrder, ordinary: bool = False) -> list[Outcome]:
    """Execute all orders at once. ``ordinary``: as an ordinary user, to whom a jail shows this directory too."""
    if not ordinary:
        return asyncio.run(_all(list(orders)))
    here = Path(__file__).resolve().parent
    process = spawn(
        [sys.executable, "-P", str(RUNTIME / "tests" / Path(__file__).name), *(o.model_dump_json() for o in orders)],
        uid=ORDINARY_UID,
        visible=[Bind(here, RUNTIME / "tests")],
        stdout=subprocess.PIPE,
        stderr=None,
    )
    output, _ = process.communicate(timeout=120)
    return [
        Outcome([RUNNER_EVENT.validate_python(event) for event in result["events"]], result["notebook"])
        for result in json.loads(output)
    ]


def main() -> None:
    assert os.geteuid() != 0
    orders = [RunnerOrder.model_validate_json(text) for text in sys.argv[1:]]
    outcomes = asyncio.run(_all(orders))
    results = [{"events": [event.model_dump() for event in o.events], "notebook": o.notebook} for o in outcomes]
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
