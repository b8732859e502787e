"""The kernel's end of the broker socket: one request, one answer, bulk by descriptor."""

from __future__ import annotations

import array
import os
import socket
from typing import Protocol, TypeVar

from flipnb.contracts.broker import (
    BROKER_MESSAGE,
    PACKET_BYTES,
    AskTotal,
    Done,
    Ended,
    Hello,
    Lease,
    Leased,
    NextRound,
    OpenRounds,
    Refused,
    Submit,
    Tell,
    Totalled,
    Welcome,
)
from flipnb.contracts.problem import FlipError
from flipnb.session.model import Model

M = TypeVar("M", Welcome, NextRound, Leased, Totalled, Done, Ended)
_DESCRIPTORS = 2


class Channel(Protocol):
    """What a session needs: an enclave's broker, or a rehearsal in the same process."""

    def hello(self) -> Welcome: ...
    def open(self, model: Model) -> tuple[NextRound, list[int]]: ...
    def lease(self, request: Lease) -> int: ...
    def submit(self, request: Submit) -> tuple[NextRound | Ended, list[int]]: ...
    def tell(self, request: Tell) -> None: ...
    def total(self, request: AskTotal) -> Totalled: ...


class BrokerChannel:
    """Over AF_UNIX, SOCK_SEQPACKET. Descriptors that come in belong to the caller, who closes them."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(path)

    def hello(self) -> Welcome:
        return self._expect(Welcome, *self._ask(Hello()))[0]

    def open(self, model: Model) -> tuple[NextRound, list[int]]:
        return self._expect(NextRound, *self._ask(OpenRounds(tensors=model.spec.digest())))

    def lease(self, request: Lease) -> int:
        _, descriptors = self._expect(Leased, *self._ask(request))
        return descriptors[0]

    def submit(self, request: Submit) -> tuple[NextRound | Ended, list[int]]:
        answer, descriptors = self._ask(request)
        if isinstance(answer, Ended):
            return answer, descriptors
        return self._expect(NextRound, answer, descriptors)

    def tell(self, request: Tell) -> None:
        self._expect(Done, *self._ask(request))

    def total(self, request: AskTotal) -> Totalled:
        return self._expect(Totalled, *self._ask(request))[0]

    def _ask(
        self, message: Hello | OpenRounds | Lease | Submit | Tell | AskTotal
    ) -> tuple[Welcome | NextRound | Leased | Totalled | Done | Ended | Refused, list[int]]:
        self._socket.send(message.to_bytes())
        size = array.array("i").itemsize
        data, ancillary, _, _ = self._socket.recvmsg(
            PACKET_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC
        )
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % size])
        if not data:
            raise FlipError("broker-gone", "The enclave has ended this run.")
        return BROKER_MESSAGE.validate_json(data), list(descriptors)

    def _expect(self, kind: type[M], answer: object, descriptors: list[int]) -> tuple[M, list[int]]:
        if isinstance(answer, kind):
            return answer, descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(answer, Refused):
            raise answer.problem.error(409)
        raise FlipError("broker-confused", f"The broker answered {type(answer).__name__}, not {kind.__name__}.")
