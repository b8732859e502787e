"""The broker over a real socket: a session that behaves, and kernels that do not."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enclave_scenario import SPEC, WEIGHTS, Chamber, Study, sealed

from flipnb.contracts.broker import PACKET_BYTES, Tell
from flipnb.contracts.problem import FlipError
from flipnb.enclave.airlock.broker import Broker
from flipnb.session.broker import BrokerChannel
from flipnb.session.rounds import Rounds

REPORT = {"loss": 0.5, "accuracy": 0.75}


class Bench:
    """A chamber with a broker on a socket, and what the broker told its run."""

    def __init__(self, chamber: Chamber, directory: Path) -> None:
        self.chamber = chamber
        self.told: list[Any] = []
        self.path = directory / "broker.sock"
        self.broker = self._listening()

    def _listening(self) -> Broker:
        broker = Broker(
            self.path,
            self.chamber.airlock,
            peer=os.geteuid(),
            state_bytes=1 << 20,
            on_round=lambda number: self.told.append(("round", number)),
            on_tell=lambda tell: self.told.append(("tell", tell.epoch)),
            on_submit=lambda number, leave: self.told.append(("submit", number, leave)),
            on_misbehaviour=lambda code, reason: self.told.append((code, reason)),
        )
        broker.start()
        return broker

    def start_anew(self) -> None:
        """The broker of the next kernel."""
        self.broker.stop()
        self.broker = self._listening()

    def socket(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(5)
        connection.connect(str(self.path))
        return connection

    def misbehaved(self) -> bool:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if any(item[0] == "broker-misuse" for item in self.told):
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        self.chamber.airlock.close()
        self.broker.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="flip") as short:
        bench = Bench(Chamber(Study(), tmp_path), Path(short))
        yield bench
        bench.close()


def ask(kernel: socket.socket, message: Any) -> dict[str, Any]:
    kernel.send(message if isinstance(message, bytes) else json.dumps(message).encode())
    answer = kernel.recv(PACKET_BYTES)
    return json.loads(answer) if answer else {"kind": "closed"}


def open_rounds(kernel: socket.socket) -> dict[str, Any]:
    return ask(kernel, {"verb": "open", "tensors": SPEC.digest()})


def lease(kernel: socket.socket, what: str = "update", size: int = 0) -> int:
    kernel.send(json.dumps({"verb": "lease", "what": what, "size": size}).encode())
    _, (descriptor, *_), _, _ = socket.recv_fds(kernel, PACKET_BYTES, 1)
    return descriptor


def code(answer: dict[str, Any]) -> str:
    assert answer["kind"] == "refused", answer
    return str(answer["problem"]["code"])


def test_a_sessions_rounds_from_the_first_to_the_last(bench: Bench) -> None:
    """flip.rounds itself on one side; contexts come while it waits."""
    chamber = bench.chamber
    chamber.give(1)

    def hub() -> None:
        for number in (2, 3):
            while chamber.store.rounds.get(chamber.run, number - 1).reply is None:  # type: ignore[union-attr]
                time.sleep(0.005)
            chamber.give(number)

    thread = threading.Thread(target=hub)
    thread.start()
    model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    seen = []
    for rnd in Rounds(BrokerChannel(str(bench.path)), model, state=[]):
        seen.append((rnd.number, rnd.training))
        rnd.progress(1)
        if rnd.training:
            model["weight"] += 1.0
        rnd.report(**REPORT)
    thread.join()
    assert seen == [(1, True), (2, True), (3, False)]
    assert [item for item in bench.told if item[0] == "submit"] == [("submit", n, False) for n in (1, 2, 3)]
    assert ("tell", 1) in bench.told


def test_leaving_early_is_told(bench: Bench) -> None:
    bench.chamber.give(1)
    model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    for rnd in Rounds(BrokerChannel(str(bench.path)), model, state=[]):
        rnd.report(**REPORT)
        break
    assert ("submit", 1, True) in bench.told


def test_other_tensors_are_refused_by_name(bench: Bench) -> None:
    with pytest.raises(FlipError) as caught:
        next(iter(Rounds(BrokerChannel(str(bench.path)), {"weight": np.zeros(5, np.float32)}, state=[])))
    assert caught.value.code == "wrong-tensors"


@pytest.mark.parametrize(
    "packet",
    [
        b"not json",
        b"{}",
        b"[" * 60_000,
        b'{"verb":"submit","round":1,"report":{"loss":NaN}}',
        b'{"verb":"submit","round":1,"report":{"loss":1e999}}',
        b'{"verb":"submit","round":-1,"report":{}}',
        b'{"verb":"open","tensors":"../../etc/passwd"}',
        b'{"verb":"lease","what":"keys"}',
        b'{"verb":"hello","extra":1}',
        b'{"verb":"open"}\n{"verb":"open"}',
        b"\x00\xff" * 100,
        b"x" * (PACKET_BYTES + 1),
    ],
)
def test_what_no_session_sends_ends_the_run(bench: Bench, packet: bytes) -> None:
    bench.chamber.give(1)
    with bench.socket() as kernel:
        assert code(ask(kernel, packet)) in ("bad-message", "packet-too-large")
        assert bench.misbehaved()
        assert kernel.recv(10) == b""
    assert bench.chamber.store.rounds.get(bench.chamber.run, 1).reply is None  # type: ignore[union-attr]


def test_descriptors_from_the_kernel_are_not_taken(bench: Bench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with bench.socket() as kernel:
        own = len(list(Path("/proc/self/fd").iterdir())) - before
        with open("/dev/null") as null:
            socket.send_fds(kernel, [b'{"verb":"hello"}'], [null.fileno()] * 100)
        assert code(json.loads(kernel.recv(PACKET_BYTES))) == "descriptor-refused"
        assert bench.misbehaved()
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + own
    assert not any(str(item[0]).startswith("broker-failed") for item in bench.told)


def test_what_a_kernel_writes_after_its_submission_is_not_sent(bench: Bench) -> None:
    """It keeps its mapping, and another descriptor; what was taken was copied."""
    bench.chamber.give(1)
    size = SPEC.update_layout()[1]
    with bench.socket() as kernel:
        open_rounds(kernel)
        descriptor = lease(kernel)
        held = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        held[:4] = np.float32(0.25).tobytes()
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
        kernel.send(json.dumps({"verb": "submit", "round": 1, "report": REPORT}).encode())
        while bench.chamber.store.rounds.get(bench.chamber.run, 1).reply is None:  # type: ignore[union-attr]
            time.sleep(0.01)
        stored = bench.chamber.store.rounds.get(bench.chamber.run, 1)
        assert stored is not None and stored.update_path is not None
        sent = Path(stored.update_path).read_bytes()
        held[:4] = np.float32(99.0).tobytes()
        os.pwrite(descriptor, b"late", 4)
        assert Path(stored.update_path).read_bytes() == sent
        held.close()


def test_a_kernel_has_one_memory_of_each_kind_however_often_it_asks(bench: Bench) -> None:
    bench.chamber.give(1)
    inodes: set[tuple[int, int]] = set()
    with bench.socket() as kernel:
        kernel.send(json.dumps({"verb": "open", "tensors": SPEC.digest()}).encode())
        _, (weights, *_), _, _ = socket.recv_fds(kernel, PACKET_BYTES, 4)
        for what, length in [("state", 1 << 20), ("state", 5), ("update", 0)] * 9:
            descriptor = lease(kernel, what, length)
            os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
            inodes.add((os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino))
        inodes.add((os.fstat(weights).st_dev, os.fstat(weights).st_ino))
    assert len(inodes) == 3
    assert bench.broker.lent_bytes < (2 << 20)


def test_a_kernel_that_reads_no_answer_has_one_in_flight(bench: Bench) -> None:
    """Each that waits holds a descriptor, of which a user may have no more in flight than open files."""
    bench.chamber.give(1)
    with bench.socket() as kernel:
        open_rounds(kernel)
        kernel.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while sent < 5000:
                kernel.send(json.dumps({"verb": "lease", "what": "update"}).encode())
                sent += 1
        assert sent > 50
        time.sleep(0.5)
        answers = 0
        with contextlib.suppress(BlockingIOError):
            while answers < sent:
                (descriptor,) = socket.recv_fds(kernel, PACKET_BYTES, 4)[1]
                os.close(descriptor)
                answers += 1
        # One waited; another may have come while that was read.
        assert 1 <= answers <= 5


def test_what_a_notebook_can_mend_is_refused_and_goes_on(bench: Bench) -> None:
    bench.chamber.give(1)
    with bench.socket() as kernel:
        assert code(ask(kernel, {"verb": "lease", "what": "update"})) == "not-open"
        assert code(ask(kernel, {"verb": "progress", "epoch": 1})) == "not-open"
        answer = open_rounds(kernel)
        assert (answer["round"], answer["of"], answer["training"]) == (1, 2, True)
        good: dict[str, Any] = {"verb": "submit", "round": 1, "report": REPORT}
        assert code(ask(kernel, good)) == "not-leased"
        descriptor = lease(kernel)
        assert code(ask(kernel, {**good, "round": 2})) == "wrong-round"
        assert code(ask(kernel, {**good, "report": {"loss": 0.5}})) == "missing-output"
        assert code(ask(kernel, {**good, "report": {**REPORT, "people": 303}})) == "undeclared-output"
        assert code(ask(kernel, {**good, "update": False})) == "update-missing"
        assert code(ask(kernel, {"verb": "lease", "what": "state", "size": 2 << 20})) == "state-too-large"
        os.pwrite(descriptor, np.array([np.nan], np.float32).tobytes(), 0)
        # What was submitted once was moved away; another change needs another lease.
        descriptor = lease(kernel)
        os.pwrite(descriptor, np.array([np.nan], np.float32).tobytes(), 0)
        assert code(ask(kernel, good)) == "not-finite"
        assert not bench.broker.stopping
        os.close(lease(kernel))
        kernel.send(json.dumps(good).encode())
        while bench.chamber.store.rounds.get(bench.chamber.run, 1).reply is None:  # type: ignore[union-attr]
            time.sleep(0.01)


def test_endless_refusals_end_the_run(bench: Bench) -> None:
    with bench.socket() as kernel:
        for _ in range(40):
            try:
                if ask(kernel, {"verb": "progress", "epoch": 1})["kind"] == "closed":
                    break
            except OSError:
                break
        assert bench.misbehaved()


def test_one_connection_at_a_time_and_a_flood_of_them_ends_the_run(bench: Bench) -> None:
    with bench.socket() as kernel:
        assert ask(kernel, {"verb": "hello"})["rounds"] == 2
        second = bench.socket()
        assert second.recv(10) == b""
        second.close()
        assert ask(kernel, {"verb": "hello"})["rounds"] == 2
        for _ in range(1000):
            if bench.broker.stopping:
                break
            try:
                bench.socket().close()
            except BlockingIOError:
                time.sleep(0.005)
        assert bench.misbehaved()


def test_a_flood_of_messages_is_slowed_down(bench: Bench) -> None:
    with bench.socket() as kernel:
        started = time.monotonic()
        for _ in range(600):
            ask(kernel, {"verb": "hello"})
        assert time.monotonic() - started > 0.5


def test_weights_lie_at_the_beginning_of_what_is_lent(bench: Bench) -> None:
    bench.chamber.give(1)
    with bench.socket() as kernel:
        kernel.send(json.dumps({"verb": "open", "tensors": SPEC.digest()}).encode())
        _, (descriptor,), _, _ = socket.recv_fds(kernel, PACKET_BYTES, 4)
        assert os.pread(descriptor, len(WEIGHTS), 0) == WEIGHTS


def test_a_new_kernel_is_given_the_open_round_again_with_its_state(bench: Bench) -> None:
    chamber = bench.chamber
    chamber.give(1)
    with bench.socket() as kernel:
        open_rounds(kernel)
        os.close(lease(kernel))
        state = lease(kernel, "state", 5)
        os.pwrite(state, b"adam!", 0)
        kernel.send(json.dumps({"verb": "submit", "round": 1, "report": REPORT, "state": True}).encode())
        while chamber.store.rounds.get(chamber.run, 1).reply is None:  # type: ignore[union-attr]
            time.sleep(0.01)
    context = chamber.give(2)
    fetched = []

    def fetch() -> None:
        fetched.append(chamber.airlock.lacks(2))
        chamber.airlock.offer(context, sealed(WEIGHTS))

    chamber.airlock.on_wanted = fetch
    for _ in range(2):
        bench.start_anew()
        with bench.socket() as kernel:
            kernel.send(json.dumps({"verb": "open", "tensors": SPEC.digest()}).encode())
            answer, (weights, state), _, _ = socket.recv_fds(kernel, PACKET_BYTES, 4)
            assert json.loads(answer)["round"] == 2
            assert os.pread(state, json.loads(answer)["state_bytes"], 0) == b"adam!"
            os.close(weights)
    # The enclave held no weights while the first kernel had them.
    assert fetched == [True]


@pytest.mark.parametrize("hang_up", [False, True], ids=["same connection", "another one"])
def test_a_kernel_is_given_a_round_once(bench: Bench, hang_up: bool) -> None:
    """Its weights are fetched anew for a kernel that is started anew, and a hub sees when: no clock for a notebook."""
    bench.chamber.give(1)
    fetched: list[int] = []
    bench.chamber.airlock.on_wanted = lambda: fetched.append(1)
    kernel = bench.socket()
    assert open_rounds(kernel)["round"] == 1
    for _ in range(3):
        if hang_up:
            kernel.close()
            kernel = bench.socket()
        assert code(open_rounds(kernel)) == "given-already"
    kernel.close()
    assert fetched == []


def test_another_user_may_not_connect(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="flip") as short:
        chamber = Chamber(Study(), tmp_path)
        nothing = lambda *_: None  # noqa: E731
        broker = Broker(
            Path(short) / "b.sock",
            chamber.airlock,
            peer=os.geteuid() + 1,
            state_bytes=1,
            on_round=nothing,
            on_tell=nothing,
            on_submit=nothing,
            on_misbehaviour=nothing,
        )
        broker.start()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as kernel:
                kernel.settimeout(5)
                kernel.connect(str(Path(short) / "b.sock"))
                assert kernel.recv(10) == b""
        finally:
            chamber.airlock.close()
            broker.stop()


def test_progress_within_a_round(bench: Bench) -> None:
    bench.chamber.give(1)
    channel = BrokerChannel(str(bench.path))
    from flipnb.session.model import Model

    channel.open(Model({"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}, ()))
    channel.tell(Tell(epoch=3))
    assert ("tell", 3) in bench.told


def test_a_kernel_is_heard_beside_many_open_files(tmp_path: Path) -> None:
    """An agent with many runs has more than the 1,024 files that ``select`` can wait for."""
    held: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    try:
        held += (os.open(os.devnull, os.O_RDONLY) for _ in range(1100))
        with tempfile.TemporaryDirectory(prefix="flip") as short:
            bench = Bench(Chamber(Study(), tmp_path), Path(short))
            bench.chamber.give(1)
            with bench.socket() as kernel:
                assert open_rounds(kernel)["kind"] != "refused"
            bench.close()
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
