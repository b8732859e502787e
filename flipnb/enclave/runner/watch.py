"""The watch over one kernel: ends it when a limit is passed or the agent says stop, and remembers why."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import zmq

from flipnb.contracts.policy import KernelLimits
from flipnb.enclave.runner.meter import Meter
from flipnb.enclave.sandbox.limits import eighths, proportional_bytes, resident_bytes

TICK_S = 0.1
MEASURE_S = 2.0
DISCONNECT_S = 0.7
"""A kernel that ends closes its channels too; one that still runs so long after has sent an oversized frame."""

Cause = Literal["stop", "memory", "wall-time", "cell-time", "output-bytes", "output-messages", "bad-message"]
_LOG = logging.getLogger(__name__)


class Watch(threading.Thread):
    """``cause`` is why the kernel was ended, None while it was not.

    ``watch_memory``: where no control group limits memory, resident memory is read at each tick. ``rose`` is called
    whenever the most memory so far has entered another eighth of the limit.
    """

    def __init__(self, limits: KernelLimits, meter: Meter, *, watch_memory: bool, rose: Callable[[int], None]) -> None:
        super().__init__(name="watch", daemon=True)
        self.cause: Cause | None = None
        self._limits = limits
        self._meter = meter
        self._watch_memory = watch_memory
        self._rose, self._eighths, self._measured = rose, 0, 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0
        self._cell_started: float | None = None
        self._complaints: Callable[[], str] = str
        self._stopping = False
        self._over = threading.Event()
        self._monitor: zmq.Socket[bytes] | None = None
        self._monitor_lock = threading.Lock()
        self._disconnected: float | None = None

    def attach(self, process: subprocess.Popen[bytes], complaints: Callable[[], str]) -> None:
        """The kernel's process runs from now on; its wall time begins."""
        self._since = time.monotonic()
        self._complaints = complaints
        self._process = process

    def listen(self, channel: Any) -> None:
        """Notice when the output channel's connection breaks, as it does at an oversized frame."""
        address = "inproc://flip-disconnects"
        channel.monitor(address, zmq.EVENT_DISCONNECTED)
        monitor: zmq.Socket[bytes] = zmq.Context.shadow(channel.context.underlying).socket(zmq.PAIR)
        monitor.linger = 0
        monitor.connect(address)
        self._monitor = monitor

    def deafen(self) -> None:
        """Give the listening socket back, without which the channels' context can't be closed."""
        with self._monitor_lock:
            if self._monitor is not None:
                self._monitor.close()
                self._monitor = None

    def cell(self, running: bool) -> None:
        """A cell has begun or ended; its seconds count from here."""
        self._cell_started = time.monotonic() if running else None

    def stop(self) -> None:
        """End the kernel at the agent's word. Safe in a signal handler."""
        self._stopping = True

    def close(self) -> None:
        """End the watch, and wait until its thread has ended."""
        self._over.set()
        if self.is_alive():
            self.join()
        self.deafen()

    def run(self) -> None:
        while not self._over.wait(TICK_S):
            process = self._process
            if process is None:
                continue
            if complaint := self._complaints():
                _LOG.warning("the sandbox says: %s", complaint.encode("unicode_escape").decode())
            if self.cause is None and process.poll() is None:
                self.cause = self._passed(process.pid)
                self._measure(process.pid)
            if self.cause is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    def _measure(self, pid: int) -> None:
        now = time.monotonic()
        if now - self._measured < MEASURE_S:
            return
        self._measured = now
        used = eighths(proportional_bytes(pid), self._limits.memory_bytes)
        if used > self._eighths:
            self._eighths = used
            self._rose(used)

    def _passed(self, pid: int) -> Cause | None:
        now, limits = time.monotonic(), self._limits
        if self._stopping:
            return "stop"
        if self._meter.exceeded:
            return self._meter.exceeded
        if now - self._since > limits.wall_seconds:
            return "wall-time"
        started = self._cell_started
        if started is not None and now - started > limits.cell_seconds:
            return "cell-time"
        if self._broken(now):
            return "output-bytes"
        if self._watch_memory and resident_bytes(pid) > limits.memory_bytes < proportional_bytes(pid):
            return "memory"
        return None

    def _broken(self, now: float) -> bool:
        with self._monitor_lock:
            if self._monitor is not None and self._disconnected is None and self._monitor.poll(0):
                self._disconnected = now
        return self._disconnected is not None and now - self._disconnected > DISCONNECT_S
