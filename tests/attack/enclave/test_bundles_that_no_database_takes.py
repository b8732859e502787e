"""A bundle whose cohort can't be found by any database is refused when it comes, and kept with the reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from enclave_scenario import Study, own_enclave
from small_estate import EVERYBODY, Person, fill, has

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.controller import Controller
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.task import RunTask, TaskAnswer
from flipnb.enclave.approvals.decisions import Decisions
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.runs.slots import Slots
from flipnb.enclave.sandbox.uids import estate_worker_uid
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

NOWHERE = has([EVERYBODY])
NOWHERE["PrimaryCriteria"]["CriteriaList"] = [{"LocationRegion": {"CodesetId": 0}}]
"""It reads a table that no OMOP CDM 5.4 has."""


class HubWith:
    """The hub, which hands out whatever bundle it was given."""

    def __init__(self) -> None:
        self.envelope = b""

    async def bundle(self, digest: str) -> bytes:
        del digest
        return self.envelope

    async def fetch_blob(self, digest: str, size: int, target: int) -> None:
        raise AssertionError(f"no bundle here has files, and {digest} of {size} bytes was asked for")


class Trust:
    def __init__(self, directory: Path) -> None:
        self.hub = HubWith()
        enclave = own_enclave(directory)
        fill(enclave.estate, [Person(number) for number in range(1, 21)])
        node = enclave.load_node_key()
        self.study = Study(node=node)
        self.store = Store(enclave.state)
        self.audit = AuditLog(enclave.audit, node, self.store.anchor)
        anna = Controller(name="anna", public_key=self.study.controller.public_key)
        memberships = Memberships(enclave.memberships, controllers=lambda: (anna,), own_key=node.key_id)
        memberships.accept(self.study.membership())
        self.worker = EstateWorker(
            enclave.estate, enclave.frozen, memory="256MB", uid=estate_worker_uid(enclave.directory)
        )
        requests = Requests(enclave, node.key_id, self.store, self.audit, memberships)
        decisions = Decisions(enclave, node.key_id, self.store, self.audit, requests, self.worker.current)
        shared = Enclave(enclave, node, self.store, self.audit, self.worker, Slots(lambda: 1))
        self.runs = Runs(shared, requests, decisions, cast(Any, self.hub))

    async def asked(self, bundle: Bundle | bytes, nonce: str) -> tuple[TaskAnswer, str]:
        """The answer to the task, and the bundle's digest."""
        content = bundle if isinstance(bundle, bytes) else bundle.to_bytes()
        self.hub.envelope = self.study.bundle_envelope(content)
        request = self.study.request(sha256(content), nonce=nonce)
        task = RunTask(
            id=nonce, sequence=1, study="heart", run=request.run, run_request=request.envelope.decode()
        )  # fmt: skip
        return await self.runs.on_run(task), sha256(content)

    async def close(self) -> None:
        await self.worker.close()
        self.audit.close()
        self.store.close()


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    tmp_path.chmod(0o755)
    return Trust(tmp_path)


def test_it_is_refused_once_and_for_all(trust: Trust) -> None:
    async def scene() -> None:
        answer, well = await trust.asked(trust.study.bundle(cohort=has([EVERYBODY])), "1" * 32)
        stored = trust.store.requests.get(well)
        assert (answer.code, stored is not None and stored.state) == (None, "waiting")

        answer, bad = await trust.asked(trust.study.bundle(cohort=NOWHERE), "2" * 32)
        stored = trust.store.requests.get(bad)
        assert answer.code == "estate-incomplete"
        assert stored is not None
        assert (stored.state, stored.code) == ("refused", "estate-incomplete")

        content = trust.study.bundle(cohort=has([EVERYBODY])).model_dump(mode="json", by_alias=True)
        content["cohort"] = has(range(10_001))
        answer, _ = await trust.asked(canonical_bytes(content), "3" * 32)
        assert answer.code == "cohort-too-large"

        content["cohort"] = has([EVERYBODY])
        content["dataset"]["variables"][0] |= {"minimum": -1e308, "maximum": 1e308}
        answer, _ = await trust.asked(canonical_bytes(content), "4" * 32)
        assert answer.code == "invalid-document"
        await trust.close()

    asyncio.run(scene())
