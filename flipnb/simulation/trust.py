"""One simulated Trust: a twin of its own, an airlock and a broker as in an enclave, and a kernel without a sandbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.outputs import Part
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.policy import MIB, KernelLimits, Policy
from flipnb.contracts.problem import FlipError, Problem
from flipnb.contracts.round import RoundContext
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.enclave.airlock.door import LoneDoor
from flipnb.session.enclave import BROKER, COHORT
from flipnb.simulation.kernel import KernelOrder
from flipnb.twin import Marginals, make

POLICY = Policy(
    per_trust_metrics=True,
    individual_updates=True,
    minimum_trusts=1,
    minimum_train=1,
    kernel=KernelLimits(memory_bytes=2048 * MIB),
)
"""Every figure of a twin may be seen. A kernel's memory bounds the state alone that it may save: it has no sandbox."""

_GRACE_S = 30.0


class SimulatedTrust:
    """``people`` synthetic persons, drawn with ``seed`` from ``marginals`` or the schema; files in ``directory``."""

    def __init__(
        self, name: str, directory: Path, socket: Path, *, people: int, seed: int, marginals: Marginals | None = None
    ) -> None:
        self.name, self.size = name, people
        self._marginals = marginals
        self.key = SigningKey.generate()
        self._directory, self._socket, self._seed = directory, socket, seed
        self._misbehaved: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._door: LoneDoor | None = None
        self._refused: dict[tuple[str, int], str] = {}
        directory.mkdir(parents=True)

    def start(self, run: str, bundle: Bundle, values: Mapping[str, Scalar], files: Path) -> None:
        """Draw the twin, open the airlock and start the notebook; ``files`` is the folder of what goes with it."""
        cohort = self._directory / "twin"
        make(bundle.dataset, bundle.split, cohort, people=self.size, seed=self._seed, marginals=self._marginals)
        self._door = LoneDoor(
            self._directory,
            self._socket,
            run=run,
            bundle=bundle,
            point=values,
            people=_parts(cohort),
            key=self.key,
            policy=POLICY,
            peer=os.geteuid(),
            misbehaviour=self._misbehave,
        )
        scratch = self._directory / "scratch"
        scratch.mkdir()
        order = KernelOrder(
            notebook=bundle.notebook,
            values=dict(values),
            executed=str(self._directory / "executed.ipynb"),
            folder=str(scratch),
            files=str(files),
            problem=str(self._directory / "problem.json"),
        )
        path = self._directory / "order.json"
        path.write_text(order.model_dump_json())
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = {**os.environ, **one, BROKER: str(self._socket), COHORT: str(cohort)}
        with (self._directory / "kernel.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flipnb.simulation.kernel", str(path)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    # What the hub asks

    def ask(self, context: RoundContext, weights: Path) -> None:
        """Give a round to the kernel, as an agent does."""
        try:
            self._opened.ask(context, weights)
        except FlipError as error:
            self._refused["round", context.round] = f"{error.code}: {error.message}"

    def ask_total(self, context: TotalContext) -> None:
        """Give the airlock a step of the totals; what it refuses is told as this Trust's reply."""
        try:
            self._opened.ask_total(context)
        except FlipError as error:
            self._refused["total", context.step] = f"{error.code}: {error.message}"

    def give(self, result: TotalSum) -> None:
        """Give the notebook the sum that it waits for."""
        self._opened.give(result)

    def reply(self, number: int) -> tuple[bytes, Path] | None:
        """The sealed reply to a round and the file of its update, once they are there."""
        return self._opened.reply(number)

    def total_reply(self, step: int) -> bytes | None:
        """The sealed arrays of a step; None before the notebook has asked for it."""
        return self._opened.total_reply(step)

    def gone(self, kind: str, number: int) -> str | None:
        """Why no reply comes; None where one may still come."""
        if (kind, number) in self._refused:
            return self._refused[kind, number]
        if self._misbehaved is not None:
            return self._misbehaved
        if self._opened.left:
            return "left: the notebook left the run by break"
        return self.ended

    @property
    def ended(self) -> str | None:
        """How its notebook ended; None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        problem = self._directory / "problem.json"
        if problem.exists():
            return Problem.model_validate_json(problem.read_bytes()).message
        if self._process.returncode:
            return f"its process ended with status {self._process.returncode}; {self._directory}/kernel.log says more"
        return "its notebook has ended"

    def close(self, *, patient: bool) -> None:
        """End the kernel (after its notebook has ended by itself, where ``patient``) and close all files."""
        if self._process is not None:
            if patient:
                try:
                    self._process.wait(_GRACE_S)
                except subprocess.TimeoutExpired:
                    patient = False
            if not patient and self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGTERM)
                try:
                    self._process.wait(5.0)
                except subprocess.TimeoutExpired:
                    os.killpg(self._process.pid, signal.SIGKILL)
                    self._process.wait()
        if self._door is not None:
            self._door.close()

    @property
    def _opened(self) -> LoneDoor:
        assert self._door is not None, "start opens it"
        return self._door

    def _misbehave(self, code: str, reason: str) -> None:
        self._misbehaved = f"{code}: {reason}"


def _parts(cohort: Path) -> dict[Part, int]:
    """People per part, counted in the frozen cohort."""
    people: dict[Part, int] = {"train": 0, "validation": 0, "test": 0}
    with duckdb.connect(str(cohort / DATABASE), read_only=True) as database:
        for part, number in database.execute("SELECT split, count(*) FROM cohort GROUP BY split").fetchall():
            people[part] = int(number)
    return people
