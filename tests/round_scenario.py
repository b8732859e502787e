"""Rounds over the real hub process: light Trusts (threads with node keys) that encode updates of a logistic regression.

A light Trust keeps what an enclave's airlock keeps: it answers each (run, round) once, and the same context gets the
same bytes again. Everything between is real: TLS, signatures, the hub, its supervisor, the coordinator process.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import load, save

from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.consensus import Ballot
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.document import sha256
from flipnb.contracts.envelope import BUNDLE, ROSTER, ROUND_REPLY, RUN_REQUEST, TOTAL_REPLY, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput, admit_report
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext, RoundReply
from flipnb.contracts.run import RoundSummary, RunEvent, RunRequest, RunView, TrustReport
from flipnb.contracts.study import Join, Researcher, Roster, Trust
from flipnb.contracts.task import (
    RoundTask,
    RunTask,
    StartTask,
    SummedTask,
    Task,
    TaskAnswer,
    TotalTask,
    UnreadableTask,
    read_tasks,
)
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.contracts.total import TotalContext, TotalReply, TotalStep, TotalSum
from flipnb.demo.certificates import make_ca, make_server_certificate
from flipnb.federation.encoding import encode_update
from flipnb.federation.update_layout import has_ballot
from flipnb.link.access import Access
from flipnb.link.client import SignedClient
from flipnb.link.exchange import NotNow

STUDY = "heart"
FEATURES = 5
RATE = 0.5
SPEC = TensorSpec(
    tensors=(
        Tensor(name="weight", shape=(1, FEATURES), dtype="float32"),
        Tensor(name="bias", shape=(1,), dtype="float32"),
        Tensor(name="steps", shape=(), dtype="int64"),
    )
)
OUTPUTS = (
    DeclaredOutput(name="loss", minimum=0, maximum=100, decimals=4),
    DeclaredOutput(name="accuracy", minimum=0, maximum=1, decimals=3),
)
PEOPLE = (202, 7, 31, 86, 40, 13, 55, 21, 64)
COHORT: dict[str, Any] = {
    "ConceptSets": [{"id": 0, "name": "pressure", "expression": {"items": [{"concept": {"CONCEPT_ID": 3004249}}]}}],
    "PrimaryCriteria": {
        "CriteriaList": [{"Measurement": {"CodesetId": 0}}],
        "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
        "PrimaryCriteriaLimit": {"Type": "First"},
    },
}

Weights = dict[str, np.ndarray]


def initial_weights() -> Weights:
    random = np.random.default_rng(1)
    return {
        "weight": random.normal(size=(1, FEATURES)).astype(np.float32),
        "bias": np.zeros(1, np.float32),
        "steps": np.array(0, np.int64),
    }


@dataclass(frozen=True)
class People:
    """One Trust's data: features [people, FEATURES], labels 0 or 1 [people]."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def drawn(cls, seed: int, people: int) -> People:
        random = np.random.default_rng([7, seed])
        x = random.normal(loc=0.3 * seed, size=(people, FEATURES))
        return cls(x, (x @ np.arange(1, FEATURES + 1) + random.normal(size=people) > seed).astype(float))

    @classmethod
    def pooled(cls, parts: list[People]) -> People:
        return cls(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))

    def gradient(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the mean logistic loss, float64, in the shapes of the tensors."""
        error = 1 / (1 + np.exp(-(self.x @ weight[0].astype(float) + float(bias[0])))) - self.y
        return (error @ self.x / len(self.y))[None, :], np.array([error.mean()])

    def report(self, weights: Weights) -> dict[str, float]:
        score = self.x @ weights["weight"][0].astype(float) + float(weights["bias"][0])
        loss = float(np.mean(np.logaddexp(0, score) - self.y * score))
        return {"loss": min(loss, 100.0), "accuracy": float(((score > 0) == (self.y > 0.5)).mean())}


class Principal:
    """Somebody with a key who sends signed requests to the hub."""

    def __init__(self, url: str, ca: Path, key: SigningKey) -> None:
        self.key = key
        self._client = SignedClient(Access(url, "hub.test", ca, key), patience=60.0, silence=60.0)

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The answer's body. Raises FlipError as the hub said it."""
        return self._client.ask(method, path, body)

    def close(self) -> None:
        self._client.close()


Misbehaviour = Callable[["LightTrust", RoundTask, RoundReply], bytes]
"""What a Trust sends instead of its honest reply: another envelope. It may raise FlipError to refuse by its code."""


class LightTrust(threading.Thread):
    """A Trust without kernel: one full-batch gradient step per round."""

    def __init__(self, number: int, principal: Principal, directory: Path) -> None:
        super().__init__(daemon=True, name=f"trust-{number}")
        self.principal, self.directory = principal, directory
        self.people = People.drawn(number, PEOPLE[number])
        self.bundles: dict[str, Bundle] = {}
        self.misbehave: dict[tuple[str, int], Misbehaviour] = {}
        self.silent: set[tuple[str, int]] = set()
        self.held: dict[tuple[str, int], threading.Event] = {}
        self.late: list[tuple[int, str]] = []
        self.pause = 0.0
        self.tells_metrics = False
        self.totals: Callable[[TotalContext], dict[str, tuple[int, ...]]] = lambda context: {"n": (PEOPLE[number],)}
        self.asked: list[TotalContext] = []
        self.summed: list[TotalSum] = []
        self.agreement: Callable[[RoundContext], float] = lambda context: 1.0
        self.answered: dict[tuple[str, int], tuple[RoundContext, bytes, list[str]]] = {}
        self.repeated = 0
        self.errors: list[str] = []
        self._reports: dict[str, int] = {}
        self._stopping = threading.Event()

    @property
    def key_id(self) -> str:
        return self.principal.key.key_id

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        seen = 0
        while not self._stopping.is_set():
            try:
                listed = read_tasks(self.principal.call("GET", f"/v1/tasks?after={seen}&wait=1"))
            except NotNow:
                continue
            for task in listed.tasks:
                seen = task.sequence
                try:
                    self._do(task)
                except Exception as error:  # the test asks for it
                    self.errors.append(f"{task.kind}: {error!r}")

    def _do(self, task: Task | UnreadableTask) -> None:
        if isinstance(task, RoundTask):
            self._round(task)
            return
        if isinstance(task, TotalTask):
            self._total(task)
            return
        if isinstance(task, SummedTask):
            self.summed.append(task.summed)
        self._answer(task, TaskAnswer())
        if isinstance(task, RunTask | StartTask):
            for state in ("waiting", "approved") if task.kind == "run" else ("starting", "running"):
                self.report(task.run, state)

    def report(self, run: str, state: str) -> None:
        self._reports[run] = self._reports.get(run, 0) + 1
        said = TrustReport(run=run, sequence=self._reports[run], state=state)
        self.principal.call("POST", f"/v1/runs/{run}/reports", said.to_bytes())

    def _answer(self, task: Task | UnreadableTask, answer: TaskAnswer) -> None:
        self.principal.call("POST", f"/v1/tasks/{task.id}/answer", answer.to_bytes())

    def _total(self, task: TotalTask) -> None:
        self.asked.append(task.total)
        if (task.total.run, -task.total.step) in self.silent:
            return
        time.sleep(self.pause)
        values = self.totals(task.total)
        reply = TotalReply(trust=self.key_id, context=task.total, values=values)
        self._answer(task, TaskAnswer(envelope=seal(reply, TOTAL_REPLY, self.principal.key).decode()))

    def _round(self, task: RoundTask) -> None:
        context = task.context
        place = (context.run, context.round)
        if place in self.silent:
            return
        if place in self.answered:
            self.repeated += 1
            before, sealed, _ = self.answered[place]
            if before != context:
                self._answer(task, TaskAnswer(code="round-refused", reason="another context"))
                return
        else:
            time.sleep(self.pause)
            reply, sealed = self._train(context)
            try:
                if place in self.misbehave:
                    sealed = self.misbehave[place](self, task, reply)
            except FlipError as error:
                self._answer(task, TaskAnswer(code=error.code, reason=error.message))
                return
            self.answered[place] = (context, sealed, [])
        if place in self.held:
            assert self.held[place].wait(120)
        try:
            self._answer(task, TaskAnswer(envelope=sealed.decode()))
        except FlipError as error:
            self.late.append((context.round, error.code))
            return
        if not context.training:
            self.report(context.run, "finished")

    def _train(self, context: RoundContext) -> tuple[RoundReply, bytes]:
        weights = load(self.principal.call("GET", f"/v1/blobs/{context.weights}"))
        update = self.update(context, self.step(weights) if context.training else None, weights)
        units = admit_report(OUTPUTS, self.people.report(weights))
        metrics = {o.name: units[o.name] / 10**o.decimals for o in OUTPUTS} if self.tells_metrics else None
        asked = has_ballot(self.bundles[context.bundle].plan, training=context.training)
        reply = RoundReply(
            trust=self.key_id,
            context=context,
            update=sha256(update),
            update_size=len(update),
            metrics=metrics,
            agreement=self.agreement(context) if asked and self.tells_metrics else None,
        )
        self.put(context.run, update)
        return reply, seal(reply, ROUND_REPLY, self.principal.key)

    def put(self, run: str, update: bytes) -> None:
        self.principal.call("PUT", f"/v1/blobs/{sha256(update)}?run={run}", update)

    def step(self, weights: Weights) -> Weights:
        """The change by one full-batch gradient step, float32, and one more step counted."""
        weight, bias = self.people.gradient(weights["weight"], weights["bias"])
        return {
            "weight": (-RATE * weight).astype(np.float32),
            "bias": (-RATE * bias).astype(np.float32),
            "steps": np.array(1, np.int64),
        }

    def update(self, context: RoundContext, change: Weights | None, weights: Weights) -> bytes:
        slots, size = SPEC.update_layout()
        buffer = bytearray(size)
        for slot in slots if change is not None else ():
            raw = change[slot.tensor.name].tobytes()
            buffer[slot.offset : slot.offset + len(raw)] = raw
        path = self.directory / f"{self.name}-{context.run[:8]}-{context.round}"
        plan = self.bundles[context.bundle].plan
        voted = plan.consensus is not None and context.training
        encode_update(
            path,
            spec=SPEC,
            plan=plan,
            ballot=Ballot(votes=plan.consensus.vote(self.agreement(context)), voters=1) if voted else None,
            people={"train": len(self.people.y), "validation": 0, "test": 0},
            report=admit_report(OUTPUTS, self.people.report(weights)),
            outputs=OUTPUTS,
            change=memoryview(buffer) if change is not None else None,
        )
        return path.read_bytes()


@dataclass
class Federation:
    """A hub process, a researcher, and light Trusts that joined one study."""

    directory: Path
    hub: subprocess.Popen[bytes]
    researcher: Principal
    roster: Roster
    trusts: list[LightTrust]
    bundles: dict[str, Bundle] = field(default_factory=dict)

    def submit(
        self,
        members: int,
        plan: Plan,
        *,
        minimum: int,
        set_up: Callable[[str], None] | None = None,
        totals: tuple[TotalStep, ...] = (),
    ) -> str:
        """Run a plan over the first ``members`` Trusts. ``set_up`` learns the run's id before any Trust hears of it."""
        now = datetime.now(UTC)
        weights = save(initial_weights())
        bundle = Bundle(
            study=STUDY,
            title="Logistic regression",
            membership=self.roster.digest(),
            trusts=tuple(sorted(trust.key_id for trust in self.trusts[:members])),
            minimum_trusts=minimum,
            notebook=FrozenNotebook(cells=(Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),)),
            parameters=(),
            cohort=COHORT,
            dataset=Dataset(variables=(Variable(name="age", source="age"),)),
            split=Split(seed=1, shares=Shares(train=4, validation=1)),
            plan=plan,
            tensors=SPEC,
            initial_weights=sha256(weights),
            outputs=OUTPUTS,
            totals=totals,
            environment=Environment(name="test", lock="0" * 64),
            not_before=now - timedelta(minutes=1),
            expires=now + timedelta(days=1),
        )
        self.bundles[bundle.digest()] = bundle
        self.researcher.call("PUT", f"/v1/blobs/{sha256(weights)}?study={STUDY}", weights)
        key = self.researcher.key
        self.researcher.call("POST", f"/v1/studies/{STUDY}/bundles", seal(bundle, BUNDLE, key))
        request = RunRequest(study=STUDY, bundle=bundle.digest(), point={}, requested=now, nonce=secrets.token_hex(16))
        if set_up is not None:
            set_up(request.digest()[:32])
        sealed = seal(request, RUN_REQUEST, key)
        view = RunView.model_validate_json(self.researcher.call("POST", f"/v1/studies/{STUDY}/runs", sealed))
        assert view.run == request.digest()[:32]
        return view.run

    def view(self, run: str) -> RunView:
        return RunView.model_validate_json(self.researcher.call("GET", f"/v1/runs/{run}"))

    def events(self, run: str, after: int = 0, wait: float = 0) -> list[RunEvent]:
        body = json.loads(self.researcher.call("GET", f"/v1/runs/{run}/events?after={after}&wait={wait}"))
        return [RunEvent.model_validate(event) for event in body["events"]]

    def ended(self, run: str, seconds: float = 150) -> RunView:
        until = time.monotonic() + seconds
        while (view := self.view(run)).state not in ("succeeded", "failed", "stopped"):
            assert time.monotonic() < until, f"{view}\n{self.log(run)}"
            self.events(run, view.last_event, 2)
        return view

    def rounds(self, run: str) -> list[RoundSummary]:
        return [event.round for event in self.events(run) if event.round is not None]

    def until_round(self, run: str, number: int, seconds: float = 150) -> None:
        until = time.monotonic() + seconds
        while (view := self.view(run)).rounds_done < number:
            assert time.monotonic() < until, self.log(run)
            self.events(run, view.last_event, 2)

    def weights(self, digest: str) -> Weights:
        return load(self.researcher.call("GET", f"/v1/blobs/{digest}"))

    def coordinator(self, run: str) -> psutil.Process | None:
        for process in psutil.Process(self.hub.pid).children():
            if any(run in word for word in process.cmdline()):
                return process
        return None

    def log(self, run: str) -> str:
        path = self.directory / "logs" / f"coordinator-{run}.log"
        return path.read_text() if path.exists() else ""


@contextmanager
def federation(directory: Path) -> Iterator[Federation]:
    ca = make_ca(directory / "ca")
    server = make_server_certificate(directory / "server", ca, ["127.0.0.1"])
    researcher = SigningKey.generate()
    nodes = [SigningKey.generate() for _ in PEOPLE]
    hub_directory = directory / "hub"
    hub_directory.mkdir()
    principals = [{"name": "researcher", "role": "researcher", "public_key": researcher.public_key}]
    principals += [{"name": f"trust-{i}", "role": "trust", "public_key": n.public_key} for i, n in enumerate(nodes)]
    configuration = {
        "name": "Test hub",
        "audience": "hub.test",
        "certificate": str(server.certificate),
        "key": str(server.key),
        "ca": str(ca.certificate),
        "principals": principals,
    }
    (hub_directory / "hub.json").write_text(json.dumps(configuration))
    hub = subprocess.Popen([sys.executable, "-m", "flipnb.hub", "--directory", str(hub_directory)])
    trusts: list[LightTrust] = []
    try:
        until = time.monotonic() + 30
        while not (hub_directory / "address.json").exists():
            assert hub.poll() is None and time.monotonic() < until, "the hub did not come up"
            time.sleep(0.05)
        url = json.loads((hub_directory / "address.json").read_text())["url"]
        roster = Roster(
            study=STUDY,
            purpose="To learn",
            researchers=(Researcher(name="R. Esearcher", public_key=researcher.public_key),),
            trusts=tuple(
                Trust(name=f"trust-{i}", title=f"Trust {i}", public_key=node.public_key) for i, node in enumerate(nodes)
            ),
        )
        person = Principal(url, ca.certificate, researcher)
        person.call("POST", "/v1/studies", seal(roster, ROSTER, researcher))
        made = Federation(hub_directory, hub, person, roster, trusts)
        for number, node in enumerate(nodes):
            trust = LightTrust(number, Principal(url, ca.certificate, node), directory)
            trust.bundles = made.bundles
            trust.principal.call(
                "POST", f"/v1/studies/{STUDY}/joins", Join(study=STUDY, roster=roster.digest()).to_bytes()
            )
            trusts.append(trust)
            trust.start()
        yield made
        person.close()
    finally:
        for trust in trusts:
            trust.stop()
        hub.send_signal(signal.SIGTERM)
        try:
            assert hub.wait(20) == 0
        finally:
            hub.kill()
            for trust in trusts:
                trust.join(30)
                trust.principal.close()
