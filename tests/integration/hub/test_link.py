"""Signed clients at the real hub: what is tried again is accepted, what is sent again is refused."""

import http.client
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from federation import AUDIENCE

from flipnb.contracts.keys import SigningKey
from flipnb.demo.certificates import make_server_certificate
from flipnb.link.access import Access
from flipnb.link.client import SignedClient
from flipnb.link.exchange import NotNow
from flipnb.link.retry import Retry


class ForgetfulProxy(ThreadingHTTPServer):
    """Takes requests for the hub, under its authority, and brings them to it; the first answers it loses."""

    daemon_threads = True

    def __init__(self, hub, directory, lost):
        made = make_server_certificate(directory, hub.ca, ["127.0.0.1"])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(made.certificate, made.key)
        self.hub, self.lost, self.taken, self.answered = hub, lost, [], []
        super().__init__(("127.0.0.1", 0), Relay)
        self.url = f"https://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self):
        connection, address = super().get_request()
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def bring(self, method, path, headers, body):
        """The hub's answer to these very bytes."""
        there = urlsplit(self.hub.url)
        connection = http.client.HTTPSConnection(there.hostname, there.port, context=self.hub.trusted, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        taken = (self.command, self.path, dict(self.headers), b"")
        self.server.taken.append(taken)
        status, body = self.server.bring(*taken)
        self.server.answered.append(status)
        if len(self.server.taken) <= self.server.lost:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def proxy(hub, tmp_path):
    made = ForgetfulProxy(hub, tmp_path / "proxy", lost=2)
    yield made
    made.shutdown()
    made.server_close()


def test_a_request_whose_answer_was_lost_is_signed_anew_and_accepted(hub, proxy):
    key = hub.first.trusts[0].key
    client = SignedClient(Access(proxy.url, AUDIENCE, hub.ca.certificate, key), patience=30.0, silence=30.0)
    retry = Retry(first=0.01, longest=0.01)
    assert json.loads(retry.call(lambda: client.ask("GET", "/v1/studies")))
    assert proxy.answered == [200, 200, 200]
    nonces = {headers["Signature-Input"].partition("nonce=")[2][:34] for _, _, headers, _ in proxy.taken}
    assert len(nonces) == 3
    for taken in proxy.taken:
        status, body = proxy.bring(*taken)
        assert (status, json.loads(body)["code"]) == (401, "replayed")
    client.close()


def test_a_key_that_the_hub_does_not_know_may_be_entered_later(hub):
    client = SignedClient(
        Access(hub.url, AUDIENCE, hub.ca.certificate, SigningKey.generate()), patience=30.0, silence=30.0
    )
    with pytest.raises(NotNow) as caught:
        client.ask("GET", "/v1/studies")
    assert (caught.value.code, caught.value.status) == ("unknown-key", 401)
    client.close()
