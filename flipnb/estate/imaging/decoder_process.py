"""The process that decodes: ``python -m flipnb.estate.imaging.decoder_process FD``, without keys, jailed.

For each image it forks: what strangers' bytes do to a decoder ends with that image. A child gets the files that it is
to read as memory and a file to write to, and no socket; its memory, its processor's seconds and what it writes are
limited.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from flipnb.estate.imaging.decoding import DISK_FULL, FILES_AT_ONCE, MOST_MESSAGE, DecodeOrder, decode_image
from flipnb.estate.imaging.geometry import Unusable

_MOST_TOLD = 1 << 16
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def main() -> int:
    """Decode what is asked for on the socket until it is closed; 0 then."""
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # a child may not look into this process, or into another child
    _prepare()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        channel.send(b"ready")
        while True:
            message, (target, *_), _, _ = _receive(channel)
            if not message:
                return 0
            order = DecodeOrder.model_validate_json(message)
            files = _files(channel, order.images + order.labels)
            try:
                channel.send(_decoded(order, files, target, channel))
            finally:
                os.close(target)
                for one in files:
                    one.close()


def _prepare() -> None:
    """Import what every image needs, once for all children."""
    import numpy  # noqa: F401
    import pydicom
    import pydicom.pixels.decoders  # noqa: F401

    import flipnb.estate.imaging.decode
    import flipnb.estate.imaging.resampling  # noqa: F401


def _receive(channel: socket.socket) -> tuple[bytes, list[int], int, object]:
    message, handles, flags, address = socket.recv_fds(channel, MOST_MESSAGE, FILES_AT_ONCE)
    return message, handles or [-1], flags, address


def _files(channel: socket.socket, count: int) -> list[mmap.mmap]:
    """The files to read, as memory: no descriptor stays open."""
    found: list[mmap.mmap] = []
    while len(found) < count:
        message, handles, _, _ = _receive(channel)
        if not message:
            sys.exit(0)
        for handle in handles:
            try:
                found.append(mmap.mmap(handle, 0, prot=mmap.PROT_READ))
            finally:
                os.close(handle)
    return found


def _decoded(order: DecodeOrder, files: list[mmap.mmap], target: int, channel: socket.socket) -> bytes:
    """What a child told: facts as JSON, or ``!`` and the reason why there are none."""
    if order.form.labels:
        import highdicom  # noqa: F401 (before the fork, once)
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        channel.close()
        _child(order, files, target, telling)
    os.close(telling)
    deadline = time.monotonic() + order.seconds
    try:
        said = _listen(told, deadline)
    finally:
        os.close(told)
        if said_nothing_yet := _is_running(child, deadline):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said_nothing_yet:
        return b"!too-long"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return b"!too-long"
    return said if status == 0 and said else b"!crashed"


def _listen(told: int, deadline: float) -> bytes:
    """What the child says until it ends, or its time does."""
    said = b""
    poll = select.poll()
    poll.register(told, select.POLLIN)
    while len(said) <= _MOST_TOLD:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return b""
        block = os.read(told, _MOST_TOLD)
        if not block:
            return said
        said += block
    return b""


def _is_running(child: int, deadline: float) -> bool:
    """Whether a child has not ended by the deadline, nor a second later."""
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return not poll.poll(max(1.0, deadline - time.monotonic()) * 1000)
    finally:
        os.close(handle)


def _child(order: DecodeOrder, files: list[mmap.mmap], target: int, telling: int) -> NoReturn:
    """Decode one image and end; nothing of the parent's is run any more."""
    status = 1
    with contextlib.suppress(BaseException):
        _limit(order)
        os.write(telling, _told(order, files, target))
        status = 0
    os._exit(status)


def _told(order: DecodeOrder, files: list[mmap.mmap], target: int) -> bytes:
    views = [memoryview(one) for one in files]
    try:
        facts, pixels, labels = decode_image(views[: order.images], views[order.images :], order.form)
    except Unusable as unusable:
        return f"!{unusable.reason}".encode()
    try:
        for array in (pixels,) if labels is None else (pixels, labels):
            _write(target, array.reshape(-1).view("uint8").data)
    except OSError as error:
        return b"!" + DISK_FULL if error.errno == errno.ENOSPC else b"!too-large"
    return facts.model_dump_json().encode()


def _write(target: int, data: memoryview) -> None:
    while data:
        data = data[os.write(target, data) :]


def _limit(order: DecodeOrder) -> None:
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    seconds = max(1, int(order.seconds))
    for limit, value in (
        (resource.RLIMIT_DATA, order.memory_bytes),
        (resource.RLIMIT_FSIZE, order.file_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        hard = resource.getrlimit(limit)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (least, least))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    sys.exit(main())
