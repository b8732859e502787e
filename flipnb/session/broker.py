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

    def hello(self) -> Welcome:
        """What the plan says that a notebook needs."""
        ...

    def open(self, model: Model) -> tuple[NextRound, list[int]]:
        """Begin with round 1: its facts, and descriptors of the weights and, after a restart, the state."""
        ...

    def lease(self, request: Lease) -> int:
        """A descriptor of memory to fill with an update or a state."""
        ...

    def submit(self, request: Submit) -> tuple[NextRound | Ended, list[int]]:
        """Give a round's report and filled leases; returns with the next round, or the end. It may take long."""
        ...

    def tell(self, request: Tell) -> None:
        """Tell progress within a round."""
        ...

    def total(self, request: AskTotal) -> Totalled:
        """The sum of the arrays over the Trusts, when all have given theirs."""
        ...


class BrokerChannel:
    """Over AF_UNIX, SOCK_SEQPACKET. Descriptors that come in belong to the caller, who closes them."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.connect(path)

    def hello(self) -> Welcome:
        """Ask what the plan says. Raises FlipError ``broker-gone``, as every request does, where the run has ended."""
        return self._expect(Welcome, *self._ask(Hello()))[0]

    def open(self, model: Model) -> tuple[NextRound, list[int]]:
        """Begin, with the digest of the model's tensors. Raises the broker's FlipError where it has another model."""
        return self._expect(NextRound, *self._ask(OpenRounds(tensors=model.spec.digest())))

    def lease(self, request: Lease) -> int:
        """A descriptor of shared memory, sized by the broker."""
        _, descriptors = self._expect(Leased, *self._ask(request))
        return descriptors[0]

    def submit(self, request: Submit) -> tuple[NextRound | Ended, list[int]]:
        """Wait for the next round, or the end. Raises the FlipError by which the broker refuses the round."""
        answer, descriptors = self._ask(request)
        if isinstance(answer, Ended):
            return answer, descriptors
        return self._expect(NextRound, answer, descriptors)

    def tell(self, request: Tell) -> None:
        """Tell progress; returns when the broker has heard it."""
        self._expect(Done, *self._ask(request))

    def total(self, request: AskTotal) -> Totalled:
        """Wait for the sum over the Trusts. Raises the FlipError by which the broker refuses the arrays."""
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
