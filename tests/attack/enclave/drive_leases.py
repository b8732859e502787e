"""An enclave's broker and a hostile notebook's kernel, both of one ordinary user without a control group."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from drive_runner import execute, order
from enclave_scenario import SPEC, Chamber, Study

from flipnb.contracts.broker import PACKET_BYTES
from flipnb.enclave.airlock.broker import Broker, state_bytes
from flipnb.enclave.sandbox.limits import raise_open_files

MIB = 1 << 20
LIMIT = 512 * MIB

KERNEL = f"""
import json, mmap, os, socket, time
broker = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
broker.connect(os.environ["FLIP_BROKER"])
def ask(**message):
    broker.send(json.dumps(message).encode())
    data, descriptors, _, _ = socket.recv_fds(broker, 65536, 4)
    return json.loads(data), descriptors
def fill(descriptor, size):
    # Mapped, for a file that is written has a limit; and unmapped, for what is mapped counts as the kernel's own.
    for place in range(0, size, 16 << 20):
        with mmap.mmap(descriptor, 16 << 20, offset=place) as mapped:
            mapped.write(b"x" * (16 << 20))
held = ask(verb="open", tensors={SPEC.digest()!r})[1]
STATE = {state_bytes(LIMIT)}
"""
HOARD = """
for _ in range(8):
    held += ask(verb="lease", what="state", size=STATE)[1]
    fill(held[-1], STATE)
print(len(held))
time.sleep(1)
"""
BESIDE = """
held += ask(verb="lease", what="state", size=STATE)[1]
private = bytearray(300 << 20)
private[::4096] = b"x" * (len(private) // 4096)
fill(held[-1], STATE)
time.sleep(20)
"""
IN_FLIGHT = """
pairs, null = [], os.open("/dev/null", os.O_RDONLY)
try:
    while len(pairs) < 100:
        pairs.append(socket.socketpair())
        socket.send_fds(pairs[-1][0], [b"x"], [null] * 250)
except OSError as error:
    print(error.errno)
time.sleep(30)
"""


class Bench:
    """A broker that gives its kernel the first round."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.chamber = Chamber(Study(), directory)
        self.path = directory / "b.sock"
        self.misbehaved: list[str] = []
        self.broker = Broker(
            self.path,
            self.chamber.airlock,
            peer=os.geteuid(),
            state_bytes=state_bytes(LIMIT),
            on_round=lambda _: None,
            on_tell=lambda _: None,
            on_submit=lambda *_: None,
            on_misbehaviour=lambda code, _: self.misbehaved.append(code),
        )
        self.broker.start()
        self.chamber.give(1)

    def close(self) -> None:
        self.chamber.airlock.close()
        self.broker.stop()


def leased_bytes() -> int:
    """What lies in all memfds that any process here has open, as Linux tells it."""
    found: dict[int, int] = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()).startswith("/memfd:lease"):
                status = link.stat()
                found[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(found.values())


async def _most(over: asyncio.Event) -> int:
    most = 0
    while not over.is_set():
        most = max(most, await asyncio.to_thread(leased_bytes))
        await asyncio.sleep(0.05)
    return most


async def memory(bench: Bench, source: str) -> dict[str, Any]:
    """How a notebook ended, and the most that lay in leases meanwhile."""
    over = asyncio.Event()
    watching = asyncio.create_task(_most(over))
    one = order("a = 1", KERNEL + source, limits={"memory_bytes": LIMIT}, broker=bench.path)
    outcome = await execute(one, lent=lambda: bench.broker.lent_bytes)
    over.set()
    verdict = outcome.verdict
    return {
        "outcome": verdict.outcome,
        "class": verdict.error_class,
        "reason": verdict.reason,
        "text": outcome.text(),
        "most": await watching,
    }


class HonestKernel:
    """A run's kernel that does what sessions do."""

    def __init__(self, bench: Bench) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        self._socket.connect(os.fspath(bench.path))
        self._ask(verb="open", tensors=SPEC.digest())

    def _ask(self, **message: Any) -> bool:
        self._socket.send(json.dumps(message).encode())
        _, descriptors, _, _ = socket.recv_fds(self._socket, PACKET_BYTES, 4)
        for descriptor in descriptors:
            os.close(descriptor)
        return bool(descriptors)

    def leases(self, wanted: int = 49) -> int:
        """How many of as many leases it is given, one after the other, until the broker hangs up."""
        given = 0
        with self._socket, contextlib.suppress(OSError):
            while given < wanted and self._ask(verb="lease", what="update"):
                given += 1
        return given


def may_send() -> bool:
    """Whether this user may send a descriptor now, by this process's limit."""
    pair = socket.socketpair()
    with pair[0], pair[1], open(os.devnull) as null:
        try:
            socket.send_fds(pair[0], [b"x"], [null.fileno()])
        except OSError as error:
            return error.errno != errno.ETOOMANYREFS
    return True


async def in_flight(place: Path) -> dict[str, Any]:
    """What an honest run is given while a hostile one has as many descriptors in flight as it may."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    hostile, early, late = (Bench(place / name) for name in ("hostile", "early", "late"))
    kernels = HonestKernel(early), HonestKernel(late)
    running = asyncio.create_task(execute(order("a = 1", KERNEL + IN_FLIGHT, broker=hostile.path)))
    while may_send() and not running.done():
        await asyncio.sleep(0.05)
    before = await asyncio.to_thread(kernels[0].leases)
    raise_open_files()
    after = await asyncio.to_thread(kernels[1].leases)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    for bench in (hostile, early, late):
        bench.close()
    return {"before": before, "after": after}


async def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        if sys.argv[1] == "in-flight":
            return await in_flight(place)
        results = {}
        for name, source in (("hoard", HOARD), ("beside", BESIDE)):
            bench = Bench(place / name)
            results[name] = await memory(bench, source)
            bench.close()
        return results


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main())))
