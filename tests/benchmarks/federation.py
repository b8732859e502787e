"""Real processes to measure: a hub, its coordinators, and enclaves with agents and sandboxed kernels, over TLS."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from enclave_federation import AUDIENCE, Trust, fill_estate, until
from enclave_scenario import COHORT

from benchmarks.processes import cpu_seconds
from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.desk import Signed
from flipnb.contracts.envelope import BUNDLE, MEMBERSHIP, ROSTER, RUN_REQUEST, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import KernelLimits, Policy
from flipnb.contracts.run import RunEvent, RunRequest, RunView
from flipnb.contracts.study import Membership, Researcher, Roster
from flipnb.contracts.study import Trust as Listed
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.demo.certificates import make_ca, make_server_certificate
from flipnb.enclave.sandbox.limits import tree
from flipnb.federation.weights import write_weights
from flipnb.link.access import Access
from flipnb.link.bulk import Upload
from flipnb.link.client import SignedClient
from flipnb.link.exchange import NotNow
from flipnb.link.retry import Retry

STUDY = "heart"
NOTEBOOK = """
IMPORTS
import numpy as np
import flipnb as flip
data = flip.data()
model = {name: np.zeros(shape, np.float32) for name, shape in SHAPES}
for rnd in flip.rounds(model):
    if rnd.training:
        STEP
    rnd.report(loss=0.5)
"""
TOUCH = "for tensor in model.values(): tensor += np.float32(0.001)"


@dataclass(frozen=True)
class Model:
    """``tensors`` float32 tensors of ``elements`` elements each."""

    tensors: int
    elements: int

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(
            tensors=tuple(
                Tensor(name=f"layer{i:03d}.weight", shape=(self.elements,), dtype="float32")
                for i in range(self.tensors)
            )
        )

    def zeros(self) -> dict[str, np.ndarray]:
        return {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in self.spec.tensors}

    def notebook(self, step: str, imports: str) -> FrozenNotebook:
        shapes = f"[(f'layer{{i:03d}}.weight', ({self.elements},)) for i in range({self.tensors})]"
        source = NOTEBOOK.strip().replace("SHAPES", shapes).replace("STEP", step).replace("IMPORTS", imports)
        first = Cell(id="a", type="code", source="pass", tags=("parameters",))
        return FrozenNotebook(cells=(first, Cell(id="b", type="code", source=source.strip())))


def model_of(gigabytes: float, tensors: int = 20) -> Model:
    return Model(tensors, round(gigabytes * 1e9 / 4 / tensors))


@dataclass(frozen=True)
class Watched:
    """A finished run. All moments are seconds since its submission, as its researcher heard of them.

    ``starting``: quorum was there, coordinator and kernels were started; ``given``: the first kernel had round 1 in
    hand, or, where it took less time than word of it, the round was done; ``ends``: of the training rounds; ``cpu``:
    seconds that all processes had used then; ``end``: of the run.
    """

    run: str
    starting: float
    given: float
    ends: list[float]
    cpu: list[float]
    end: float

    @property
    def periods(self) -> list[float]:
        """Seconds from one training round's end to the next one's, the first round left out."""
        return [b - a for a, b in zip(self.ends, self.ends[1:], strict=False)]

    @property
    def cpu_periods(self) -> list[float]:
        return [b - a for a, b in zip(self.cpu, self.cpu[1:], strict=False)]


class Federation:
    """Hub and ``trusts`` enclaves, a study that all joined; ``run`` drives one run to its end as a researcher."""

    def __init__(self, directory: Path, trusts: int, kernel: KernelLimits, slots: int = 4) -> None:
        self.directory = directory
        self._short = Path(tempfile.mkdtemp(prefix="flip"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url = f"https://127.0.0.1:{port}"
        ca = make_ca(directory / "ca")
        self.ca = ca.certificate
        certificate = make_server_certificate(directory / "hub", ca, ["127.0.0.1"])
        self.researcher = SigningKey.generate()
        policy = Policy(minimum_trusts=1, slots=slots, kernel=kernel, reply_seconds=0.01, progress_seconds=0.5)
        self.trusts = [
            Trust(f"trust-{i}", directory / f"trust-{i}", self._short / str(i), self.url, self.ca, policy)
            for i in range(trusts)
        ]
        principals = [{"name": "researcher", "role": "researcher", "public_key": self.researcher.public_key}]
        principals += [
            {"name": t.enclave.configuration.name, "role": "trust", "public_key": t.node.public_key}
            for t in self.trusts
        ]
        configuration = {
            "name": "Bench hub",
            "audience": AUDIENCE,
            "port": port,
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "ca": str(self.ca),
            "principals": principals,
            "gather_seconds": 60,
            "blob_bytes": 16 << 30,
        }
        (directory / "hub" / "hub.json").write_text(json.dumps(configuration))
        self.roster = Roster(
            study=STUDY,
            purpose="To measure",
            researchers=(Researcher(name="R. Esearcher", public_key=self.researcher.public_key),),
            trusts=tuple(
                Listed(name=t.enclave.configuration.name, title="A Trust", public_key=t.node.public_key)
                for t in self.trusts
            ),
        )
        self._lock = sha256((directory / "lock.txt").read_bytes()).hexdigest()
        self.hub: subprocess.Popen[bytes] | None = None
        self._access = Access(self.url, AUDIENCE, self.ca, self.researcher)
        self._client = SignedClient(self._access, patience=120.0, silence=120.0)

    def start(self) -> None:
        self.hub = subprocess.Popen(
            [sys.executable, "-m", "flipnb.hub", "--directory", str(self.directory / "hub")], stdin=subprocess.DEVNULL
        )
        for trust in self.trusts:
            fill_estate(trust.enclave.estate)
        until(self._hub_there, 120)
        for trust in self.trusts:
            trust.start()
        for trust in self.trusts:
            until(lambda trust=trust: self._ready(trust), 300)
        self._ask("POST", "/v1/studies", seal(self.roster, ROSTER, self.researcher))
        for trust in self.trusts:
            membership = Membership(roster=self.roster, trust=trust.node.key_id, joined=datetime.now(UTC))
            trust.post("/memberships", Signed(envelope=seal(membership, MEMBERSHIP, trust.controller).decode()))
        until(lambda: len(self._ask("GET", "/v1/studies")[0]["joined"]) == len(self.trusts), 120)

    def _hub_there(self) -> bool:
        try:
            self._client.ask("GET", "/v1/health")
        except NotNow:
            return False
        return True

    def _ready(self, trust: Trust) -> bool:
        try:
            return trust.desk.get("/status").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        daemons = [t.process for t in self.trusts if t.process is not None] + [self.hub]
        for daemon in daemons:
            if daemon is not None and daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            if daemon is not None:
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
        for trust in self.trusts:
            trust.desk.close()
        self._client.close()
        shutil.rmtree(self._short, ignore_errors=True)

    # Processes

    @property
    def pids(self) -> list[int]:
        """Hub and agents; coordinators, runners and kernels are below them."""
        return [d.pid for d in (self.hub, *(t.process for t in self.trusts)) if d is not None]

    def groups(self) -> dict[str, list[psutil.Process]]:
        """``hub``: hub and coordinator; one per enclave: all its processes but those in the kernel's sandbox."""
        assert self.hub is not None
        groups = {"hub": tree(self.hub.pid)}
        for trust in self.trusts:
            if trust.process is not None:
                groups[trust.enclave.configuration.name] = [
                    process for process in tree(trust.process.pid) if not _is_kernel(process)
                ]
        return groups

    # The researcher

    def _ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """What the hub answers the researcher, out of JSON."""
        return json.loads(self._client.ask(method, path, body) or b"null")

    def seal(
        self, model: Model, rounds: int, *, step: str = TOUCH, imports: str = "", trusts: Sequence[Trust] | None = None
    ) -> Bundle:
        """A bundle of the model's no-op notebook, at the hub and approved for many executions."""
        members = list(trusts or self.trusts)
        initial = self.directory / "initial.safetensors"
        digest, _ = write_weights(initial, model.spec, model.zeros())

        Upload(self._access, initial, digest, f"study={STUDY}").run(Retry(first=0.1, longest=1.0, patience=10.0))
        initial.unlink()
        now = datetime.now(UTC)
        bundle = Bundle(
            study=STUDY,
            title="No operation",
            membership=self.roster.digest(),
            trusts=tuple(sorted(t.node.key_id for t in members)),
            minimum_trusts=len(members),
            notebook=model.notebook(step, imports),
            parameters=(),
            cohort=COHORT,
            dataset=Dataset(variables=(Variable(name="age", source="age"),)),
            split=Split(seed=1, shares=Shares(train=1)),
            plan=Plan(rounds=rounds, clip_norm=100.0),
            tensors=model.spec,
            initial_weights=digest,
            outputs=(DeclaredOutput(name="loss", minimum=0, maximum=1, decimals=2),),
            environment=Environment(name="test", lock=self._lock),
            not_before=now - timedelta(minutes=1),
            expires=now + timedelta(days=1),
        )
        self._ask("POST", f"/v1/studies/{STUDY}/bundles", seal(bundle, BUNDLE, self.researcher))
        return bundle

    def submit(self, bundle: Bundle) -> str:
        """A new run of ``bundle``, approved by every Trust's data controller (the first time: by hand)."""
        request = RunRequest(
            study=STUDY, bundle=bundle.digest(), point={}, requested=datetime.now(UTC), nonce=secrets.token_hex(16)
        )
        sealed = seal(request, RUN_REQUEST, self.researcher)
        run = RunView.model_validate(self._ask("POST", f"/v1/studies/{STUDY}/runs", sealed)).run
        for trust in self.trusts:
            if trust.node.key_id in bundle.trusts:
                self._approve_once(trust, bundle.digest())
        return run

    def _approve_once(self, trust: Trust, digest: str) -> None:
        def state() -> str | None:
            return next((r["state"] for r in trust.get("/requests")["requests"] if r["bundle"] == digest), None)

        until(lambda: state() is not None, 120)
        if state() == "waiting":
            answer = trust.approve(digest, executions=1000)
            assert answer.is_success, answer.text

    def watch(self, run: str, submitted: float, seconds: float = 900) -> Watched:
        """Follow a run to its success, by the hub's events. Raises AssertionError with the reason where it fails."""
        after, ends, cpu = 0, [], []
        starting = given = 0.0
        until_when = time.monotonic() + seconds
        while True:
            assert time.monotonic() < until_when, f"run {run} did not end within {seconds} s"
            body = self._ask("GET", f"/v1/runs/{run}/events?after={after}&wait=20")
            heard = time.monotonic() - submitted
            for event in (RunEvent.model_validate(e) for e in body["events"]):
                after = event.number
                assert event.state not in ("failed", "stopped"), f"{event.code}: {event.reason}"
                if event.state == "starting":
                    starting = heard
                if event.round is not None or (event.progress is not None and event.progress.round == 1):
                    given = given or heard
                if event.round is not None and event.round.training:
                    ends.append(heard)
                    cpu.append(cpu_seconds(self.pids))
                if event.state == "succeeded":
                    return Watched(run, starting, given, ends, cpu, heard)

    def run(self, bundle: Bundle) -> Watched:
        began = time.monotonic()
        return self.watch(self.submit(bundle), began)

    def sleeping(self, bundle: Bundle) -> str:
        """A run whose kernels are in their first round."""
        run = self.submit(bundle)

        def all_in_round() -> bool:
            view = RunView.model_validate(self._ask("GET", f"/v1/runs/{run}"))
            return all(part.progress is not None and part.progress.round == 1 for part in view.trusts)

        until(all_in_round, 120)
        return run

    def stop(self, run: str) -> None:
        """Stop a run and wait until it is gone everywhere."""
        self._ask("POST", f"/v1/runs/{run}/stop")
        until(lambda: self._ask("GET", f"/v1/runs/{run}")["state"] == "stopped", 60)


def _is_kernel(process: psutil.Process) -> bool:
    """Whether a process is in a kernel's sandbox: below the bubblewrap that its runner started."""
    try:
        return any(parent.name() == "bwrap" for parent in process.parents())
    except psutil.Error:
        return True


@contextmanager
def federation(trusts: int, *, kernel: KernelLimits | None = None, slots: int = 4) -> Iterator[Federation]:
    """Up while the block runs; gone, with its files, whatever ends it."""
    directory = Path("build/bench/federation").absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made = Federation(directory, trusts, kernel or KernelLimits(memory_bytes=2 << 30), slots)
    try:
        made.start()
        yield made
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
