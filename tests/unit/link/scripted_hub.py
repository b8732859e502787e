"""A TLS server under an authority of its own, of which a test says what it answers: each answer is a function."""

import hashlib
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flipnb.contracts.keys import SigningKey
from flipnb.demo.certificates import make_ca, make_server_certificate
from flipnb.link.access import Access

AUDIENCE = "scripted"


class ScriptedHub(ThreadingHTTPServer):
    """``asked`` holds each request's method, path, headers and body; of ``answers`` the last one is given for ever."""

    daemon_threads = True

    def __init__(self, directory):
        authority = make_ca(directory / "ca")
        made = make_server_certificate(directory / "server", authority, ["127.0.0.1"])
        self.ca = authority.certificate
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(made.certificate, made.key)
        self.asked, self.answers, self.connections = [], [says(200)], 0
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self):
        connection, address = super().get_request()
        self.connections += 1
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """Clients that go away are what is tested."""

    def access(self, key=None, **changes):
        given = {"url": self.url, "audience": AUDIENCE, "ca": self.ca, "key": key or SigningKey.generate()}
        return Access(**(given | changes))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_GET = do_PUT = do_POST = handle_any

    def log_message(self, *_):
        """Nothing."""

    def start(self, status, length, **headers):
        self.send_response(status)
        for name, value in {"content-length": str(length), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def hang_up(self):
        self.close_connection = True


def says(status, body=b"", **headers):
    def answer(handler):
        handler.start(status, len(body), **headers)
        handler.wfile.write(body)

    return answer


def hangs_up(handler):
    handler.hang_up()


def blob(data, *, at_most=None, ranges=True):
    """Serves ``data``, one range of it; the connection ends after ``at_most`` bytes."""

    def answer(handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("range", "")) if ranges else None
        start = int(wanted[1]) if wanted else 0
        if wanted and start >= len(data):
            handler.start(416, 0, content_range=f"bytes */{len(data)}")
            return
        handler.start(206 if wanted else 200, len(data) - start)
        rest = data[start:]
        handler.wfile.write(rest[:at_most])
        if at_most is not None and at_most < len(rest):
            handler.hang_up()

    return answer


def sha256(data):
    return hashlib.sha256(data).hexdigest()
