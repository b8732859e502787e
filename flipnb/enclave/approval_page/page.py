"""The approval page: one request, what would leave, the passphrase. No script, no frame around it, no other origin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from flipnb.contracts import envelope
from flipnb.contracts.approval import Approval
from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import RequestSummary, Ticket, TriesLeft
from flipnb.contracts.problem import FlipError
from flipnb.link.desk import DeskClient
from flipnb.link.key_files import load_key

_FORM_BYTES = 4096
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_STYLE = Path(__file__).with_name("templates") / "page.css"


class ApprovalSite:
    """Serves ``origin`` (scheme, host and port) alone; ``keys`` is where the controllers' encrypted keys lie."""

    def __init__(self, origin: str, desk: DeskClient, keys: Path) -> None:
        self._origin, self._desk, self._keys = origin, desk, keys
        self._turn = asyncio.Lock()
        self._pages = Environment(
            loader=PackageLoader("flipnb.enclave.approval_page"), autoescape=True, undefined=StrictUndefined
        )

    def application(self) -> Starlette:
        """The page as an ASGI application; nothing is served to another host's name or another origin."""
        return Starlette(
            routes=[
                Route("/page.css", self._guarded(self._style), methods=["GET"]),
                Route("/approve/{ticket}", self._guarded(self._show), methods=["GET"]),
                Route("/approve/{ticket}", self._guarded(self._approve), methods=["POST"]),
            ]
        )

    async def _style(self, request: Request) -> Response:
        return FileResponse(_STYLE, media_type="text/css")

    async def _show(self, request: Request) -> Response:
        ticket = await self._ticket(_name(request))
        return self._page("approve.html", ticket=ticket, chosen="", problem="")

    async def _approve(self, request: Request) -> Response:
        name = _name(request)
        ticket = await self._ticket(name)
        form = await _form(request)
        try:
            async with self._turn:  # a passphrase costs 128 MiB, and the tries are counted one by one
                sealed = await asyncio.to_thread(self._seal, ticket, form)
        except FlipError as error:
            chosen = form.get("controller", "")
            return self._page("approve.html", status=error.status, ticket=ticket, chosen=chosen, problem=str(error))
        # The approval uses up the ticket.
        summary = await asyncio.to_thread(self._desk.post_envelope, f"/tickets/{name}/approval", sealed, RequestSummary)
        return self._page("approved.html", ticket=ticket, summary=summary, form=form)

    async def _ticket(self, name: str) -> Ticket:
        """What the ticket is for. Raises FlipError ``no-ticket`` where it is unknown, used or too old."""
        return await asyncio.to_thread(self._desk.get, f"/tickets/{name}", Ticket)

    def _seal(self, ticket: Ticket, form: dict[str, str]) -> bytes:
        """The approval under the controller's own key. Raises FlipError for a wrong name, passphrase or number."""
        approval = Approval.of_request(
            ticket.detail,
            trust=ticket.trust,
            executions=_number(form, "executions"),
            days=_number(form, "days"),
            now=datetime.now(UTC),
        )
        if form.get("bundle") != approval.bundle:
            raise FlipError("other-bundle", "The form is of another request; nothing was approved.", status=409)
        controller = _controller(ticket, form)
        self._desk.get(f"/tries/{controller.name}", TriesLeft)
        try:
            key = load_key(self._keys / controller.key_file, form.get("passphrase", "") or " ")
        except FlipError as error:
            if error.code != "wrong-passphrase":
                raise
            self._desk.post(f"/tries/{controller.name}")
            raise FlipError(error.code, "The passphrase is wrong; nothing was approved.", status=403) from None
        return envelope.seal(approval, envelope.APPROVAL, key)

    def _page(self, name: str, *, status: int = 200, **content: Any) -> HTMLResponse:
        return HTMLResponse(self._pages.get_template(name).render(**content), status_code=status)

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._refuse_strangers(request)
                answer = await handler(request)
            except FlipError as error:
                answer = self._page("refused.html", status=error.status, problem=str(error))
            answer.headers.update(_HEADERS)
            return answer

        return guarded

    def _refuse_strangers(self, request: Request) -> None:
        """Another name for this machine (DNS rebinding), and whatever another page sends or embeds."""
        if f"http://{request.headers.get('host', '')}" != self._origin:
            raise FlipError("wrong-host", f"This page is at {self._origin} alone.", status=421)
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method == "POST":
            if request.headers.get("origin") != self._origin or site != "same-origin":
                raise FlipError("cross-origin", "Another page may not approve; nothing was approved.", status=403)
        elif request.headers.get("sec-fetch-mode", "navigate") != "navigate" and site != "same-origin":
            raise FlipError("cross-origin", "Another page may not read this one.", status=403)


def _name(request: Request) -> str:
    name: str = request.path_params["ticket"]
    if not (name.isascii() and name.isalnum()):
        raise FlipError("no-ticket", "This page's address is not whole.", status=404)
    return name


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise FlipError("form-too-large", "The form is too large; nothing was approved.", status=413)
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise FlipError("bad-form", "The form has too many fields; nothing was approved.", status=422) from None
    return {name: values[0] for name, values in fields.items()}


def _controller(ticket: Ticket, form: dict[str, str]) -> Controller:
    named = [controller for controller in ticket.controllers if controller.name == form.get("controller")]
    if not named:
        raise FlipError("unknown-controller", "Say which data controller you are; nothing was approved.", status=422)
    return named[0]


def _number(form: dict[str, str], name: str) -> int:
    text = form.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise FlipError("bad-number", f"The number of {name} must be a whole number from 1 on.", status=422)
    return int(text)
