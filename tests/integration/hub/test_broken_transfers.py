"""An enclave's transfers through a proxy that cuts connections long before the end: they go on where they broke."""

import asyncio
import os
import socket
import threading
from urllib.parse import urlsplit

import pytest
from federation import AUDIENCE, sha256

from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.hub_link import HubLink

SIZE = 14_000_003
CUT = 4_000_000


class CuttingProxy:
    """Relays TCP to the hub; ends each connection abruptly once ``cut`` bytes went through it."""

    def __init__(self, url, cut):
        self.target, self.cut = (urlsplit(url).hostname, urlsplit(url).port), cut
        self.passed, self.cuts = 0, 0
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


@pytest.fixture
def proxy(hub):
    made = CuttingProxy(hub.url, CUT)
    yield made
    made.listener.close()


def through(proxy, hub, key, work):
    async def run():
        link = HubLink(proxy.url, audience=AUDIENCE, ca=hub.ca.certificate, key=key)
        try:
            await asyncio.wait_for(work(link), 120)
        finally:
            await link.close()

    asyncio.run(run())


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
