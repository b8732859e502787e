"""FHIR's RESTful API: capabilities, read, vread, search (hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from flipnb.contracts.problem import FlipError
from flipnb.estate.serve.bundles import capability_statement, searchset
from flipnb.estate.serve.guard import Guard
from flipnb.estate.serve.outcomes import outcome_of, status_of
from flipnb.estate.serve.stores import Stores
from flipnb.records.fhir import Search, Store, read, search
from flipnb.records.fhir.resources import RESOURCES

log = logging.getLogger("flip.serve")

_JSON = "application/fhir+json"
_FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json", "application/*", "*/*"})
_LONGEST_BODY = 65_536
_LONGEST_QUERY = 16_384

Pairs = list[tuple[str, str]]


def make_app(stores: Stores, base: str, token: str, hosts: Iterable[str]) -> FastAPI:
    """The application at ``base`` (no slash at its end); only requests with ``token`` and one of ``hosts`` get in."""
    app = FastAPI(title="FLIP estate", docs_url=None, redoc_url=None, openapi_url=None)
    api = _Api(stores, base)
    app.add_api_route("/metadata", api.metadata, methods=["GET"])
    app.add_api_route("/{kind}/_search", api.post_search, methods=["POST"])
    app.add_api_route("/{kind}/{key}/_history/{version}", api.read_version, methods=["GET"])
    app.add_api_route("/{kind}/{key}", api.read, methods=["GET"])
    app.add_api_route("/{kind}", api.get_search, methods=["GET"])
    app.add_exception_handler(FlipError, _flip_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _other_error)
    app.add_middleware(Guard, token=token, hosts=tuple(hosts))
    return app


class _Api:
    def __init__(self, stores: Stores, base: str) -> None:
        self._stores = stores
        self._base = base

    async def metadata(self, request: Request) -> Response:
        _query(request)
        store = await run_in_threadpool(self._stores.current)
        return _answer(await run_in_threadpool(capability_statement, self._base, store))

    async def read(self, request: Request, kind: str, key: str) -> Response:
        return await run_in_threadpool(self._read, request, kind, key, None)

    async def read_version(self, request: Request, kind: str, key: str, version: str) -> Response:
        return await run_in_threadpool(self._read, request, kind, key, version)

    def _read(self, request: Request, kind: str, key: str, version: str | None) -> Response:
        pairs = _query(request)
        if kind not in RESOURCES:
            raise FlipError("unknown-resource", f"There are no {kind[:60]} resources here.")
        wanted = Search.of(kind, [(name, value) for name, value in pairs if name in ("_summary", "_elements")])
        store = self._stores.current()
        if version not in (None, store.version):
            try:
                store = self._stores.of(str(version))
            except FlipError:
                raise FlipError("not-found", f"There is no version {str(version)[:64]} of {kind}/{key[:64]}.") from None
        tag = f'W/"{store.version}"'
        found = read(store, kind, key, wanted)
        if found is None:
            raise FlipError("not-found", f"There is no {kind}/{key[:64]}.")
        headers = {"ETag": tag, "Last-Modified": store.updated.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        known = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
        if version is None and (tag in known or tag.removeprefix("W/") in known):
            return Response(status_code=304, headers={**headers, "Cache-Control": "no-store"})
        return _answer(found, headers=headers)

    async def get_search(self, request: Request, kind: str) -> Response:
        return await run_in_threadpool(self._search, request, kind, _query(request))

    async def post_search(self, request: Request, kind: str) -> Response:
        pairs = _query(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise FlipError("unsupported-media-type", "POST _search takes application/x-www-form-urlencoded.")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LONGEST_BODY:
                raise FlipError("too-long", f"The search is longer than {_LONGEST_BODY} bytes.")
        given = _pairs(body.decode("utf-8", "replace"))
        _check_format(request, given)
        return await run_in_threadpool(self._search, request, kind, pairs + given)

    def _search(self, request: Request, kind: str, pairs: Pairs) -> Response:
        strict = "handling=strict" in request.headers.get("prefer", "").replace(" ", "")
        wanted = Search.of(kind, pairs, strict=strict)
        store, cursor = self._page(pairs)
        page = search(store, wanted, cursor)
        remarks = [f"{name} is no search parameter of {kind} here; it was ignored." for name in wanted.ignored]
        return _answer(searchset(self._base, wanted, page, store, remarks))

    def _page(self, pairs: Pairs) -> tuple[Store, str | None]:
        """The estate version and the place in it that a page's link names; else the current version, from its start."""
        cursors = [value for name, value in pairs if name == "_cursor"]
        if not cursors:
            return self._stores.current(), None
        version, _, cursor = cursors[0].partition(".")
        return self._stores.of(version), cursor


def _query(request: Request) -> Pairs:
    text = request.scope["query_string"].decode("latin-1")
    if len(text) > _LONGEST_QUERY:
        raise FlipError("too-long", f"The query is longer than {_LONGEST_QUERY} bytes; POST it to _search.")
    pairs = _pairs(text)
    _check_format(request, pairs)
    return pairs


def _pairs(text: str) -> Pairs:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=200, errors="strict")
    except ValueError:
        raise FlipError("bad-value", "The query can't be read.") from None


def _check_format(request: Request, pairs: Sequence[tuple[str, str]]) -> None:
    """``_format`` counts before the Accept header (hl7.org/fhir/R4/http.html#parameters)."""
    wanted = [value for name, value in pairs if name == "_format"]
    wanted = wanted or request.headers.get("accept", "*/*").split(",")
    # A plus sign of a query is a space.
    kinds = [part.partition(";")[0].strip().replace(" ", "+").lower() for part in wanted]
    if not any(kind in _FORMATS for kind in kinds):
        raise FlipError("not-acceptable", "Resources are given as application/fhir+json only.")


def _answer(body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        status_code=status,
        media_type=_JSON,
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})},
    )


async def _flip_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FlipError)
    return _answer(outcome_of(error), status=status_of(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method-not-allowed" if error.status_code == 405 else "unknown-interaction"
    problem = FlipError(code, f"{request.method} {request.url.path[:100]} is not supported.")
    return _answer(outcome_of(problem), status=status_of(problem), headers=dict(error.headers or {}))


async def _other_error(request: Request, error: Exception) -> Response:
    # Neither the log nor the answer repeats the message: it may quote a patient's data.
    log.error("%s while answering", type(error).__name__)
    return _answer(outcome_of(FlipError("internal", "The request could not be answered.")), status=500)
