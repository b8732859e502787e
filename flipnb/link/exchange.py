"""One request and its answer: bounded, as it was sent, and told apart: content, a refusal, or *not now*.

Sync and async clients differ in nothing but how they wait.
"""

from __future__ import annotations

from contextlib import aclosing, closing
from dataclasses import dataclass

import httpx

from flipnb.contracts.document import refusal
from flipnb.contracts.problem import FlipError

DOCUMENT_BYTES = 32 << 20
"""The most that an answer may hold which is no blob."""

RECORD_BYTES = 1 << 30
"""The most where an answer may tell of all rounds of a run: 100,000 of them, with numbers of each of 64 Trusts."""

BROKEN = frozenset({500, 502, 503, 504})
"""Statuses of a peer that is broken for a while. A full disk (507) takes longer, 401 is for people to look at."""

AS_SENT = {"accept-encoding": "identity"}
"""Compressed answers are not asked for, and none is unpacked: what is small on the wire can't grow."""

_REFUSAL_BYTES = 1 << 20
_NOT_NOW = frozenset({401, 408, 429})
"""401: a clock that is wrong, or a key that the operator has yet to enter; neither is an answer to the question."""


class NotNow(FlipError):
    """The peer is out of reach, or answers that it can't serve now: waiting may help."""


@dataclass(frozen=True)
class Peer:
    """Who is asked: ``name`` is one word for a person; the rest is what is said where nobody answers."""

    name: str
    code: str
    silence: str
    remedy: str

    def silent(self, error: Exception) -> NotNow:
        """What is raised where there is no answer; ``error`` says why."""
        said = str(error) or type(error).__name__
        return NotNow(self.code, f"{self.silence}: {said}.", remedy=self.remedy, status=503)

    def refused(self, status: int, body: bytes) -> FlipError:
        """What an answer says that is no success: NotNow where waiting may help."""
        error = refusal(status, body, self.name)
        if status >= 500 or status in _NOT_NOW:
            return NotNow(error.code, error.message, remedy=error.remedy, status=status)
        return error


class Answer:
    """The body of an answer as it comes in, at most ``limit`` bytes of it; of a refusal the beginning is enough.

    A refusal whose body breaks off is one all the same: its status says so.
    """

    def __init__(self, peer: Peer, status: int, limit: int) -> None:
        self._peer, self._status, self._limit = peer, status, limit
        self._good = 200 <= status < 300
        self._room = limit if self._good else _REFUSAL_BYTES
        self._parts: list[bytes] = []

    def take(self, chunk: bytes) -> bool:
        """Whether the next chunk is wanted, too. Raises FlipError ``document-too-large``."""
        self._room -= len(chunk)
        if self._room >= 0:
            self._parts.append(chunk)
            return True
        if self._good:
            said = f"The {self._peer.name}'s answer has more than {self._limit} bytes."
            raise FlipError("document-too-large", said, status=502)
        return False

    def broke(self, error: httpx.TransportError) -> None:
        """The connection ended within the body. Raises NotNow where that was more than a refusal's words."""
        if self._good:
            raise self._peer.silent(error) from None

    def content(self) -> bytes:
        """Raises FlipError for what is refused, NotNow where waiting may help."""
        body = b"".join(self._parts)
        if not self._good:
            raise self._peer.refused(self._status, body)
        return body


def exchange(http: httpx.Client, request: httpx.Request, peer: Peer, limit: int) -> bytes:
    """The content of the answer. Raises FlipError: what is refused, ``document-too-large``; NotNow."""
    try:
        with closing(http.send(request, stream=True)) as response:
            answer = Answer(peer, response.status_code, limit)
            try:
                for chunk in response.iter_raw():
                    if not answer.take(chunk):
                        break
            except httpx.TransportError as error:
                answer.broke(error)
    except httpx.TransportError as error:
        raise peer.silent(error) from None
    return answer.content()


async def exchange_async(http: httpx.AsyncClient, request: httpx.Request, peer: Peer, limit: int) -> bytes:
    """As ``exchange``; may be cancelled at any moment."""
    try:
        async with aclosing(await http.send(request, stream=True)) as response:
            answer = Answer(peer, response.status_code, limit)
            try:
                async for chunk in response.aiter_raw():
                    if not answer.take(chunk):
                        break
            except httpx.TransportError as error:
                answer.broke(error)
    except httpx.TransportError as error:
        raise peer.silent(error) from None
    return answer.content()
