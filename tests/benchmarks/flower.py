"""The rival: stock Flower 1.41, one SuperLink and SuperNodes with their own processes, without TLS."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from enclave_federation import until

from benchmarks.federation import Model
from benchmarks.processes import cpu_seconds
from flipnb.enclave.sandbox.limits import tree

NAME = "Flower 1.41 SuperLink and SuperNodes, no TLS"
_PROJECT = """
[project]
name = "noop"
version = "1.0.0"
license = { file = "LICENSE" }
dependencies = ["flwr>=1.41.0"]

[tool.flwr.app]
publisher = "bench"
fab-format-version = 1
flwr-version-target = "1.41.0"

[tool.flwr.app.components]
serverapp = "noop.flower_app:server"
clientapp = "noop.flower_app:client"

[tool.flwr.app.config]
nodes = 1
tensors = 1
elements = 1
rounds = 1
sleep = 0.0
evaluate = 1.0
notes = ""
"""
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Noted:
    """Moments (Unix time) that a run's strategy wrote down, and CPU seconds of all processes when each was seen."""

    submitted: float
    notes: list[tuple[str, float]]
    cpu: list[float]

    def moments(self, what: str) -> list[float]:
        return [at for name, at in self.notes if name == what]

    @property
    def train_phases(self) -> list[float]:
        return [b - a for a, b in zip(self.moments("train-begins"), self.moments("train-ends"), strict=True)]

    @property
    def periods(self) -> list[float]:
        ends = self.moments("round-ends")
        return [b - a for a, b in itertools.pairwise(ends)]

    @property
    def cpu_periods(self) -> list[float]:
        at = [cpu for (name, _), cpu in zip(self.notes, self.cpu, strict=True) if name == "round-ends"]
        return [b - a for a, b in itertools.pairwise(at)]

    @property
    def seconds(self) -> float:
        return self.notes[-1][1] - self.submitted


class Flower:
    def __init__(self, directory: Path, nodes: int) -> None:
        self._directory = directory
        self._nodes = nodes
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._runs = 0
        self._env = {
            **os.environ,
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_HOME": str(directory / "home"),
            "PATH": f"{_BIN}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        app = self._directory / "app" / "noop"
        app.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("flower_app.py"), app)
        (app / "__init__.py").touch()
        (app.parent / "pyproject.toml").write_text(_PROJECT)
        (app.parent / "LICENSE").write_text("Apache-2.0\n")
        ports = _free_ports(self._nodes + 1)
        home = self._directory / "home"
        home.mkdir()
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{ports[0]}"\ninsecure = true\n'
        )
        self._daemon(
            "flower-superlink", "--insecure", "--port", str(ports[0]), "--disable-runtime-dependency-installation"
        )
        until(lambda: _serves(ports[0]), 120)
        for port in ports[1:]:
            self._daemon("flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{ports[0]}", "--port", str(port))

    def _daemon(self, *command: str) -> None:
        log = (self._directory / f"{command[0]}-{len(self._daemons)}.log").open("wb")
        with log:
            self._daemons.append(
                subprocess.Popen(
                    [str(_BIN / command[0]), *command[1:]],
                    env=self._env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def close(self) -> None:
        everybody = [p for daemon in self._daemons for p in tree(daemon.pid)]
        for daemon in self._daemons:
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons:
            try:
                daemon.wait(8)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in everybody:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    @property
    def pids(self) -> list[int]:
        return [daemon.pid for daemon in self._daemons]

    def groups(self) -> dict[str, list[psutil.Process]]:
        """``hub``: SuperLink and all below it; one per SuperNode, without its ClientApp processes."""
        groups = {"hub": tree(self._daemons[0].pid)}
        for number, daemon in enumerate(self._daemons[1:]):
            groups[f"node-{number}"] = [p for p in tree(daemon.pid) if not _is_client(p)]
        return groups

    def submit(self, model: Model, rounds: int, *, sleep: float = 0.0, evaluate: float = 1.0) -> tuple[Path, float]:
        self._runs += 1
        notes = self._directory / f"notes-{self._runs}"
        settings = (
            f"nodes={self._nodes} tensors={model.tensors} elements={model.elements} rounds={rounds} "
            f'sleep={sleep:.1f} evaluate={evaluate:.1f} notes="{notes}"'
        )
        began = time.time()
        answer = subprocess.run(
            [str(_BIN / "flwr"), "run", str(self._directory / "app"), "bench", "--run-config", settings],
            env=self._env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return notes, began

    def follow(self, notes: Path, began: float, seconds: float = 900) -> Noted:
        """Until the strategy has ended. Raises AssertionError with the SuperLink's last words where it does not."""
        deadline = time.monotonic() + seconds
        cpu: list[float] = []
        while True:
            lines = notes.read_text().splitlines() if notes.exists() else []
            cpu += [cpu_seconds(self.pids)] * (len(lines) - len(cpu))
            found = [(note["what"], note["at"]) for note in map(json.loads, lines)]
            if found and found[-1][0] == "ends":
                return Noted(began, found, cpu)
            log = (self._directory / "flower-superlink-0.log").read_text()
            assert time.monotonic() < deadline, log[-3000:]
            time.sleep(0.1)

    def run(self, model: Model, rounds: int, *, sleep: float = 0.0, evaluate: float = 1.0) -> Noted:
        return self.follow(*self.submit(model, rounds, sleep=sleep, evaluate=evaluate))


def _is_client(process: psutil.Process) -> bool:
    try:
        return any("flwr-clientapp" in word for word in process.cmdline())
    except psutil.Error:
        return True


def _serves(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=10).is_success
    except httpx.TransportError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def flower(nodes: int) -> Iterator[Flower]:
    """Up while the block runs; gone, with its files, whatever ends it."""
    directory = Path("build/bench/flower").absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made = Flower(directory, nodes)
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
