"""One run's socket to its kernel: small bounded packets, bulk in memfds, one thread, and nothing a kernel can break.

The other end belongs to the researcher's code, so nothing that comes from it is believed: packets are bounded and
parsed as closed contracts, descriptors it sends are thrown away unread, memory is the agent's own, the same for all of
a kernel's life, and copied before it is read. What the notebook's author can mend (a wrong report, NaN) is refused by
name and may be tried again; what no session ever sends ends the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.broker import (
    KERNEL_MESSAGE,
    PACKET_BYTES,
    AskTotal,
    Done,
    Ended,
    Hello,
    Leased,
    NextRound,
    OpenRounds,
    Refused,
    Submit,
    Tell,
    Totalled,
    Welcome,
)
from flipnb.contracts.broker import Lease as LeaseRequest
from flipnb.contracts.document import Document
from flipnb.contracts.failure import REFUSALS
from flipnb.contracts.policy import MIB
from flipnb.contracts.problem import FlipError, Problem
from flipnb.enclave.airlock.airlock import HEADER_BYTES, Airlock, GivenRound
from flipnb.enclave.airlock.lease import Lease, Loan

MESSAGES_PER_SECOND = 200
_BURST = 400
_MOST_CONNECTIONS = 64
_MOST_REFUSALS = 16
_POLL_S = 0.2
_SEND_S = 10.0
_UNREAD_POLL_S = 0.01
Answer = tuple[Document, tuple[int, ...]]


class Misbehaviour(Exception):
    """The other end did what no session does, or this one can't go on: the run ends, by this code."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class _Gone(Exception):
    """The kernel hung up, or the broker is to stop."""


class Broker:
    """Listens from ``start`` to ``stop``.

    ``peer`` is the only uid that may connect. ``on_round`` is called when the kernel was given a round, ``on_tell``
    with its progress, ``on_submit`` after a round's answer was stored, ``on_misbehaviour`` once, before the broker
    ends; all from the broker's thread.
    """

    def __init__(
        self,
        path: Path,
        airlock: Airlock,
        *,
        peer: int,
        state_bytes: int,
        on_round: Callable[[int], None],
        on_tell: Callable[[Tell], None],
        on_submit: Callable[[int, bool], None],
        on_misbehaviour: Callable[[str, str], None],
    ) -> None:
        self._path, self._airlock, self._peer, self._state_bytes = path, airlock, peer, state_bytes
        self._on_round, self._on_tell, self._on_submit = on_round, on_tell, on_submit
        self._on_misbehaviour = on_misbehaviour
        self._stopping = threading.Event()
        self._connections = self._refusals = 0
        self._waiting_since: float | None = None
        self.awaited_total: int | None = None
        self._loans: dict[str, Loan] = {}
        self._handed_over: set[int] = set()
        self._allowance, self._refilled = float(_BURST), time.monotonic()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(os.fspath(path))
        path.chmod(0o600)
        self._listener.listen(4)
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._serve, name=f"broker-{path.stem[:8]}", daemon=True)

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread is gone and the socket removed; call the airlock's ``close`` first."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        while self._loans:
            self._loans.popitem()[1].close()

    def loan(self, what: str, *, least: int = 0) -> Loan:
        """The kernel's one memory for ``weights``, ``update`` or ``state``, made with room for ``least`` bytes."""
        if what not in self._loans:
            tensors = self._airlock.facts.bundle.tensors
            sizes = {
                "weights": tensors.weight_bytes() + HEADER_BYTES,
                "update": tensors.update_layout()[1],
                "state": self._state_bytes,
            }
            self._loans[what] = Loan(max(sizes[what], least))
        return self._loans[what]

    @property
    def lent_bytes(self) -> int:
        """How much of the machine's memory is in what the kernel was lent, mapped by it or not."""
        total = 0
        for loan in list(self._loans.values()):
            with contextlib.suppress(OSError):  # it is closed just now
                total += loan.filled
        return total

    def _serve(self) -> None:
        while not self._stopping.is_set():
            kernel = self._accept()
            if kernel is None:
                continue
            with kernel:
                try:
                    _Conversation(self, kernel).run()
                except (_Gone, ConnectionError):
                    continue
                except Misbehaviour as error:
                    self._stopping.set()
                    self._on_misbehaviour(error.code, error.reason)
                except Exception as error:
                    # A fault of ours ends this run and no other; its message might hold what a kernel sent.
                    self._stopping.set()
                    self._on_misbehaviour("broker-failed", f"The broker failed with {type(error).__name__}.")

    def _accept(self) -> socket.socket | None:
        if not _readable(self._listener):
            return None
        try:
            kernel, _ = self._listener.accept()
        except OSError:
            return None
        _, uid, _ = struct.unpack("3i", kernel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self._connections += 1
        if uid != self._peer or self._connections > _MOST_CONNECTIONS:
            kernel.close()
            return None
        kernel.settimeout(_SEND_S)
        return kernel

    def turn_away(self) -> None:
        """Only one connection at a time: whoever else knocks is closed at once."""
        with contextlib.suppress(OSError):
            other, _ = self._listener.accept()
            other.close()
            self._connections += 1
            if self._connections > _MOST_CONNECTIONS:
                raise Misbehaviour("broker-misuse", "The notebook opened too many connections to the enclave.")

    def throttle(self) -> None:
        """Answer no more than MESSAGES_PER_SECOND: a flood waits in the kernel's own send buffer."""
        now = time.monotonic()
        gained = (now - self._refilled) * MESSAGES_PER_SECOND
        self._allowance, self._refilled = min(_BURST, self._allowance + gained) - 1, now
        if self._allowance < 0:
            self._stopping.wait(1 / MESSAGES_PER_SECOND)

    def count_refusal(self) -> None:
        """Count one refusal. Raises Misbehaviour ``broker-misuse`` for too many of them."""
        self._refusals += 1
        if self._refusals > _MOST_REFUSALS:
            raise Misbehaviour("broker-misuse", f"The notebook was refused more than {_MOST_REFUSALS} times.")

    @property
    def waiting_seconds(self) -> float:
        """How long the kernel has waited for its next round, or for the total ``awaited_total``; 0 while it works."""
        since = self._waiting_since
        return time.monotonic() - since if since is not None else 0.0

    @contextlib.contextmanager
    def waiting(self, total: int | None = None) -> Iterator[None]:
        """While the block runs the kernel waits, for its next round or for the total of this step."""
        self.awaited_total, self._waiting_since = total, time.monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    @property
    def stopping(self) -> bool:
        """Whether it has been told to stop, or has itself found a reason to."""
        return self._stopping.is_set()


class _Conversation:
    """One connection: which round the kernel works on, and how much it was lent to fill, by name, in bytes."""

    def __init__(self, broker: Broker, kernel: socket.socket) -> None:
        self._broker, self._kernel = broker, kernel
        self._airlock = broker._airlock
        self._lent: dict[str, int] = {}
        self._filled: Lease | None = None
        self._round: int | None = None
        self._open = False

    def run(self) -> None:
        try:
            while True:
                self._answer(self._receive())
        finally:
            self._drop_update()

    def _receive(self) -> bytes:
        listener = self._broker._listener
        while True:
            if self._broker.stopping:
                raise _Gone
            ready = _readable(self._kernel, listener)
            # First the kernel: it may have hung up, and who knocks be the next one.
            if self._kernel in ready:
                break
            if listener in ready:
                self._broker.turn_away()
        self._wait_until_read()
        # No room for ancillary data: descriptors that the kernel sends are closed by Linux, never held here.
        packet, _, flags, _ = self._kernel.recvmsg(PACKET_BYTES + 1)
        if not packet:
            raise _Gone
        self._broker.throttle()
        if flags & socket.MSG_TRUNC or len(packet) > PACKET_BYTES:
            self._refuse(FlipError("packet-too-large", f"A message has at most {PACKET_BYTES} bytes."))
            raise Misbehaviour("broker-misuse", "The notebook sent a message that is too large.")
        if flags & socket.MSG_CTRUNC:
            self._refuse(FlipError("descriptor-refused", "The enclave takes no descriptors; ask for a lease."))
            raise Misbehaviour("broker-misuse", "The notebook sent descriptors to the enclave.")
        return packet

    def _wait_until_read(self) -> None:
        """Until the kernel has read the last answer: one that never does holds no descriptor but that in flight.

        Linux counts descriptors in flight per user, and refuses to send more than that user may have open: without
        this, one run could keep all others from their rounds.
        """
        deadline = time.monotonic() + _SEND_S
        while _unread(self._kernel):
            if self._broker.stopping or _hung_up(self._kernel) or time.monotonic() > deadline:
                raise _Gone
            self._broker._stopping.wait(_UNREAD_POLL_S)

    def _answer(self, packet: bytes) -> None:
        try:
            message = KERNEL_MESSAGE.validate_json(packet)
        except (ValidationError, RecursionError):
            self._refuse(FlipError("bad-message", "The message is none that a session sends."))
            raise Misbehaviour("broker-misuse", "The notebook sent a message that no session sends.") from None
        try:
            answer, descriptors = self._dispatch(message)
        except FlipError as error:
            self._airlock.refusal = error.code if error.code in REFUSALS else None
            self._refuse(error)
            if error.status >= 500:  # the enclave's fault, which no notebook can mend
                raise Misbehaviour(error.code, error.message) from None
            self._broker.count_refusal()
            return
        self._send(answer, descriptors)
        if isinstance(answer, NextRound):
            self._broker._handed_over.add(answer.round)
            self._airlock.handed_over(answer.round)

    def _dispatch(self, message: Hello | OpenRounds | LeaseRequest | Submit | Tell | AskTotal) -> Answer:
        match message:
            case Hello():
                bundle = self._airlock.facts.bundle
                plan = bundle.plan
                return Welcome(
                    rounds=plan.rounds, outputs=bundle.outputs, consensus=plan.consensus, tensors=bundle.tensors
                ), ()
            case OpenRounds():
                return self._open_rounds(message)
            case LeaseRequest():
                return self._lend(message)
            case Submit():
                return self._submit(message)
            case Tell():
                if self._round is None:
                    raise FlipError("not-open", "No round is open.")
                self._broker._on_tell(message)
                return Done(), ()
            case AskTotal():
                return self._total(message)

    def _total(self, message: AskTotal) -> Answer:
        """The kernel waits until all Trusts have given theirs."""
        totals = self._airlock.totals
        step = totals.submit(message.values, self._airlock.place)
        with self._broker.waiting(step):
            while (result := totals.result(step, _POLL_S)) is None:
                if self._broker.stopping or _hung_up(self._kernel):
                    raise _Gone
        return Totalled(values={name: tuple(values) for name, values in result.items()}), ()

    def _open_rounds(self, message: OpenRounds) -> Answer:
        if message.tensors != self._airlock.facts.bundle.tensors.digest():
            raise FlipError(
                "wrong-tensors",
                "The model's tensors are not those of the approved bundle.",
                remedy="Rehearse the notebook again and submit the new bundle.",
            )
        open_round = self._airlock.open_round
        if open_round is not None and open_round in self._broker._handed_over:
            # Its weights would be fetched anew, and the hub see when.
            raise FlipError(
                "given-already",
                f"This kernel was given round {open_round} already.",
                remedy="Call flip.rounds once, and iterate over it once.",
            )
        self._open = True
        return self._next()

    def _lend(self, message: LeaseRequest) -> Answer:
        if not self._open:
            raise FlipError("not-open", "Open the rounds first.")
        if message.what == "update":
            size = self._airlock.facts.bundle.tensors.update_layout()[1]
        else:
            size = message.size
            if not 1 <= size <= self._broker._state_bytes:
                raise FlipError(
                    "state-too-large",
                    f"The state has {size} bytes; 1 to {self._broker._state_bytes} can be saved.",
                    remedy="Name fewer objects in state=[...].",
                )
        loan = self._broker.loan(message.what)
        loan.empty()
        if message.what == "update":
            self._drop_update()
        self._lent[message.what] = size
        return Leased(size=size), (loan.descriptor,)

    def _submit(self, message: Submit) -> Answer:
        if message.round != self._round:
            raise FlipError("wrong-round", f"Round {message.round} is not the one that the notebook was given.")
        for what, wanted in (("update", message.update), ("state", message.state)):
            if wanted and what not in self._lent:
                raise FlipError("not-leased", f"The notebook submits its {what} without a lease.")
        # Its session has let go of the weights: they need not be there beside the update.
        self._broker.loan("weights").empty()
        state = self._broker.loan("state").part(self._lent["state"]) if message.state else None
        change = self._update() if message.update else None
        self._airlock.submit(
            message.round, message.report, change, state, leave=message.leave, agreement=message.agreement
        )
        self._round_over()
        self._broker._on_submit(message.round, message.leave)
        return self._next()

    def _update(self) -> Lease:
        """What the kernel has filled, moved to where it can't write; the same again until it asks for a new lease."""
        if self._filled is None:
            self._filled = self._broker.loan("update").moved(self._lent["update"])
        return self._filled

    def _drop_update(self) -> None:
        if self._filled is not None:
            self._filled.close()
            self._filled = None

    def _round_over(self) -> None:
        """Nothing of the round is needed any more; its memory would else be the machine's loss until the next."""
        self._lent.clear()
        self._drop_update()
        for loan in self._broker._loans.values():
            loan.empty()

    def _next(self) -> Answer:
        """The next round, for which the kernel waits as long as the hub needs; Ended after the last."""
        self._round = None
        self._lent.clear()
        while not self._airlock.finished:
            given = self._wait()
            context = given.context
            assert given.weights is not None
            weights = self._broker.loan("weights")
            with contextlib.closing(given.weights):
                weights.give(given.weights.descriptor, given.weights.size)
            descriptors = [weights.descriptor]
            saved = given.state.stat().st_size if given.state is not None else 0
            if given.state is not None and saved:
                # Under an earlier policy it may have been larger.
                state = self._broker.loan("state", least=saved)
                with given.state.open("rb") as file:
                    state.give(file.fileno(), saved)
                descriptors.append(state.descriptor)
            self._round = context.round
            self._broker._on_round(context.round)
            answer = NextRound(
                round=context.round,
                of=context.of,
                training=context.training,
                config=context.config,
                state_bytes=saved,
            )
            return answer, tuple(descriptors)
        return Ended(), ()

    def _wait(self) -> GivenRound:
        with self._broker.waiting():
            while (given := self._airlock.next_round(_POLL_S)) is None:
                if self._broker.stopping or _hung_up(self._kernel):
                    raise _Gone
            return given

    def _refuse(self, error: FlipError) -> None:
        self._send(Refused(problem=Problem(code=error.code, message=error.message, remedy=error.remedy)), ())

    def _send(self, answer: Document, descriptors: tuple[int, ...]) -> None:
        packet = answer.model_dump_json().encode()
        if len(packet) > PACKET_BYTES and isinstance(answer, Welcome):
            packet = answer.model_copy(update={"tensors": None}).model_dump_json().encode()
        try:
            socket.send_fds(self._kernel, [packet], list(descriptors))
        except OSError:
            raise _Gone from None


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    """Those that can be read, after ``_POLL_S`` at most; of any number, unlike ``select``'s, which ends at 1,024."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(1000 * _POLL_S)}
    return [one for one in sockets if one.fileno() in ready]


def _unread(kernel: socket.socket) -> bool:
    """Whether something that was sent is not read yet: unix(7), SIOCOUTQ."""
    return bool(struct.unpack("i", fcntl.ioctl(kernel, termios.TIOCOUTQ, bytes(4)))[0])


def _hung_up(kernel: socket.socket) -> bool:
    poll = select.poll()
    poll.register(kernel, select.POLLHUP | select.POLLRDHUP)
    return bool(poll.poll(0))


def state_bytes(memory_bytes: int) -> int:
    """How much state a notebook may save: half its memory, since it is held there and in what it is lent."""
    return max(memory_bytes // 2, MIB)
