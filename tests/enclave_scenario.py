"""A small study for tests of an enclave: real keys, real envelopes, a bundle of one model with three numbers."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import save

from flipnb.contracts.approval import Approval
from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.count import CountRequest, SignedCount
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.envelope import (
    APPROVAL,
    BUNDLE,
    COUNT_REQUEST,
    MEMBERSHIP,
    ROSTER,
    RUN_REQUEST,
    SESSION,
    seal,
)
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import RunRequest, run_id
from flipnb.contracts.study import Membership, Researcher, Roster, SessionCertificate, Trust
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.enclave.airlock.airlock import Airlock
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.lease import Lease
from flipnb.enclave.setup import create_enclave
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store

COHORT: dict[str, Any] = {
    "ConceptSets": [
        {"id": 0, "name": "resting blood pressure", "expression": {"items": [{"concept": {"CONCEPT_ID": 3004249}}]}}
    ],
    "PrimaryCriteria": {
        "CriteriaList": [{"Measurement": {"CodesetId": 0}}],
        "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
        "PrimaryCriteriaLimit": {"Type": "First"},
    },
}
ESTATE = "v1"
SPEC = TensorSpec(
    tensors=(Tensor(name="weight", shape=(1, 2), dtype="float32"), Tensor(name="bias", shape=(1,), dtype="float32"))
)
WEIGHTS = save({"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)})


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Study:
    """Two Trusts, one researcher; the enclave under test is the first Trust's."""

    lock: bytes = b"numpy==2.0.0\n"
    researcher: SigningKey = field(default_factory=SigningKey.generate)
    node: SigningKey = field(default_factory=SigningKey.generate)
    other: SigningKey = field(default_factory=SigningKey.generate)
    controller: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def roster(self) -> Roster:
        return Roster(
            study="heart",
            purpose="To learn",
            researchers=(Researcher(name="R. Esearcher", public_key=self.researcher.public_key),),
            trusts=(
                Trust(name="north", title="North", public_key=self.node.public_key),
                Trust(name="south", title="South", public_key=self.other.public_key),
            ),
        )

    def roster_envelope(self) -> bytes:
        return seal(self.roster, ROSTER, self.researcher)

    def membership(self) -> bytes:
        membership = Membership(roster=self.roster, trust=self.node.key_id, joined=datetime.now(UTC))
        return seal(membership, MEMBERSHIP, self.controller)

    def bundle(self, **changes: Any) -> Bundle:
        now = datetime.now(UTC)
        plain: dict[str, Any] = {
            "study": "heart",
            "title": "Logistic regression",
            "membership": self.roster.digest(),
            "trusts": tuple(sorted((self.node.key_id, self.other.key_id))),
            "minimum_trusts": 2,
            "notebook": FrozenNotebook(
                cells=(
                    Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
                    Cell(id="b", type="code", source="print(lr)"),
                )
            ),
            "parameters": (Parameter(name="lr", type="float", default=0.1, minimum=0.001, maximum=1.0),),
            "cohort": COHORT,
            "dataset": Dataset(variables=(Variable(name="age", source="age"),)),
            "split": Split(seed=1, shares=Shares(train=2, test=1)),
            "plan": Plan(rounds=2, clip_norm=10.0),
            "tensors": SPEC,
            "initial_weights": sha(WEIGHTS),
            "outputs": (
                DeclaredOutput(name="loss", minimum=0, maximum=100, decimals=3),
                DeclaredOutput(name="accuracy", minimum=0, maximum=1, decimals=2, over="test"),
            ),
            "environment": Environment(name="test", lock=sha(self.lock)),
            "not_before": now - timedelta(minutes=1),
            "expires": now + timedelta(days=1),
        }
        return Bundle(**(plain | changes))

    def bundle_envelope(self, bundle: Bundle | bytes, key: SigningKey | None = None) -> bytes:
        return seal(bundle, BUNDLE, key or self.researcher)

    def request(self, bundle: str, *, lr: float = 0.01, nonce: str = "0" * 32, key: SigningKey | None = None) -> Asked:
        request = RunRequest(study="heart", bundle=bundle, point={"lr": lr}, requested=datetime.now(UTC), nonce=nonce)
        return Asked(seal(request, RUN_REQUEST, key or self.researcher), run_id(request.to_bytes()))

    def approval(self, bundle: str, current: str, **changes: Any) -> bytes:
        now = datetime.now(UTC)
        plain: dict[str, Any] = {
            "trust": self.node.key_id,
            "bundle": bundle,
            "policy": current,
            "estate_version": ESTATE,
            "executions": 1,
            "approved": now,
            "expires": now + timedelta(days=1),
        }
        return seal(Approval(**(plain | changes)), APPROVAL, self.controller)

    @property
    def environments(self) -> dict[str, str]:
        return {"test": sha(self.lock)}

    def members(self) -> tuple[str, ...]:
        return tuple(sorted((self.node.key_id, self.other.key_id)))


@dataclass(frozen=True)
class Asked:
    envelope: bytes
    run: str


class Chamber:
    """An airlock over real files, with the means to make contexts for it."""

    opened: ClassVar[list[Chamber]] = []
    """Those that are not closed yet, by this process."""

    def __init__(self, study: Study, directory: Path, *, policy: Policy | None = None, **changes: Any) -> None:
        self.study, self.directory = study, directory
        self.policy = policy or Policy()
        self.bundle = study.bundle(**changes)
        self.asked = study.request(self.bundle.digest())
        self.run = self.asked.run
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "run").mkdir(exist_ok=True)
        self.store = Store(directory / "state.sqlite")
        self.audit = AuditLog(directory / "audit.jsonl", study.node, self.store.anchor)
        self.store.requests.add(
            self.bundle.digest(),
            study.bundle_envelope(self.bundle),
            study="heart",
            title="t",
            researcher="r",
            researcher_key=study.researcher.key_id,
            state="approved",
        )
        self.store.runs.add(self.run, bundle=self.bundle.digest(), study="heart", title="t", point={"lr": 0.01})
        self.airlock = self.open()
        Chamber.opened.append(self)

    def close(self) -> None:
        Chamber.opened.remove(self)
        self.airlock.close()
        self.audit.close()
        self.store.close()

    def open(self) -> Airlock:
        """The airlock as a (re)started agent would make it."""
        facts = RunFacts(
            run=self.run,
            bundle_digest=self.bundle.digest(),
            bundle=self.bundle,
            members=self.study.members(),
            people={"train": 40, "validation": 10 * self.bundle.split.shares.validation, "test": 20},
            directory=self.directory / "run",
        )
        return Airlock(facts, key=self.study.node, store=self.store, audit=self.audit, policy=self.policy)

    def context(self, number: int, content: bytes = WEIGHTS, **changes: Any) -> RoundContext:
        plain: dict[str, Any] = {
            "run": self.run,
            "bundle": self.bundle.digest(),
            "round": number,
            "of": self.bundle.plan.rounds,
            "training": number <= self.bundle.plan.rounds,
            "weights": sha(content),
            "weights_size": len(content),
            "tensors": SPEC.digest(),
            "members": self.study.members(),
        }
        return RoundContext(**(plain | changes))

    def give(self, number: int, weights: bytes = WEIGHTS, airlock: Airlock | None = None) -> RoundContext:
        context = self.context(number, weights)
        airlock = airlock or self.airlock
        assert airlock.take(context) is None
        airlock.offer(context, sealed(weights))
        return context

    def answer(self, number: int, values: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> bytes:
        change = update(values) if number <= self.bundle.plan.rounds else None
        report = {"loss": 0.5, "accuracy": 0.75}
        return self.airlock.submit(number, report, change, None, leave=False).envelope

    def kinds(self) -> list[str]:
        import json

        return [json.loads(entry)["kind"] for entry in self.audit.page(0).entries]


def sealed(content: bytes) -> Lease:
    import os

    lease = Lease(len(content))
    os.pwrite(lease.descriptor, content, 0)
    lease.seal()
    return lease


def update(values: tuple[float, float, float]) -> Lease:
    """A lease with a change of the weights, as a kernel fills it."""
    import os

    slots, size = SPEC.update_layout()
    lease = Lease(size)
    array = np.array(values, np.float32)
    os.pwrite(lease.descriptor, array[:2].tobytes(), slots[0].offset)
    os.pwrite(lease.descriptor, array[2:].tobytes(), slots[1].offset)
    return lease


def own_enclave(directory: Path) -> EnclaveDirectory:
    """A new enclave whose hub is nowhere, for what needs no agent's process."""
    (directory / "lock.txt").write_bytes(Study.lock)
    (directory / "ca.pem").write_text("of no hub\n")
    return create_enclave(
        directory / "north",
        name="north",
        title="North",
        hub_url="https://hub.test",
        hub_audience="hub",
        hub_ca=directory / "ca.pem",
        controller="anna",
        controller_passphrase="correct horse",
        policy=Policy(),
        environment="test",
        lock_file=directory / "lock.txt",
        runtime_dir=directory / "run",
    )


def signed_count(
    study: Study, cohort: dict[str, Any], *, researcher: SigningKey | None = None, **changes: Any
) -> SignedCount:
    """A count of a new session of the researcher's, as the hub relays it."""
    now, session = datetime.now(UTC), SigningKey.generate()
    certificate = SessionCertificate(
        study="heart", session_key=session.public_key, not_before=now, expires=now + timedelta(hours=1)
    )
    plain: dict[str, Any] = {
        "study": "heart",
        "membership": study.roster.digest(),
        "cohort": cohort,
        "nonce": secrets.token_hex(16),
        "requested": now,
        "expires": now + timedelta(minutes=5),
    }
    return SignedCount(
        certificate=seal(certificate, SESSION, researcher or study.researcher).decode(),
        request=seal(CountRequest(**(plain | changes)), COUNT_REQUEST, session).decode(),
    )
