"""The server itself: routes, logins, and the faults that a test asks for; uvicorn over TLS in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from flipnb.demo.certificates import make_ca, make_server_certificate
from xnat_server import listings, site, uploads
from xnat_server.accounts import Accounts
from xnat_server.answers import LOGIN_PAGE, as_json, not_found, rows, wrong
from xnat_server.archive import Archive
from xnat_server.downloads import one_file, zipped
from xnat_server.places import Nowhere, go

_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"]


@dataclass
class Faults:
    """What goes wrong, each for the paths that have one of its texts in them."""

    cut: set[str] = field(default_factory=set)
    """The answer breaks in the middle."""
    silent: set[str] = field(default_factory=set)
    """There is no answer until the server ends."""
    busy: set[str] = field(default_factory=set)
    """503, as a proxy says while XNAT starts."""
    zip_names: dict[str, str] = field(default_factory=dict)
    """Under which name a file lies in a zip."""
    instead: dict[str, Response] = field(default_factory=dict)
    """What is answered instead, by a text in the path."""

    def hits(self, which: set[str], path: str) -> bool:
        return any(part in path for part in which)


class XnatServer:
    """``ca`` is the authority's certificate. ``old``: answers as releases before 1.8 do. ``asked``: every request."""

    def __init__(self, directory: Path, *, old: bool = False) -> None:
        authority = make_ca(directory / "ca")
        certificate = make_server_certificate(directory / "xnat", authority, ["127.0.0.1", "localhost"])
        self.ca = authority.certificate
        self.archive, self.accounts, self.site, self.faults = Archive(), Accounts(), site.Site(), Faults()
        self.asked: list[str] = []
        self._old = old
        self._over = threading.Event()
        if old:
            self.site.version = "1.7.6"
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            Starlette(routes=[Route("/{path:path}", self._answer, methods=_METHODS)]),
            ssl_certfile=certificate.certificate,
            ssl_keyfile=str(certificate.key),
            log_config=None,
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([listener])), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._server.should_exit = True
        self._thread.join(10)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path.startswith("/REST/"):
            path = path.replace("/REST/", "/data/", 1)  # its name before XNAT 1.5
        self.asked.append(f"{request.method} {path}")
        if self.faults.hits(self.faults.busy, path):
            return wrong(503, "Service Unavailable")
        if self.faults.hits(self.faults.silent, path):
            await asyncio.to_thread(self._over.wait)
            return wrong(503, "Service Unavailable")
        for part, response in self.faults.instead.items():
            if part in path:
                return response
        if path == "/data/services/auth" and request.method == "PUT":
            return await self._log_in(request)
        user = self.accounts.who(request)
        if user is None and path == "/":
            return HTMLResponse("<html><body>XNAT</body></html>")
        if user is None:
            return HTMLResponse(LOGIN_PAGE, 401) if self._old else Response(status_code=401)
        response = await self._for(user, request, path)
        if path != "/data/JSESSION" and request.cookies.get("JSESSIONID") not in self.accounts.sessions:
            response.set_cookie("JSESSIONID", self.accounts.open(user), secure=True, httponly=True)
        return response

    async def _log_in(self, request: Request) -> Response:
        told = dict(parse_qsl((await request.body()).decode()))
        user = self.accounts.log_in(told.get("username", ""), told.get("password", ""))
        if user is None:
            return HTMLResponse("<html><body><h3>Login attempt failed. Please try again.</h3></body></html>", 401)
        made = self.accounts.open(user)
        response = PlainTextResponse(made)
        response.set_cookie("JSESSIONID", made, secure=True, httponly=True)
        return response

    async def _for(self, user: str, request: Request, path: str) -> Response:
        form = request.query_params.get("format", "json")
        if path == "/":
            return HTMLResponse("<html><body>XNAT</body></html>")
        if path == "/data/auth":
            return PlainTextResponse(f"User '{user}' is logged in")
        if path == "/data/JSESSION":
            return self._session(user, request)
        if path == "/xapi/siteConfig/buildInfo":
            return self.site.build()
        if path == "/data/version" and self._old:
            return PlainTextResponse(self.site.version)
        if path == "/xapi/schemas":
            return site.schema_names()
        if path.startswith("/xapi/schemas/"):
            return site.schema(path.removeprefix("/xapi/schemas/"))
        if path.startswith("/xapi/anonymize/"):
            enable = request.query_params.get("enable", "true")
            rest = path.removeprefix("/xapi/anonymize/")
            return self.site.anonymize(request.method, rest, await request.body(), enable)
        if path == "/data/search/elements":
            return site.elements(self.archive, form)
        if path.startswith("/data/search/elements/"):
            return site.element(path.removeprefix("/data/search/elements/"), form)
        if path.startswith("/data/services/"):
            return await self._service(user, request, path.removeprefix("/data/services/"), form)
        if path.startswith("/data/prearchive/projects"):
            return self._prearchive(path, form)
        if path.startswith("/data/"):
            return self._data(request, path)
        return not_found(path)

    def _session(self, user: str, request: Request) -> Response:
        if request.method == "DELETE":
            self.accounts.close(request)
            return PlainTextResponse("")
        known = request.cookies.get("JSESSIONID", "")
        made = known if known in self.accounts.sessions else self.accounts.open(user)
        response = PlainTextResponse(made)
        response.set_cookie("JSESSIONID", made, secure=True, httponly=True)
        return response

    async def _service(self, user: str, request: Request, service: str, form: str) -> Response:
        query = {**request.query_params}
        if service == "tokens/issue":
            alias, secret = self.accounts.issue(user)
            return as_json({"alias": alias, "secret": secret, "singleUse": False, "estimatedExpirationTime": 0})
        if service == "import":
            return uploads.import_(self.archive, await request.body(), query)
        if service == "archive":
            return uploads.archive_waiting(self.archive, query)
        if service == "refresh/catalog":
            return uploads.refresh(self.archive, query.get("resource", ""))
        if service == "dicomdump":
            return uploads.dump(self.archive, query.get("src", ""), form)
        return not_found(service)

    def _prearchive(self, path: str, form: str) -> Response:
        segments = path.removeprefix("/data/prearchive/projects").strip("/").split("/")
        if len(segments) < 2:
            return uploads.prearchive_rows(self.archive, segments[0] or None, form)
        url = path.removeprefix("/data")
        waiting = [one for one in self.archive.waiting if url == one.url or url.startswith(f"{one.url}/")]
        if not waiting:
            return not_found(path)
        if url.endswith("/scans"):
            told = [{"ID": scan.id, "xsiType": scan.xsi_type} for scan in waiting[0].session.scans]
            return rows(told, form, ["ID", "xsiType"], "Scans")
        only = Archive()
        only.waiting = waiting
        return uploads.prearchive_rows(only, None, form)

    def _data(self, request: Request, path: str) -> Response:
        cut = self.faults.hits(self.faults.cut, path)
        try:
            place = go(self.archive, path.removeprefix("/data/").removeprefix("archive/"))
        except Nowhere as error:
            return not_found(str(error))
        if request.method not in ("GET", "HEAD"):
            return wrong(405, "Method not allowed")
        if place.rest:
            return one_file(place, cut)
        if not place.whole:
            return listings.one(self.archive, place, request.query_params.get("format", "json"))
        if place.kind == "files" and request.query_params.get("format") == "zip":
            return zipped(place.found, cut, self.faults.zip_names)
        return listings.listing(self.archive, place, {**request.query_params})


@contextmanager
def serving(directory: Path, *, old: bool = False) -> Iterator[XnatServer]:
    """A server with certificates in ``directory``, until the block ends."""
    server = XnatServer(directory, old=old)
    try:
        yield server
    finally:
        server.close()
