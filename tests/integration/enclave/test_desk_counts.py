"""What a watching desk costs the one estate worker: each request's cohort is counted once per estate version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from enclave_scenario import Study, own_enclave
from small_estate import Person, aged, fill, group, has, ruled

from flipnb.contracts.run import Progress
from flipnb.enclave.approvals.decisions import Decisions
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.desk.approval_pages import ApprovalPages
from flipnb.enclave.desk.desk import Desk
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.runs.enclave import Enclave
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.runs.slots import Slots
from flipnb.enclave.sandbox.uids import estate_worker_uid
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.store import Store

CONDITION = 5
OLD = has([CONDITION])
PROGRESS_WRITES = 40


class Watched(EstateWorker):
    """The real one, which notes what it was asked to count."""

    def __init__(self, directory: EnclaveDirectory) -> None:
        super().__init__(
            directory.estate, directory.frozen, memory="1GB", uid=estate_worker_uid(directory.directory), hidden=()
        )
        self.counted: list[str] = []

    async def count(self, version: str, cohort: dict[str, Any]) -> int:
        self.counted.append(version)
        return await super().count(version, cohort)


class Office:
    """A desk over a real store and a real estate, and a screen that shows some requests and follows the desk."""

    def __init__(self, enclave: Enclave, worker: Watched, http: httpx.AsyncClient, bundles: list[str]) -> None:
        self.store, self.worker, self.http, self.bundles = enclave.store, worker, http, bundles
        self.shown: dict[str, Any] = {}
        self.known = {"requests": "", "runs": "", "audit": ""}

    async def follow(self) -> set[str]:
        """Hear what is new, and fetch anew what a screen fetches for it; what was new."""
        found = (await self.http.get("/changes", params=self.known | {"wait": "0"})).json()
        new = {name for name in found if found[name] != self.known[name]}
        self.known = found
        if "requests" in new:
            for bundle in self.bundles:
                self.shown[bundle] = (await self.http.get(f"/requests/{bundle}")).raise_for_status().json()
        return new

    async def waiting(self) -> int:
        """How many requests the desk says wait."""
        return int((await self.http.get("/status")).json()["waiting"])

    async def listed(self, query: str) -> list[dict[str, Any]]:
        return list((await self.http.get(f"/requests{query}")).json()["requests"])

    @property
    def counts(self) -> list[int]:
        return [self.shown[bundle]["count"] for bundle in self.bundles]


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Office]:
    enclave = own_enclave(directory)
    fill(
        enclave.estate, [Person(number, born=1940 + number, conditions=frozenset([CONDITION])) for number in range(40)]
    )
    study, store, worker = Study(node=enclave.load_node_key()), Store(enclave.state), Watched(enclave)
    audit = AuditLog(enclave.audit, study.node, store.anchor)
    named = OLD | {"ConceptSets": [{**OLD["ConceptSets"][0], "name": "said in other words"}]}
    bundles = []
    for number, cohort in enumerate((OLD, named, ruled(OLD, group(aged("gt", 60))))):
        bundle = study.bundle(title=f"Bundle {number}", cohort=cohort)
        bundles.append(bundle.digest())
        store.requests.add(
            bundle.digest(),
            study.bundle_envelope(bundle),
            study="heart",
            title=bundle.title,
            researcher="R. Esearcher",
            researcher_key=study.researcher.key_id,
            state="waiting",
        )
    shared = Enclave(enclave, study.node, store, audit, worker, Slots(lambda: 1))
    memberships = Memberships(enclave.memberships, controllers=enclave.controllers, own_key=study.node.key_id)
    pages = ApprovalPages(enclave.desk_socket, enclave.keys)
    requests = Requests(enclave, study.node.key_id, store, audit, memberships)
    decisions = Decisions(enclave, study.node.key_id, store, audit, requests, worker.current)
    runs = Runs(shared, requests, decisions, cast(Any, None))
    desk = Desk(shared, runs, requests, decisions, memberships, lambda: True, pages, sandbox={}, joined=lambda: None)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(desk.application()), base_url="http://desk") as http:
            yield Office(shared, worker, http, bundles)
    finally:
        pages.close()
        await worker.close()
        audit.close()
        store.close()


def test_a_runs_progress_has_no_request_counted_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as office:
            await office.follow()
            assert office.counts == [40, 40, 15]
            assert len(office.worker.counted) == 2, "two requests ask the same in other words"
            first = office.bundles[0]
            office.store.runs.add("0" * 32, bundle=first, study="heart", title="t", point={})
            office.store.runs.advance("0" * 32, "waiting")
            assert await office.follow() == {"requests", "runs"}
            assert office.shown[first]["summary"]["runs"] == ["0" * 32]
            for cell in range(1, PROGRESS_WRITES + 1):
                office.store.runs.progress("0" * 32, Progress(cell=cell, cells=PROGRESS_WRITES))
                assert await office.follow() == {"runs"}
            office.store.requests.decide(office.bundles[1], "declined", code="declined", reason="No.")
            assert await office.follow() == {"requests"}
            assert office.shown[office.bundles[1]]["summary"]["state"] == "declined"
            assert len(office.worker.counted) == 2

    asyncio.run(scene())


def test_a_request_is_over_with_its_last_run_and_waits_again_with_the_next(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as office:
            first, runs = office.bundles[0], office.store.runs
            for run in "01":
                runs.add(run * 32, bundle=first, study="heart", title="t", point={})
                runs.advance(run * 32, "waiting")
            await office.follow()
            for run, state, listed in (("0", "waiting", 3), ("1", "over", 2)):
                runs.advance(run * 32, "stopped")
                assert await office.follow() == {"requests", "runs"}
                assert office.shown[first]["summary"]["state"] == state
                assert (await office.waiting(), len(await office.listed(""))) == (listed, listed)
            assert [one["state"] for one in await office.listed("?all=1")].count("over") == 1
            runs.add("2" * 32, bundle=first, study="heart", title="t", point={})
            assert await office.follow() == {"requests", "runs"}
            assert office.shown[first]["summary"]["state"] == "waiting"
            assert (await office.waiting(), len(await office.listed(""))) == (3, 3)

    asyncio.run(scene())


def test_another_estate_version_is_counted(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as office:
            await office.follow()
            before = list(office.worker.counted)
            fill(tmp_path / "north" / "estate", [Person(n, conditions=frozenset([CONDITION])) for n in range(7)])
            office.store.requests.decide(office.bundles[2], "waiting")
            await office.follow()
            assert office.counts[:2] == [7, 7]
            after = office.worker.counted[len(before) :]
            assert len(after) == 2
            assert not set(after) & set(before)

    asyncio.run(scene())


def test_requests_that_are_opened_at_once_are_counted_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with opened(tmp_path) as office:
            answers = await asyncio.gather(
                *(office.http.get(f"/requests/{bundle}") for bundle in office.bundles for _ in range(5))
            )
            assert {answer.status_code for answer in answers} == {200}
            assert len(office.worker.counted) == 2

    asyncio.run(scene())
