"""Endpoints as Tornado handlers: authenticated, authorised, XSRF-checked; errors as JSON, never a traceback."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web
from tornado.iostream import StreamClosedError

from flipnb.contracts.problem import FlipError
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import Endpoint, Method

_THREADS = 16
"""For each resource; they are made as they are needed."""


class EndpointHandler(ExtensionHandlerMixin, APIHandler):
    """One path with one endpoint for each of its methods."""

    auth_resource = "flipnb"

    def initialize(self, name: str, bench: Bench, endpoints: dict[Method, Endpoint], threads: Executor) -> None:
        super().initialize(name)
        self._threads = threads
        self._bench = bench
        self._endpoints = endpoints

    @web.authenticated
    @authorized
    async def get(self, **path: str) -> None:
        await self._answer("GET", path)

    @web.authenticated
    @authorized
    async def post(self, **path: str) -> None:
        await self._answer("POST", path)

    @web.authenticated
    @authorized
    async def put(self, **path: str) -> None:
        await self._answer("PUT", path)

    @web.authenticated
    @authorized
    async def delete(self, **path: str) -> None:
        await self._answer("DELETE", path)

    async def _answer(self, method: Method, path: dict[str, str]) -> None:
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            self._refuse(FlipError("no-such-method", f"{method} is not known here.", status=405))
            return
        # JupyterLab appends the time to every GET, as a name without a value, so that no cache answers it.
        names = [name for name in self.request.query_arguments if not name.isdigit()]
        query = {name: self.get_query_argument(name) for name in names}
        body = self.request.body or b""
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._threads, _said, endpoint, self._bench, path, query, body
            )
        except FlipError as error:
            self._refuse(error)
            return
        with suppress(StreamClosedError):  # whoever asked has closed the page
            await self.finish(answer)

    def _refuse(self, error: FlipError) -> None:
        self.set_status(error.status)
        shown = self._bench.shown
        said = {"message": shown(error.message), "reason": error.code, "remedy": shown(error.remedy)}
        self.finish(json.dumps(said))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What is no FlipError: Jupyter's own refusals, and defects, whose tracebacks go to the server's log alone."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, web.HTTPError):
            said = error.reason or error.log_message or "The request was refused."
            self._refuse(FlipError("refused", str(said), status=status_code))
            return
        message = "FLIP's part of the Jupyter server failed at this; its log says why."
        self._refuse(FlipError("server-error", message, remedy="Restart JupyterLab, or report it.", status=500))


def _said(endpoint: Endpoint, bench: Bench, path: dict[str, str], query: dict[str, str], body: bytes) -> str:
    """The answer as JSON. Raises as ``Endpoint.run``, and FlipError ``not-shown`` (422) for what JSON can't say."""
    answer = endpoint.run(bench, path, query, body)
    try:
        return answer.model_dump_json(by_alias=True)
    except (ValueError, RecursionError):
        message = "What is there can't be shown: it is nested too deeply, or no text."
        raise FlipError("not-shown", message, status=422) from None


def routes_of(endpoints: Iterable[Endpoint], bench: Bench) -> list[tuple[str, type[EndpointHandler], dict[str, Any]]]:
    """Tornado's routes: one handler class for each path, so that Jupyter's authorizer hears of the right resource."""
    paths: dict[str, dict[Method, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        paths[endpoint.pattern][endpoint.method] = endpoint
    threads: dict[str, Executor] = {}
    routes = []
    for pattern, methods in paths.items():
        resource = next(iter(methods.values())).resource
        handler = type("EndpointHandler", (EndpointHandler,), {"auth_resource": resource})
        # Endpoints of one resource wait for each other alone: where the hub is silent, desk and status are not.
        if resource not in threads:
            threads[resource] = ThreadPoolExecutor(_THREADS, thread_name_prefix=resource)
        routes.append((pattern, handler, {"bench": bench, "endpoints": methods, "threads": threads[resource]}))
    return routes
