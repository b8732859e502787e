"""A federation of real processes for tests: a hub, two enclaves with small estates, and one researcher's key."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import httpx
from enclave_scenario import COHORT, SPEC, WEIGHTS, Study, sha

from flipnb.contracts.approval import Approval, Decline
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import PARTS, DeskStatus, Opening, Part, Signed
from flipnb.contracts.envelope import APPROVAL, MEMBERSHIP, seal
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.policy import CountPolicy, KernelLimits, Policy
from flipnb.contracts.problem import Problem
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.contracts.run import RunView
from flipnb.contracts.study import Membership
from flipnb.demo.certificates import make_ca, make_server_certificate
from flipnb.enclave.setup import create_enclave
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.estate.omop.cdm import tables
from flipnb.estate.versions import Estate
from flipnb.link.key_files import load_key

AUDIENCE = "flip-test"
CONTROLLER = "anna"
PASSPHRASE = "correct horse"
PEOPLE = 45
NOTEBOOK = """
import numpy as np
import flipnb as flip
data = flip.data()
model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
for rnd in flip.rounds(model, state=[]):
    if rnd.training:
        model["weight"] += lr
    PLACE
    rnd.report(loss=0.5, accuracy=0.75)
"""


def notebook(place: str = "pass") -> FrozenNotebook:
    """Two code cells; ``place`` is a line within each round."""
    return FrozenNotebook(
        cells=(
            Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
            Cell(id="b", type="code", source=NOTEBOOK.strip().replace("PLACE", place)),
        )
    )


@dataclass(frozen=True)
class Patient:
    """Who has had one blood pressure taken, on 1 June 2000."""

    pressure: float
    born: int = 1950
    gender: int = 8532


def fill_estate(directory: Path, people: int = PEOPLE) -> str:
    """An estate version with one blood pressure per person."""
    return fill_with(directory, [Patient(120.0 + person) for person in range(1, people + 1)])


def fill_with(directory: Path, patients: Sequence[Patient]) -> str:
    """An estate version with these people."""

    def write(path: Path) -> str:
        with duckdb.connect(str(path)) as database:
            for table in tables().values():
                database.execute(table.ddl())
            for person, patient in enumerate(patients, start=1):
                _insert(database, "person", person_id=person, gender_concept_id=patient.gender,
                        year_of_birth=patient.born, race_concept_id=0, ethnicity_concept_id=0)  # fmt: skip
                _insert(database, "observation_period", observation_period_id=person, person_id=person,
                        observation_period_start_date="2000-01-01", observation_period_end_date="2000-12-31",
                        period_type_concept_id=0)  # fmt: skip
                _insert(database, "measurement", measurement_id=person, person_id=person,
                        measurement_concept_id=3004249, measurement_date="2000-06-01",
                        measurement_type_concept_id=0, value_as_number=patient.pressure)  # fmt: skip
            _insert(database, "concept", concept_id=3004249, concept_name="bp", domain_id="Measurement",
                    vocabulary_id="x", concept_class_id="x", concept_code="x", valid_start_date="1970-01-01",
                    valid_end_date="2099-12-31")  # fmt: skip
        return sha(f"{len(patients)}".encode())[:32]

    return Estate.open(directory).add(write)


def _insert(database: Any, table: str, **values: Any) -> None:
    names = ", ".join(values)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", list(values.values()))


def until(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Trust:
    """One enclave: its agent's process, and its data controller at the desk."""

    def __init__(
        self,
        name: str,
        directory: Path,
        runtime: Path,
        hub: str,
        ca: Path,
        policy: Policy,
        packages: Sequence[str] = ("numpy",),
    ) -> None:
        lock = directory.parent / "lock.txt"
        lock.write_text("".join(f"{package}=={version(package)}\n" for package in packages))
        self.enclave: EnclaveDirectory = create_enclave(
            directory,
            name=name,
            title=name.title(),
            hub_url=hub,
            hub_audience=AUDIENCE,
            hub_ca=ca,
            controller=CONTROLLER,
            controller_passphrase=PASSPHRASE,
            policy=policy,
            environment="test",
            lock_file=lock,
            runtime_dir=runtime,
        )
        self.node = self.enclave.load_node_key()
        self.controller = load_key(self.enclave.keys / f"controller-{CONTROLLER}.pem", PASSPHRASE)
        self.process: subprocess.Popen[bytes] | None = None
        self.desk = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.enclave.desk_socket)), base_url="http://desk", timeout=30
        )

    def start(self) -> None:
        self.enclave.desk_socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flipnb.enclave.agent", "--enclave", str(self.enclave.directory)],
            stdin=subprocess.DEVNULL,
        )

    def ready(self) -> None:
        def there() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.enclave.logs / "agent.log").read_text()[-2000:]
            try:
                return self.desk.get("/status").is_success
            except httpx.TransportError:
                return False

        until(there)

    def end(self, how: int = signal.SIGTERM) -> None:
        """Returns when the agent is gone."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(20)

    def get(self, path: str) -> Any:
        answer = self.desk.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.desk.post(path, content=body if isinstance(body, bytes | str) else body.model_dump_json())

    def status(self) -> DeskStatus:
        return DeskStatus.model_validate(self.get("/status"))

    def join(self, study: Study) -> None:
        membership = Membership(roster=study.roster, trust=self.node.key_id, joined=datetime.now(UTC))
        answer = self.post("/memberships", Signed(envelope=seal(membership, MEMBERSHIP, self.controller).decode()))
        assert answer.is_success, answer.text

    def approve(self, bundle: str, *, read: bool = True, **changes: Any) -> httpx.Response:
        """An approval sealed by ``key``, the controller's; whose key it is has read the request, if there is one."""
        key = changes.pop("key", self.controller)
        named = [one.name for one in self.enclave.controllers() if one.key_id == key.key_id]
        if read and named and self.desk.get(f"/requests/{bundle}").is_success:
            self.read(bundle, named[0])
        status = self.status()
        now = datetime.now(UTC)
        plain: dict[str, Any] = {
            "trust": self.node.key_id,
            "bundle": bundle,
            "policy": status.policy_digest,
            "estate_version": status.estate_version,
            "executions": 1,
            "approved": now,
            "expires": now + timedelta(days=1),
        }
        return self.post("/approvals", Signed(envelope=seal(Approval(**(plain | changes)), APPROVAL, key).decode()))

    def read(self, bundle: str, controller: str = CONTROLLER, *parts: Part) -> None:
        """Open the brief and the code of a request, as a person at the desk does."""
        for part in parts or PARTS:
            assert self.post(f"/requests/{bundle}/opened", Opening(controller=controller, part=part)).is_success

    def decline(self, bundle: str, reason: str) -> httpx.Response:
        return self.post("/declines", Decline(bundle=bundle, reason=reason))

    def waits_for(self, bundle: str) -> bool:
        return any(r["bundle"] == bundle and r["state"] == "waiting" for r in self.get("/requests")["requests"])

    def run_state(self, run: str) -> str | None:
        return next((r["state"] for r in self.get("/runs")["runs"] if r["run"] == run), None)

    def audit(self) -> list[dict[str, Any]]:
        """All entries; the desk gives out a thousand at once."""
        entries: list[str] = []
        while page := self.get(f"/audit?after={len(entries)}")["entries"]:
            entries += page
        return [json.loads(entry) for entry in entries]

    def audited(self, run: str) -> list[str]:
        """The kinds of a run's entries, in order, but of those of what was told the hub of it."""
        entries = [entry for entry in self.audit() if entry["details"].get("run") == run]
        return [entry["kind"] for entry in entries if entry["kind"] not in ("told", "progress-told")]


class Federation:
    """Processes start with ``start`` and end with ``close``; the researcher's requests are signed here.

    ``packages`` are what the Trusts' environment says that it has, ``memory`` what a kernel may hold; ``fill`` makes a
    Trust's estate, given its name.
    """

    def __init__(
        self,
        directory: Path,
        *,
        packages: Sequence[str] = ("numpy",),
        memory: int = 1 << 30,
        fill: Callable[[str, Path], object] = lambda _, estate: fill_estate(estate),
    ) -> None:
        self.directory = directory
        self._short = tempfile.TemporaryDirectory(prefix="flip")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        ca = make_ca(directory / "ca")
        self.ca = ca.certificate
        certificate = make_server_certificate(directory / "hub", ca, ["127.0.0.1"])
        policy = Policy(
            counts=CountPolicy(answer_seconds=1),
            per_trust_metrics=True,
            memory_use=True,
            one_trust_runs=True,
            kernel=KernelLimits(memory_bytes=memory, scratch_bytes=16 << 20, shm_bytes=16 << 20),
        )
        self.trusts = [
            Trust(name, directory / name, Path(self._short.name) / name, self.url, self.ca, policy, packages)
            for name in ("north", "south")
        ]
        for trust in self.trusts:
            fill(trust.enclave.configuration.name, trust.enclave.estate)
        first, second = self.trusts
        self.study = Study(
            lock=(directory / "lock.txt").read_bytes(),
            node=first.node,
            other=second.node,
            controller=first.controller,
        )
        principals = [{"name": "researcher", "role": "researcher", "public_key": self.study.researcher.public_key}]
        principals += [
            {"name": t.enclave.configuration.name, "role": "trust", "public_key": t.node.public_key}
            for t in self.trusts
        ]
        (directory / "hub" / "hub.json").write_text(
            json.dumps(
                {
                    "name": "Test hub",
                    "audience": AUDIENCE,
                    "port": self.port,
                    "certificate": str(certificate.certificate),
                    "key": str(certificate.key),
                    "ca": str(self.ca),
                    "principals": principals,
                    "gather_seconds": 5,
                }
            )
        )
        self.hub: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(verify=str(self.ca), base_url=self.url, timeout=40)

    def start_hub(self) -> None:
        self.hub = subprocess.Popen(
            [sys.executable, "-m", "flipnb.hub", "--directory", str(self.directory / "hub")], stdin=subprocess.DEVNULL
        )

    def start(self) -> None:
        self.start_hub()
        for trust in self.trusts:
            trust.start()
        until(self.hub_there, 120)
        for trust in self.trusts:
            trust.ready()

    def hub_there(self) -> bool:
        try:
            return self._client.get("/v1/health").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        for trust in self.trusts:
            if trust.process is not None and trust.process.poll() is None:
                trust.end()
            trust.desk.close()
        if self.hub is not None and self.hub.poll() is None:
            self.hub.terminate()
            self.hub.wait(15)
        self._client.close()
        self._short.cleanup()

    # The researcher

    def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        request = self._client.build_request(method, path, content=body)
        signed = Request(method, str(request.url), dict(request.headers))
        sign_request(signed, self.study.researcher, audience=AUDIENCE, body_sha256=sha(body))
        request.headers.update(signed.headers)
        answer = self._client.send(request)
        if not answer.is_success:
            raise Problem.model_validate_json(answer.content).error(answer.status_code)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer.content

    def open_study(self) -> None:
        """The roster at the hub, both Trusts joined."""
        self.ask("POST", "/v1/studies", self.study.roster_envelope())
        for trust in self.trusts:
            trust.join(self.study)
        until(lambda: len(self.ask("GET", "/v1/studies")[0]["joined"]) == 2)
        self.ask("PUT", f"/v1/blobs/{sha(WEIGHTS)}?study=heart", WEIGHTS)

    def submit(self, *, place: str = "pass", nonce: str, **changes: Any) -> tuple[Bundle, RunView]:
        bundle = self.study.bundle(**({"notebook": notebook(place)} | changes))
        self.ask("POST", "/v1/studies/heart/bundles", self.study.bundle_envelope(bundle))
        return bundle, self.run_again(bundle, nonce)

    def run_again(self, bundle: Bundle, nonce: str) -> RunView:
        asked = self.study.request(bundle.digest(), nonce=nonce * 32)
        return RunView.model_validate(self.ask("POST", "/v1/studies/heart/runs", asked.envelope))

    def view(self, run: str) -> RunView:
        return RunView.model_validate(self.ask("GET", f"/v1/runs/{run}"))

    def reaches(self, run: str, *states: str, seconds: float = 60.0) -> RunView:
        found: list[RunView] = []

        def there() -> bool:
            found.append(self.view(run))
            return found[-1].state in states

        try:
            until(there, seconds)
        except AssertionError:
            raise AssertionError(f"the run is {found[-1].model_dump_json(indent=1)}") from None
        return found[-1]


@contextmanager
def open_federation(directory: Path, **given: Any) -> Iterator[Federation]:
    """A hub and two agents that run until the end of the block, the study joined; ``given`` as Federation takes it."""
    federation = Federation(directory, **given)
    try:
        federation.start()
        federation.open_study()
        yield federation
    finally:
        federation.close()


__all__ = ["COHORT", "SPEC", "Federation", "Trust", "fill_estate", "notebook", "open_federation", "until"]
