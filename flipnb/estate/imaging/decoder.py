"""The end of a decoder that trusts nothing of it: files go in by descriptor, bytes and facts come back and are checked.

A decoder that died, or says what can't be, loses the one image; the next one is asked of a new process.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from flipnb.contracts.images import REASONS, Reason
from flipnb.estate.imaging.decoding import DISK_FULL, FILES_AT_ONCE, MOST_MESSAGE, DecodeOrder, Facts, Form
from flipnb.estate.imaging.geometry import Unusable

_LOG = logging.getLogger("flipnb.estate.imaging")
_START_S = 120.0
_SLACK_S = 30.0
"""How long a decoder may take beyond what it gives an image, before it is killed."""
_LEAST_S = 60.0
_BYTES_PER_S = 1 << 20
"""So slowly a file may decode, on a machine that has other things to do."""
_LEAST_MEMORY = 2 << 30
_TIMES_ITS_BYTES = 12
"""How much more memory an image may take than its files: compressed ones grow."""
_MOST_MEMORY = 12 << 30
_MOST_FILE = 6 << 30
_FULL_BYTES = _MOST_FILE + (1 << 30)


class Process(Protocol):
    """What a decoder runs as."""

    def kill(self) -> None:
        """End it now."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status."""
        ...


def unjailed(inside: socket.socket) -> Process:
    """A decoder as a plain process of this user, for estates that are read outside an enclave."""
    command = [sys.executable, "-P", "-m", "flipnb.estate.imaging.decoder_process", str(inside.fileno())]
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.Popen(command, pass_fds=[inside.fileno()], stdin=subprocess.DEVNULL, env=environment)


ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A decoder forks, which a process with threads must not."""


class Decoder:
    """Decodes one image at a time in a process that ``start`` makes, which is started with the first of them."""

    def __init__(self, start: Callable[[socket.socket], Process] = unjailed) -> None:
        self._start = start
        self._process: Process | None = None
        self._channel: socket.socket | None = None

    def decode(self, images: Sequence[int], labels: Sequence[int], form: Form, target: Path) -> Facts:
        """Decode files (open descriptors) into the new file ``target``; where it raises, its bytes mean nothing.

        Raises Unusable, and OSError where the disk is full.
        """
        sizes = [os.fstat(one).st_size for one in (*images, *labels)]
        if 0 in sizes:
            raise Unusable("unreadable")
        size = sum(sizes)
        order = DecodeOrder(
            form=form,
            images=len(images),
            labels=len(labels),
            memory_bytes=min(_MOST_MEMORY, _LEAST_MEMORY + _TIMES_ITS_BYTES * size),
            file_bytes=_MOST_FILE,
            seconds=_LEAST_S + size / _BYTES_PER_S,
        )
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            said = self._asked(order, handle, [*images, *labels])
        finally:
            os.close(handle)
        return _checked(said, form, target)

    def close(self) -> None:
        """End the process, if there is one."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                self._process.kill()
                self._process.wait(5.0)
        self._process = self._channel = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _asked(self, order: DecodeOrder, target: int, files: Sequence[int]) -> bytes:
        """What the process says; ``!crashed`` where it says nothing."""
        channel = self._open()
        try:
            channel.settimeout(order.seconds + _SLACK_S)
            socket.send_fds(channel, [order.model_dump_json().encode()], [target])
            for first in range(0, len(files), FILES_AT_ONCE):
                socket.send_fds(channel, [b"files"], list(files[first : first + FILES_AT_ONCE]))
            said = channel.recv(MOST_MESSAGE)
        except OSError as error:
            _LOG.warning("a decoder was lost: %s", type(error).__name__)
            said = b"!too-long" if isinstance(error, TimeoutError) else b""
        if not said or said == b"!too-long":
            self.close()
        return said or b"!crashed"

    def _open(self) -> socket.socket:
        if self._channel is not None:
            return self._channel
        outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside:
            self._process = self._start(inside)
        self._channel = outside
        outside.settimeout(_START_S)
        try:
            ready = outside.recv(MOST_MESSAGE)
        except OSError:
            ready = b""
        if ready != b"ready":
            self.close()
            raise RuntimeError("a decoder can't be started")
        return outside


def _checked(said: bytes, form: Form, target: Path) -> Facts:
    if said.startswith(b"!"):
        # Whoever decodes strangers' bytes is not believed: a full disk would stop a run.
        if said[1:] == DISK_FULL and shutil.disk_usage(target.parent).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        known: dict[bytes, Reason] = {reason.encode(): reason for reason in REASONS}
        raise Unusable(known.get(said[1:], "crashed"))
    try:
        facts = Facts.model_validate_json(said)
    except ValidationError:
        raise Unusable("crashed") from None
    facts.require_fit(form, target.stat().st_size)
    return facts
