"""The page's requests to its agent's desk, over the unix socket."""

from __future__ import annotations

from pathlib import Path

import httpx

from flipnb.contracts.desk import RequestSummary, Signed, Ticket
from flipnb.contracts.document import refusal
from flipnb.contracts.problem import FlipError


class DeskLink:
    def __init__(self, socket: Path) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://desk", timeout=60, trust_env=False
        )

    async def ticket(self, ticket: str) -> Ticket:
        """What ``ticket`` is for. Raises FlipError ``no-ticket`` where it is unknown, used or too old."""
        return Ticket.model_validate_json(await self._send("GET", f"/tickets/{ticket}", b""))

    async def approve(self, ticket: str, envelope: bytes) -> RequestSummary:
        """Hand over a sealed approval, which uses up the ticket; where the request stands then."""
        signed = Signed(envelope=envelope.decode()).to_bytes()
        return RequestSummary.model_validate_json(await self._send("POST", f"/tickets/{ticket}/approval", signed))

    async def _send(self, method: str, path: str, body: bytes) -> bytes:
        try:
            answer = await self._http.request(method, path, content=body)
        except httpx.TransportError as error:
            raise FlipError("agent-down", f"The enclave's agent does not answer: {error}.", status=503) from None
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content, "agent")
        return answer.content
