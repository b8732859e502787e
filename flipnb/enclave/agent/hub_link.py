"""The one connection that leaves an enclave: outwards, to one TLS address, under a CA entered by hand.

Nothing is sent by another way: what leaves has its leaf in the audit log first. Every request is signed with the
node's key; every answer is bounded in size and parsed as a contract. What the hub answers decides nothing: it is
material for the rooms that verify.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.document import load_json
from flipnb.contracts.envelope import peek
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TrustReport
from flipnb.contracts.study import Join
from flipnb.contracts.task import LIST_BYTES, TaskAnswer, TaskList, read_tasks
from flipnb.enclave.agent.leaves import Leaves
from flipnb.enclave.airlock.lease import fill
from flipnb.enclave.stores.stored import OutgoingReport
from flipnb.link.access import Access
from flipnb.link.bulk import LARGE, Download, Upload, WrongBlob
from flipnb.link.client import AsyncSignedClient
from flipnb.link.retry import Retry

POLL_SECONDS = 25
_FOR_EVER = Retry(first=0.2, longest=15.0)
T = TypeVar("T")


class HubQuestions:
    """Asks the hub, and tells it nothing.

    Methods raise FlipError for what the hub refuses, NotNow where waiting may help.
    """

    def __init__(self, url: str, *, audience: str, ca: Path, key: SigningKey) -> None:
        self._access = Access(url, audience, ca, key)
        self._client = AsyncSignedClient(self._access, patience=30.0, silence=POLL_SECONDS + 20.0)

    @property
    def reachable(self) -> bool:
        """Whether the hub answered the last request."""
        return self._client.reachable

    async def greet(self) -> None:
        """Ask something that every Trust may ask: raises as all methods where the hub does not know this one."""
        await self._client.ask("GET", "/v1/studies")

    async def tasks(self, after: int, wait: float = POLL_SECONDS) -> TaskList:
        """The tasks numbered above ``after``, when there are any or after ``wait`` seconds, 25 at most."""
        body = await self._client.ask("GET", f"/v1/tasks?after={after}&wait={wait}", limit=LIST_BYTES)
        return await asyncio.to_thread(read_tasks, body)

    async def bundle(self, digest: str) -> bytes:
        """The envelope of a bundle, once the hub is there."""
        return await self.patiently(lambda: self._client.ask("GET", f"/v1/bundles/{digest}"))

    async def fetch_blob(self, digest: str, size: int, target: int) -> None:
        """Fill the file ``target``, which has ``size`` bytes, with the blob; waits for the hub, and goes on where a
        connection broke.

        Raises FlipError ``wrong-weights`` where its size or SHA-256 is not what was said.
        """
        if size < LARGE:
            content = await self.patiently(lambda: self._client.ask("GET", f"/v1/blobs/{digest}", limit=size))
            fill(target, content, digest, size)
            return
        try:
            await self._client.carry(Download(self._access, digest, target, size=size), _FOR_EVER)
        except WrongBlob as error:
            raise FlipError("wrong-weights", error.message) from None

    async def patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """``attempt`` until the hub is there; pauses grow to 15 s. Refusals pass."""
        return await _FOR_EVER.call_async(attempt)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class HubLink(HubQuestions):
    """Asks the hub, and brings it what leaves: each thing once its leaf is in the audit log (``Leaves``).

    Raises FlipError ``disk-full`` where there is no room for that; nothing was sent then.
    """

    def __init__(self, url: str, *, audience: str, ca: Path, key: SigningKey, leaves: Leaves) -> None:
        super().__init__(url, audience=audience, ca=ca, key=key)
        self._leaves = leaves

    async def answer(self, task: str, answer: TaskAnswer) -> None:
        """Answer a task, which is handed out no more."""
        if answer.envelope is not None:
            self._leaves.of_refusal(answer.envelope.encode(), "reply")  # all others have their room's own leaf
        if answer.update is not None:
            self._leaves.of_bytes(answer.update, "update", task=task)
        words = answer.model_dump(include={"code", "reason"}, exclude_none=True)
        if words or answer.envelope is None:
            self._leaves.of_words(words, "answer")
        await self._client.ask("POST", f"/v1/tasks/{task}/answer", answer.model_dump_json().encode())

    async def report(self, report: OutgoingReport) -> None:
        """Bring a report of a run's part."""
        said = TrustReport.model_validate_json(report.body)
        content = said.model_dump(mode="json", exclude_none=True, exclude={"run"})
        if said.sequence == 1 and said.state == "refused":
            # A hub may name as many runs as it likes that were never admitted.
            self._leaves.of_refusal(report.body, "report", run=report.run, content=content)
        else:
            kind: AuditKind = "progress-told" if report.progress_only else "told"
            self._leaves.of_bytes(report.body, "report", kind=kind, run=report.run, content=content)
        await self._client.ask("POST", f"/v1/runs/{report.run}/reports", report.body)

    async def join(self, join: Join) -> None:
        """Tell that this Trust joined a study."""
        self._leaves.of_bytes(join.to_bytes(), "join", content=join.model_dump(mode="json", by_alias=True))
        await self._client.ask("POST", f"/v1/studies/{join.study}/joins", join.to_bytes())

    async def tell_card(self, sealed: bytes) -> None:
        """Bring this Trust's card, sealed."""
        self._leaves.of_bytes(sealed, "card", content=load_json(peek(sealed, "The card"), "The card"))
        await self._client.ask("PUT", "/v1/card", sealed)

    async def put_blob(self, path: Path, digest: str, run: str) -> None:
        """Bring a file to the hub, waiting for it and going on where a connection broke; the same again is fine.

        Raises FlipError for what the hub refuses.
        """
        size = path.stat().st_size
        self._leaves.of_digest(digest, size, "update", run=run)
        if size >= LARGE:
            await self._client.carry(Upload(self._access, path, digest, f"run={run}"), _FOR_EVER)
            return
        content = await asyncio.to_thread(path.read_bytes)
        target = f"/v1/blobs/{digest}?run={run}"
        await self.patiently(lambda: self._client.ask("PUT", target, content, sha256=digest))
