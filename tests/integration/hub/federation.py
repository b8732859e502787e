"""A hub's world for tests: keys, certificates, a real hub process, and clients that sign what they send."""

import hashlib
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.plan import Plan
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.run import RunRequest, run_id
from flipnb.contracts.study import Join, Researcher, Roster, Trust
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.demo.certificates import make_ca, make_server_certificate

AUDIENCE = "hub-under-test"
COHORT = {
    "ConceptSets": [],
    "PrimaryCriteria": {
        "CriteriaList": [{"Measurement": {}}],
        "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
        "PrimaryCriteriaLimit": {"Type": "First"},
    },
}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Client:
    """Signs as ``key``. ``send`` sends what was prepared, so that a test can alter or repeat it."""

    def __init__(self, hub, key=None):
        self.hub = hub
        self.key = key or SigningKey.generate()
        self.http = httpx.Client(base_url=hub.url, verify=hub.trusted, timeout=40, trust_env=False)

    def prepare(self, method, path, body=b"", *, audience=AUDIENCE, digest=None):
        request = self.http.build_request(method, path, content=body)
        signed = Request(method, str(request.url), {})
        sign_request(signed, self.key, audience=audience, body_sha256=digest or sha256(body))
        request.headers.update(signed.headers)
        return request

    def send(self, request):
        return self.http.send(request)

    def call(self, method, path, body=b""):
        return self.send(self.prepare(method, path, body))

    def get(self, path):
        response = self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path, body=b"", status=None):
        body = body if isinstance(body, bytes) else body.model_dump_json().encode()
        response = self.call("POST", path, body)
        assert response.status_code == status if status else response.is_success, response.text
        return response.json() if response.content else None

    def tasks(self, after=0, wait=10):
        return self.get(f"/v1/tasks?after={after}&wait={wait}")["tasks"]

    def task(self, kind, run, wait=10):
        """The next open task of this kind and run; waits for it."""
        deadline = time.monotonic() + wait
        seen = 0
        while time.monotonic() < deadline:
            for task in self.tasks(seen, wait=max(0.1, deadline - time.monotonic())):
                if task["kind"] == kind and task["run"] == run:
                    return task
                seen = task["sequence"]
        raise AssertionError(f"no {kind} task within {wait} s")

    def answer(self, task, **answer):
        self.post(f"/v1/tasks/{task['id']}/answer", json.dumps(answer).encode(), 204)

    def report(self, run, sequence, **what):
        self.post(f"/v1/runs/{run}/reports", json.dumps({"run": run, "sequence": sequence, **what}).encode(), 204)

    def wait_for(self, run, *states, seconds=15):
        """The run's view once it is in one of ``states``, heard of by its events."""
        deadline = time.monotonic() + seconds
        while True:
            view = self.get(f"/v1/runs/{run}")
            if view["state"] in states:
                return view
            assert time.monotonic() < deadline, view
            self.get(f"/v1/runs/{run}/events?after={view['last_event']}&wait=2")


@dataclass
class Hub:
    """A hub in its own process. ``principals`` are entered before it starts."""

    directory: Path
    principals: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None

    def __post_init__(self):
        self.ca = make_ca(self.directory / "ca")
        self.certificate = make_server_certificate(self.directory / "hub", self.ca, ["localhost", "127.0.0.1"])
        self.trusted = ssl.create_default_context(cafile=self.ca.certificate)

    @property
    def root(self):
        return self.directory / "hub"

    @property
    def url(self):
        return json.loads((self.root / "address.json").read_text())["url"]

    def enter(self, name, role):
        key = SigningKey.generate()
        self.principals.append({"name": name, "role": role, "public_key": key.public_key})
        return key

    def start(self):
        configuration = {
            "name": "Hub under test",
            "audience": AUDIENCE,
            "host": "127.0.0.1",
            "port": 0,
            "certificate": str(self.certificate.certificate),
            "key": str(self.certificate.key),
            "ca": str(self.ca.certificate),
            "principals": self.principals,
            "gather_seconds": 30,
            **self.settings,
        }
        (self.root / "hub.json").write_text(json.dumps(configuration))
        address = self.root / "address.json"
        before = address.stat().st_mtime_ns if address.exists() else 0
        self.process = subprocess.Popen([sys.executable, "-m", "flipnb.hub", "--directory", str(self.root)])
        deadline = time.monotonic() + 120
        while not address.exists() or address.stat().st_mtime_ns == before:
            assert self.process.poll() is None, "the hub ended at start"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def stop(self, number=signal.SIGTERM):
        """Returns the exit code and the seconds that it took."""
        began = time.monotonic()
        os.kill(self.process.pid, number)
        return self.process.wait(20), time.monotonic() - began

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def log(self):
        return [json.loads(line) for line in (self.root / "logs" / "hub.log").read_text().splitlines()]


class Study:
    """A study with one researcher and some Trusts, all of them principals; ``post`` brings it to the hub."""

    def __init__(self, hub, name, trusts=2):
        self.hub = hub
        self.name = name
        self.researcher_key = hub.enter(f"researcher of {name}", "researcher")
        self.trust_keys = [hub.enter(f"{name}-{n}", "trust") for n in range(trusts)]
        self.roster = Roster(
            study=name,
            purpose="To test a hub",
            researchers=(Researcher(name="A researcher", public_key=self.researcher_key.public_key),),
            trusts=tuple(
                Trust(name=f"trust-{n}", title=f"Trust {n}", public_key=key.public_key)
                for n, key in enumerate(self.trust_keys)
            ),
        )
        self.weights = f"weights of {name}".encode()

    @property
    def sealed_roster(self):
        return envelope.seal(self.roster, envelope.ROSTER, self.researcher_key)

    def clients(self):
        self.researcher = Client(self.hub, self.researcher_key)
        self.trusts = [Client(self.hub, key) for key in self.trust_keys]
        return self

    def post(self):
        """Roster, joins and initial weights."""
        self.clients()
        self.researcher.post("/v1/studies", self.sealed_roster, 201)
        for trust in self.trusts:
            join = Join(study=self.name, roster=self.roster.digest())
            trust.post(f"/v1/studies/{self.name}/joins", join, 204)
        put = self.researcher.call("PUT", f"/v1/blobs/{sha256(self.weights)}?study={self.name}", self.weights)
        assert put.status_code == 201, put.text
        return self

    def bundle(self, **changes):
        now = datetime.now(UTC).replace(microsecond=0)
        fields = {
            "study": self.name,
            "title": "A bundle",
            "membership": self.roster.digest(),
            "trusts": tuple(key.key_id for key in self.trust_keys),
            "minimum_trusts": 2,
            "notebook": FrozenNotebook(cells=(Cell(id="p", type="code", source="lr = 0.1", tags=("parameters",)),)),
            "parameters": (Parameter(name="lr", type="float", default=0.1, minimum=0.0, maximum=1.0),),
            "cohort": COHORT,
            "dataset": Dataset(variables=(Variable(name="age", source="age"),)),
            "split": Split(seed=1, shares=Shares(train=2, test=1)),
            "plan": Plan(rounds=2, clip_norm=1.0),
            "tensors": TensorSpec(tensors=(Tensor(name="w", shape=(2,), dtype="float32"),)),
            "initial_weights": sha256(self.weights),
            "outputs": (DeclaredOutput(name="loss", minimum=0.0, maximum=10.0, decimals=3),),
            "environment": Environment(name="test", lock="0" * 64),
            "not_before": now - timedelta(minutes=1),
            "expires": now + timedelta(hours=1),
        }
        return Bundle(**(fields | changes))

    def seal(self, bundle, key=None):
        return envelope.seal(bundle, envelope.BUNDLE, key or self.researcher_key)

    def request(self, bundle, **point):
        request = RunRequest(
            study=self.name,
            bundle=bundle.digest(),
            point=point,
            requested=datetime.now(UTC),
            nonce=os.urandom(16).hex(),
        )
        return envelope.seal(request, envelope.RUN_REQUEST, self.researcher_key), run_id(request.to_bytes())

    def submit(self, **changes):
        """A new run; returns its id."""
        bundle = self.bundle(**changes)
        self.researcher.post(f"/v1/studies/{self.name}/bundles", self.seal(bundle))
        sealed, run = self.request(bundle)
        assert self.researcher.post(f"/v1/studies/{self.name}/runs", sealed, 201)["run"] == run
        return run

    def notified(self, run):
        for trust in self.trusts:
            trust.answer(trust.task("run", run))

    def approve(self, run):
        """All Trusts approve, start and run."""
        self.notified(run)
        for trust in self.trusts:
            trust.report(run, 1, state="approved")
        for trust in self.trusts:
            trust.answer(trust.task("accept", run))
        for trust in self.trusts:
            trust.answer(trust.task("start", run))
            trust.report(run, 2, state="starting")
            trust.report(run, 3, state="running")

    def reply(self, trust, run):
        """Answer the Trust's open round with a stand-in for a sealed reply; returns the context."""
        task = trust.task("round", run)
        trust.answer(task, envelope=json.dumps({"reply of": trust.key.key_id[:8], "round": task["context"]["round"]}))
        return task["context"]


def copy_runs(hub, run, number):
    """``number`` runs beside those that are there, older copies of ``run`` in the hub's own database; their ids."""
    made = [f"{n:032x}" for n in range(number)]
    with sqlite3.connect(hub.root / "hub.sqlite", timeout=30) as db:
        for n, identity in enumerate(made):
            _copy(db, "runs", "id", run, identity)
            _copy(db, "parts", "run", run, identity)
            # Pairs were submitted at one moment: then the id decides.
            db.execute("UPDATE runs SET submitted=submitted-? WHERE id=?", (1000 + n // 2, identity))
    db.close()
    return made


def _copy(db, table, key, old, new):
    columns = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
    copied = ", ".join("?" if name == key else name for name in columns)
    db.execute(f"INSERT INTO {table} SELECT {copied} FROM {table} WHERE {key}=?", (new, old))
