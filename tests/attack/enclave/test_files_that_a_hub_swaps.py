"""A hub, or a researcher, that would have another file run than was read, or fill a Trust's disk with files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from enclave_scenario import Study, own_enclave
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from flipnb.contracts.attached import AttachedFile
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.controller import Controller
from flipnb.contracts.document import sha256
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.airlock.lease import fill
from flipnb.enclave.approvals.attached import AttachedFiles
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.approvals.requests import Requests
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store

CODE = b"SIGN = 1\n"
EVIL = b"SIGN = 9\n"


def attached(name: str, content: bytes) -> AttachedFile:
    return AttachedFile(name=name, sha256=sha256(content), size=len(content))


class Hub:
    """Gives for each digest what it has under it; ``pause`` holds each transfer until it is set."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.pause: asyncio.Event | None = None

    def put(self, *contents: bytes) -> None:
        self.blobs |= {sha256(content): content for content in contents}

    async def fetch(self, digest: str, size: int, target: int) -> None:
        self.asked.append(digest)
        if self.pause is not None:
            await self.pause.wait()
        fill(target, self.blobs[digest], digest, size)

    async def swap(self, digest: str, size: int, target: int) -> None:
        """As one that lies and whose transfer was not looked at."""
        os.pwrite(target, self.blobs[digest][:size], 0)


class Trust:
    def __init__(self, directory: Path) -> None:
        self.hub = Hub()
        self.enclave = own_enclave(directory)
        node = self.enclave.load_node_key()
        self.study = Study(node=node)
        self.store = Store(self.enclave.state)
        self.audit = AuditLog(self.enclave.audit, node, self.store.anchor)
        anna = Controller(name="anna", public_key=self.study.controller.public_key)
        memberships = Memberships(self.enclave.memberships, controllers=lambda: (anna,), own_key=node.key_id)
        memberships.accept(self.study.membership())
        self.requests = Requests(self.enclave, node.key_id, self.store, self.audit, memberships)
        self.nonce = 0

    async def receive(self, bundle: Bundle, fetch: Any = None) -> None:
        self.nonce += 1
        asked = self.study.request(bundle.digest(), nonce=f"{self.nonce:032x}")

        async def envelope(digest: str) -> bytes:
            return self.study.bundle_envelope(bundle)

        async def answerable(bundle: Bundle) -> None:
            return None

        await self.requests.receive(
            asked.run, "heart", asked.envelope.decode(), envelope, fetch or self.hub.fetch, answerable
        )

    def state(self, bundle: Bundle) -> tuple[str, str | None] | None:
        stored = self.store.requests.get(bundle.digest())
        return (stored.state, stored.code) if stored is not None else None

    def kept(self) -> dict[str, set[str]]:
        return {folder.name: {path.name for path in folder.iterdir()} for folder in self.enclave.attached.glob("*")}


@pytest.fixture
def trust(tmp_path: Path) -> Iterator[Trust]:
    tmp_path.chmod(0o755)
    made = Trust(tmp_path)
    yield made
    made.audit.close()
    made.store.close()


def code_of(coroutine: Any) -> str:
    with pytest.raises(FlipError) as caught:
        asyncio.run(coroutine)
    return caught.value.code


def test_other_bytes_than_were_signed_are_never_kept(trust: Trust) -> None:
    bundle = trust.study.bundle(files=(attached("model.py", CODE),))
    trust.hub.blobs[sha256(CODE)] = EVIL
    for fetch in (trust.hub.fetch, trust.hub.swap):
        assert code_of(trust.receive(bundle, fetch)) == "wrong-file"
        assert trust.state(bundle) is None, "the hub's fault is not the bundle's"
        assert not any(trust.kept().values())
    trust.hub.put(CODE)
    asyncio.run(trust.receive(bundle))
    assert trust.state(bundle) == ("waiting", None)
    assert trust.requests.attached.shown(bundle.digest(), bundle.files)[0].source == CODE.decode()


def test_nobody_is_asked_before_every_file_is_here(trust: Trust) -> None:
    async def scene() -> None:
        bundle = trust.study.bundle(files=(attached("model.py", CODE), attached("w.safetensors", save({}))))
        trust.hub.put(CODE, save({}))
        trust.hub.pause = asyncio.Event()
        coming = asyncio.ensure_future(trust.receive(bundle))
        while not trust.hub.asked:
            await asyncio.sleep(0)
        assert trust.state(bundle) is None
        trust.requests.forget_files()
        trust.hub.pause.set()
        await coming
        assert trust.state(bundle) == ("waiting", None)
        assert trust.kept() == {bundle.digest(): {file.sha256 for file in bundle.files}}

    asyncio.run(scene())


def test_runs_of_one_bundle_fetch_its_files_once_and_bundles_share_them(trust: Trust) -> None:
    async def scene() -> None:
        trust.hub.put(CODE)
        files = (attached("model.py", CODE),)
        first, second = (trust.study.bundle(title=title, files=files) for title in "ab")
        await asyncio.gather(*(trust.receive(first) for _ in range(5)))
        await trust.receive(second)
        assert trust.hub.asked == [sha256(CODE)]
        paths = [trust.enclave.attached / one.digest() / sha256(CODE) for one in (first, second)]
        assert paths[0].samefile(paths[1])

    asyncio.run(scene())


def test_what_is_laid_out_was_looked_at_again(trust: Trust, tmp_path: Path) -> None:
    bundle = trust.study.bundle(files=(attached("model.py", CODE),))
    trust.hub.put(CODE)
    asyncio.run(trust.receive(bundle))
    attached_files, folder = AttachedFiles(trust.enclave.attached), tmp_path / "bundle"
    attached_files.lay_out(bundle.digest(), bundle.files, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.py": CODE}
    path = trust.enclave.attached / bundle.digest() / sha256(CODE)
    for other in (EVIL, b"", CODE + b"#"):
        path.unlink(missing_ok=True)
        path.write_bytes(other)
        with pytest.raises(FlipError) as caught:
            attached_files.lay_out(bundle.digest(), bundle.files, folder)
        assert caught.value.code == "wrong-file" and not folder.exists()
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(FlipError, match=r"model\.py"):
        attached_files.lay_out(bundle.digest(), bundle.files, folder)
    with pytest.raises(FlipError) as caught:
        trust.requests.require_runnable(bundle.digest())
    assert caught.value.code == "files-missing"


def test_files_of_bundles_that_wait_fill_no_disk(trust: Trust) -> None:
    policy = Policy(attached_bytes=1000)
    trust.enclave.policy_file.write_bytes(policy.to_bytes())
    contents = [save({}, {"number": f"{n:03d}", "x": "x" * 390, "y": "y" * 390}) for n in range(20)]
    trust.hub.put(*contents)
    refused = []
    for number, content in enumerate(contents):
        bundle = trust.study.bundle(title=str(number), files=(attached("w.safetensors", content),))
        try:
            asyncio.run(trust.receive(bundle))
        except FlipError as error:
            refused.append(error.code)
    assert set(refused) == {"too-many-files"}
    kept = [path for folder in trust.enclave.attached.iterdir() for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in kept) <= 8000
    assert len(kept) == 20 - len(refused) >= 7


def test_what_nobody_can_run_any_more_goes_and_approved_code_stays_to_compare(trust: Trust) -> None:
    now = datetime.now(UTC)
    weights = save({}, {"a": "b"})
    files = (attached("model.py", CODE), attached("w.safetensors", weights))
    trust.hub.put(CODE, weights)
    bundles = {
        state: trust.study.bundle(title=state, files=files, expires=now + timedelta(seconds=3))
        for state in ("approved", "declined", "waiting")
    }
    for state, bundle in bundles.items():
        asyncio.run(trust.receive(bundle))
        trust.store.requests.decide(bundle.digest(), state)  # type: ignore[arg-type]
    trust.requests.forget_files()
    assert set(trust.kept()) == {bundles["approved"].digest(), bundles["waiting"].digest()}
    later = bundles["approved"].expires + timedelta(seconds=1)
    needed = {state: trust.requests._needed_files(one.digest(), later) for state, one in bundles.items()}
    assert needed == {"approved": {sha256(CODE)}, "declined": frozenset(), "waiting": frozenset()}


@given(st.binary(max_size=80), st.binary(max_size=80))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_of_a_hub_are_shown_as_a_module_that_has_another_digest(
    tmp_path_factory: pytest.TempPathFactory, signed: bytes, sent: bytes
) -> None:
    files = AttachedFiles(tmp_path_factory.mktemp("attached"))
    one = attached("model.py", signed)

    async def fetch(digest: str, size: int, target: int) -> None:
        os.pwrite(target, sent, 0)

    try:
        asyncio.run(files.bring("b", [one], fetch))
    except FlipError as error:
        assert error.code == "wrong-file" and signed != sent
        assert not files.has("b", [one])
    else:
        assert not signed or signed == sent
