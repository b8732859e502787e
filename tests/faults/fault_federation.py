"""Seven Trusts with real processes, kept running by the product's supervisor, each behind a line that can be cut."""

from __future__ import annotations

import json
import random
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from enclave_federation import AUDIENCE, Federation, Trust, fill_estate, until
from enclave_scenario import WEIGHTS, Study, sha
from fault_network import Network

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.plan import Plan, Strategy
from flipnb.contracts.policy import KernelLimits, Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunEvent
from flipnb.contracts.study import Researcher, Roster
from flipnb.contracts.study import Trust as Member
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.demo import federation as product
from flipnb.demo.certificates import make_ca, make_server_certificate

NAMES = ("ash", "birch", "cedar", "elm", "fir", "hazel", "oak")
NARROW = "ash"
"""The Trust that runs one kernel at a time; the others run two."""
IMPATIENT = "oak"
"""The Trust whose kernels give back their slot when they wait longer than a few seconds."""
PEOPLE = DeclaredArray(name="people", minimum=0, maximum=1000, decimals=0)
NOTEBOOK = """
import random, time
import numpy as np
import flipnb as flip

data = flip.data()
np.random.seed(len(data.train))
random.seed(len(data.train))
model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}

class Momentum:
    value = np.zeros((1, 2))
    def state_dict(self):
        return {"value": self.value}
    def load_state_dict(self, state):
        self.value = state["value"]

momentum = Momentum()
share = len(data.train) / float(flip.total({"people": len(data.train)})["people"])
for rnd in flip.rounds(model, state=[momentum]):
    if rnd.training:
        noise = np.random.normal(size=(1, 2)) + random.random()
        momentum.value = 0.9 * momentum.value + share * noise - 0.1 * model["weight"]
        model["weight"] += (lr * momentum.value).astype(np.float32)
        time.sleep(0.25)
    rnd.report(loss=0.5, accuracy=0.75)
"""


@dataclass
class SevenStudy(Study):
    members: tuple[Member, ...] = field(default_factory=tuple)

    @property
    def roster(self) -> Roster:
        researcher = Researcher(name="R. Esearcher", public_key=self.researcher.public_key)
        return Roster(study="heart", purpose="To learn", researchers=(researcher,), trusts=self.members)


class SevenTrusts(Federation):
    """``start`` and ``close`` as in tests/enclave_federation.py; what dies between is started again by the product."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._short = tempfile.TemporaryDirectory(prefix="flip")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        self.network = Network(self.port, NAMES)
        ca = make_ca(directory / "ca")
        self.ca = ca.certificate
        certificate = make_server_certificate(directory / "hub", ca, ["127.0.0.1"])
        self.trusts = [self._trust(number, name) for number, name in enumerate(NAMES)]
        members = tuple(Member(name=n, title=n.title(), public_key=t.node.public_key) for n, t in self._named())
        self.study = SevenStudy(lock=(directory / "lock.txt").read_bytes(), members=members)
        principals = [{"name": "researcher", "role": "researcher", "public_key": self.study.researcher.public_key}]
        principals += [{"name": n, "role": "trust", "public_key": t.node.public_key} for n, t in self._named()]
        configuration = {
            "name": "Test hub",
            "audience": AUDIENCE,
            "port": self.port,
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "ca": str(self.ca),
            "principals": principals,
            "gather_seconds": 60,
        }
        (directory / "hub" / "hub.json").write_text(json.dumps(configuration))
        (directory / "daemons.json").write_text(json.dumps(self._daemons()))
        self._client = httpx.Client(verify=str(self.ca), base_url=self.url, timeout=40)

    def _named(self) -> Iterator[tuple[str, Trust]]:
        return zip(NAMES, self.trusts, strict=True)

    def _trust(self, number: int, name: str) -> Trust:
        limits = KernelLimits(memory_bytes=1 << 30, scratch_bytes=16 << 20, shm_bytes=16 << 20)
        policy = Policy(
            kernel=limits, waiting_seconds=4 if name == IMPATIENT else 900, slots=1 if name == NARROW else 2
        )
        url = f"https://127.0.0.1:{self.network.lines[name].port}"
        trust = Trust(name, self.directory / name, Path(self._short.name) / name, url, self.ca, policy)
        fill_estate(trust.enclave.estate, 40 + number)
        return trust

    def _daemons(self) -> list[dict[str, Any]]:
        hub = self.directory / "hub"
        daemons = [
            {
                "name": "hub",
                "argv": [sys.executable, "-m", "flipnb.hub", "--directory", str(hub)],
                "ready": str(hub / "address.json"),
                "log": str(hub / "logs" / "output.log"),
            }
        ]
        return daemons + [
            {
                "name": name,
                "argv": [sys.executable, "-m", "flipnb.enclave.agent", "--enclave", str(trust.enclave.directory)],
                "ready": str(trust.enclave.desk_socket),
                "log": str(trust.enclave.logs / "output.log"),
            }
            for name, trust in self._named()
        ]

    def start(self) -> None:
        product.up(self.directory, attached=True, wait_seconds=180)
        self.ask("POST", "/v1/studies", self.study.roster_envelope())
        for trust in self.trusts:
            trust.join(self.study)
        until(lambda: len(self.ask("GET", "/v1/studies")[0]["joined"]) == len(NAMES), 120)
        self.ask("PUT", f"/v1/blobs/{sha(WEIGHTS)}?study=heart", WEIGHTS)

    def close(self) -> None:
        product.down(self.directory, wait_seconds=60)
        for trust in self.trusts:
            trust.desk.close()
        self._client.close()
        self.network.close()
        self._short.cleanup()

    # The researcher and the controllers

    def bundle_for(self, plan: Plan, *, minimum: int = len(NAMES)) -> Bundle:
        """A bundle at the hub, to be run by ``run``; a Trust hears of it by its first run."""
        cells = (
            Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
            Cell(id="b", type="code", source=NOTEBOOK.strip()),
        )
        bundle = self.study.bundle(
            trusts=tuple(sorted(member.key_id for member in self.study.members)),
            minimum_trusts=minimum,
            notebook=FrozenNotebook(cells=cells),
            plan=plan,
            totals=(TotalStep(arrays=(PEOPLE,)),),
        )
        self.ask("POST", "/v1/studies/heart/bundles", self.study.bundle_envelope(bundle))
        return bundle

    def sweep(self, bundle: Bundle, number: int, chance: random.Random) -> list[str]:
        """Submit so many runs, then have the controllers approve all of them, Trust by Trust in any order."""
        asked = [self.study.request(bundle.digest(), nonce=secrets.token_hex(16)) for _ in range(number)]
        runs = [str(self.ask("POST", "/v1/studies/heart/runs", one.envelope)["run"]) for one in asked]
        for trust in chance.sample(self.trusts, len(self.trusts)):
            for run in runs:
                until(lambda trust=trust, run=run: trust.run_state(run) == "waiting", 120)
            assert trust.approve(bundle.digest(), executions=number).is_success
        return runs

    def run(self, bundle: Bundle, *, executions: int) -> str:
        """Submit a run; the controllers approve where they are asked to. Returns the run's id."""
        asked = self.study.request(bundle.digest(), nonce=secrets.token_hex(16))
        run = str(self.ask("POST", "/v1/studies/heart/runs", asked.envelope)["run"])
        for trust in self.trusts:
            until(lambda trust=trust: trust.run_state(run) in ("waiting", "approved", "starting", "running"), 120)
            if trust.run_state(run) == "waiting":
                assert trust.approve(bundle.digest(), executions=executions).is_success
        return run

    def events(self, run: str, after: int, wait: float = 5.0) -> list[RunEvent]:
        """As the hub tells them; none while it is away."""
        try:
            body = self.ask("GET", f"/v1/runs/{run}/events?after={after}&wait={wait}")
        except (httpx.TransportError, FlipError):
            time.sleep(0.1)
            return []
        return [RunEvent.model_validate(event) for event in body["events"]]

    def finished(self, run: str) -> bool:
        """Whether the hub has heard from every Trust that it has finished."""
        try:
            return {part.state for part in self.view(run).trusts} == {"finished"}
        except (httpx.TransportError, FlipError):
            return False

    # Processes

    def daemon(self, name: str) -> psutil.Process:
        """The hub (``hub``) or a Trust's agent, once it is up."""

        def there() -> Any:
            daemon = product.status(self.directory)["daemons"][name]
            return daemon if daemon["state"] == "up" else None

        return psutil.Process(until(there, 120)["pid"])

    def coordinator(self, run: str) -> psutil.Process | None:
        return self._below("hub", lambda words: any(run in word for word in words))

    def worker(self, trust: str) -> psutil.Process | None:
        return self._below(trust, lambda words: "flipnb.enclave.estate_worker" in words)

    def runner(self, trust: str) -> psutil.Process | None:
        return self._below(trust, lambda words: "flipnb.enclave.runner" in words)

    def kernel(self, trust: str) -> psutil.Process | None:
        return self._below(trust, lambda words: any("ipykernel" in w or "launcher" in w for w in words))

    def alive(self, run: str) -> bool:
        """Whether a run has a coordinator, or any Trust a runner or a kernel."""
        return self.coordinator(run) is not None or any(
            self.kernel(name) is not None or self.runner(name) is not None for name in NAMES
        )

    def _below(self, daemon: str, matches: Any) -> psutil.Process | None:
        """The deepest process below a daemon that matches: what runs, not the jail around it."""
        found = None
        for process in self.daemon(daemon).children(recursive=True):
            try:
                if matches(process.cmdline()) and "bwrap" not in process.name():
                    found = process
            except psutil.Error:
                continue
        return found


FED_ADAM = Strategy(name="FedAdam", parameters={"eta": 0.05})


def plan(rounds: int, **changes: Any) -> Plan:
    return Plan(**({"rounds": rounds, "clip_norm": 10.0, "strategy": FED_ADAM} | changes))


__all__ = ["IMPATIENT", "NAMES", "NARROW", "SevenTrusts", "SigningKey", "plan"]
