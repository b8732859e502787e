"""Transfers of enclave and workbench through a proxy that cuts connections long before the end, or stands still.

They go on where they broke, in another process too.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from federation import AUDIENCE, sha256
from test_run_life import play_rounds

from flipnb.contracts.bundle import Environment
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.agent.leaves import Leaves
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store
from flipnb.link.key_files import save_key
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.results import fetch_results

SIZE = 14_000_003
CUT = 4_000_000


class CuttingProxy:
    """Relays TCP to the hub; ends each connection abruptly once ``cut`` bytes went through it.

    With ``stalls`` it stands still there instead, until it is told to ``close``.
    """

    def __init__(self, url, cut, *, stalls=False):
        self.target, self.cut, self.stalls = (urlsplit(url).hostname, urlsplit(url).port), cut, stalls
        self.passed, self.cuts = 0, 0
        self.stalled, self.closed = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            budget = [self.cut]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.relay, args=(one, other, budget), daemon=True).start()

    def relay(self, one, other, budget):
        try:
            while data := one.recv(1 << 16):
                budget[0] -= len(data)
                if budget[0] < 0:
                    self.cuts += 1
                    if self.stalls:
                        self.stalled.set()
                        self.closed.wait()
                    break
                self.passed += len(data)
                other.sendall(data)
        except OSError:
            pass
        for each in (one, other):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self):
        self.closed.set()
        self.listener.close()


@pytest.fixture
def proxy(hub):
    made = CuttingProxy(hub.url, CUT)
    yield made
    made.close()


@pytest.fixture
def workbench(hub, proxy, tmp_path):
    """A function that makes the home of the researcher of the study ``first``, who reaches the hub over a proxy."""

    def made(name="home", over=proxy):
        home = Home(tmp_path / name)
        save_key(hub.first.researcher_key, home.directory / "keys" / "researcher.pem")
        configuration = Configuration(
            hub=over.url,
            audience=AUDIENCE,
            ca=str(hub.ca.certificate),
            name="A researcher",
            environment=Environment(name="test", lock="0" * 64),
        )
        (home.directory / "config.json").write_text(configuration.model_dump_json())
        return home

    return made


def through(proxy, hub, key, work):
    async def run(leaves):
        link = HubLink(proxy.url, audience=AUDIENCE, ca=hub.ca.certificate, key=key, leaves=leaves)
        try:
            await asyncio.wait_for(work(link), 120)
        finally:
            await link.close()

    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "state.sqlite")
        audit = AuditLog(Path(directory) / "audit.jsonl", key, store.anchor)
        asyncio.run(run(Leaves(audit)))
        audit.close()
        store.close()


def test_a_download_goes_on_where_it_broke(hub, proxy):
    data = os.urandom(SIZE)
    hub.first.researcher.call("PUT", f"/v1/blobs/{sha256(data)}?study=first", data)
    target = os.memfd_create("weights")
    os.ftruncate(target, SIZE)
    through(proxy, hub, hub.first.trusts[0].key, lambda link: link.fetch_blob(sha256(data), SIZE, target))
    assert os.pread(target, SIZE, 0) == data
    os.close(target)
    assert proxy.cuts >= 3
    assert proxy.passed < 1.3 * SIZE


def test_what_the_hub_sends_is_verified_as_a_whole(hub, proxy):
    data = os.urandom(SIZE)
    hub.first.researcher.call("PUT", f"/v1/blobs/{sha256(data)}?study=first", data)
    (blob,) = (hub.root / "blobs").glob(f"??/{sha256(data)}")
    with blob.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"another byte")
    target = os.memfd_create("weights")
    os.ftruncate(target, SIZE)
    with pytest.raises(FlipError, match="its bytes are others"):
        through(proxy, hub, hub.first.trusts[0].key, lambda link: link.fetch_blob(sha256(data), SIZE, target))
    os.close(target)


def test_an_upload_goes_on_where_it_broke(hub, proxy, tmp_path):
    data = os.urandom(SIZE)
    (tmp_path / "update").write_bytes(data)
    run = hub.first.submit()
    trust = hub.first.trusts[0]
    through(proxy, hub, trust.key, lambda link: link.put_blob(tmp_path / "update", sha256(data), run))
    (blob,) = (hub.root / "blobs").glob(f"??/{sha256(data)}")
    assert blob.read_bytes() == data
    assert proxy.cuts >= 3
    assert trust.get(f"/v1/blobs/{sha256(data)}/received?run={run}") == {"size": SIZE, "whole": True}
    hub.first.researcher.post(f"/v1/runs/{run}/stop")


def test_a_workbench_fetches_over_cut_connections(hub, proxy, workbench, tmp_path):
    data = os.urandom(SIZE)
    hub.first.researcher.call("PUT", f"/v1/blobs/{sha256(data)}?study=first", data)
    told = []
    with HubClient.of(workbench()) as client:
        client.save_blob(sha256(data), tmp_path / "weights", lambda here, whole: told.append((here, whole)))
    assert (tmp_path / "weights").read_bytes() == data
    assert not (tmp_path / "weights.partial").exists()
    assert told == sorted(told)
    assert told[-1] == (SIZE, SIZE)
    assert proxy.cuts >= 3
    assert proxy.passed < 1.3 * SIZE


def test_a_workbench_sends_over_cut_connections_and_never_twice(hub, proxy, workbench, tmp_path):
    data = os.urandom(SIZE)
    (tmp_path / "weights").write_bytes(data)
    with HubClient.of(workbench()) as client:
        assert client.put_blob("first", tmp_path / "weights") == sha256(data)
        (blob,) = (hub.root / "blobs").glob(f"??/{sha256(data)}")
        assert blob.read_bytes() == data
        assert proxy.cuts >= 3
        passed = proxy.passed
        client.put_blob("first", tmp_path / "weights")
    assert proxy.passed - passed < 0.01 * SIZE


def test_other_bytes_at_the_hub_are_not_kept_however_they_came(hub, workbench, tmp_path):
    data = os.urandom(SIZE)
    hub.first.researcher.call("PUT", f"/v1/blobs/{sha256(data)}?study=first", data)
    (blob,) = (hub.root / "blobs").glob(f"??/{sha256(data)}")
    with blob.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"another byte")
    (tmp_path / "results").mkdir()
    with HubClient.of(workbench()) as client, pytest.raises(FlipError) as caught:
        client.save_blob(sha256(data), tmp_path / "results" / "weights")
    assert caught.value.code == "wrong-blob"
    assert list((tmp_path / "results").iterdir()) == []


def flip_results(home, run, target):
    return subprocess.Popen(
        [sys.executable, "-m", "flipnb.cli.main", "results", run, "--to", str(target)],
        env={**os.environ, "FLIP_HOME": str(home.directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_results_go_on_after_the_process_was_killed(hub, workbench, tmp_path):
    study, target = hub.first, tmp_path / "results"
    run = study.submit(title="large")
    study.approve(run)
    play_rounds(study, run)
    assert study.researcher.wait_for(run, "succeeded", "failed")["state"] == "succeeded"
    whole, partial = b"final weights" * 1_000_000, target / "weights.safetensors.partial"

    still = CuttingProxy(hub.url, CUT, stalls=True)
    killed = flip_results(workbench("stalled", still), run, target)
    assert still.stalled.wait(60)
    deadline = time.monotonic() + 60
    while not partial.exists() or partial.stat().st_size < CUT / 2:  # it reads what the proxy has passed
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    still.close()
    left = partial.stat().st_size
    assert CUT / 2 <= left < CUT
    assert partial.read_bytes() == whole[:left]

    free = CuttingProxy(hub.url, 1 << 40)
    home = workbench("free", free)
    done = flip_results(home, run, target)
    assert done.communicate(timeout=60)[1] == b""
    assert done.returncode == 0
    assert (target / "weights.safetensors").read_bytes() == whole
    made = {"weights.safetensors", "record.json", "metrics.csv", "bundle.dsse", "definition"}
    assert {file.name for file in target.iterdir()} - {"packages.txt"} == made
    assert len(whole) - left < free.passed < 1.02 * (len(whole) - left) + 50_000

    passed = free.passed
    (target / "weights.safetensors").rename(partial)
    with partial.open("r+b") as file:
        file.write(b"F")
    assert fetch_results(home, run, target).weights_file.read_bytes() == whole
    assert free.passed - passed > len(whole)
    free.close()
