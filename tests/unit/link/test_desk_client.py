"""The desk's client: what the desk says, and a desk that is not there."""

import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from flipnb.contracts.desk import DeskRuns
from flipnb.contracts.problem import FlipError
from flipnb.link.desk import DeskClient, desk, enclave_controllers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"runs":[]}' if self.path == "/runs?after=b" else b'{"code":"no-ticket","message":"None."}'
        self.send_response(200 if self.path == "/runs?after=b" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "desk"

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def enclave(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "enclave.json").write_text('{"runtime_dir": "run"}')
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "run" / "desk.sock"), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield tmp_path
        server.shutdown()


def test_the_desk_is_found_asked_and_heard(enclave):
    with desk(enclave) as client:
        assert client.get("/runs?after=b", DeskRuns) == DeskRuns(runs=())
        with pytest.raises(FlipError) as caught:
            client.get("/tickets/x", DeskRuns)
    assert (caught.value.code, caught.value.message, caught.value.status) == ("no-ticket", "None.", 404)


def test_an_agent_that_is_away_and_an_enclave_that_is_none_are_said(enclave, tmp_path):
    with DeskClient(tmp_path / "none.sock") as client, pytest.raises(FlipError) as caught:
        client.get("/status", DeskRuns)
    assert (caught.value.code, caught.value.status) == ("agent-down", 503)
    with pytest.raises(FlipError) as caught, desk(tmp_path / "run"):
        raise AssertionError
    assert caught.value.code == "no-enclave"
    with pytest.raises(FlipError, match="who decides here"):
        enclave_controllers(enclave)


def test_neither_client_brings_rooms_of_an_enclave_or_of_the_hub():
    code = "import sys, flipnb.link.desk, flipnb.link.client, flipnb.link.partial_file; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("flipnb.")}
    assert ours == {"link", "contracts", "files"}
    assert not {"numpy", "torch", "flwr", "fastapi", "sqlalchemy"} & set(loaded)
