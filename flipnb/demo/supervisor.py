"""Keeps the demo federation's daemons running: starts them in order, restarts what dies, stops everything.

One supervisor per federation directory (a file lock says so). Its children get SIGTERM when it dies, however it dies,
so that no daemon is left behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from flipnb.contracts.problem import FlipError
from flipnb.files.logs import log_to_stderr, logs_kept, open_log
from flipnb.files.whole import write

log = logging.getLogger("flip.demo")

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 8.0
_HEALTHY_SECONDS = 10.0
_LONGEST_PAUSE = 10.0


@dataclass
class Daemon:
    """One program under supervision. ``ready`` is a file or socket that it makes anew when it serves."""

    name: str
    argv: list[str]
    ready: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    started_at: float = 0.0
    restarts: int = 0
    next_start: float = 0.0
    pause: float = field(default=0.25)

    def start(self) -> None:
        """Start the process, its output added to its log; it gets SIGTERM when this process dies."""
        with open_log(self.log) as output:
            self.started, self.started_at = time.monotonic(), time.time()
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
                start_new_session=True,
            )

    def state(self) -> str:
        """``down``, ``starting``, or ``up`` once it has made its ready file anew."""
        if self.process is None or self.process.poll() is not None:
            return "down"
        try:
            return "up" if self.ready.stat().st_mtime >= self.started_at - 0.01 else "starting"
        except FileNotFoundError:
            return "starting"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Runs in the foreground until SIGTERM or SIGINT."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._daemons = [
            Daemon(d["name"], d["argv"], Path(d["ready"]), Path(d["log"]))
            for d in json.loads((directory / "daemons.json").read_text())
        ]
        self._stopping = False

    def run(self) -> None:
        """Keep the daemons up until SIGTERM or SIGINT, then end them. Raises FlipError ``already-up``."""
        lock = (self._directory / "supervisor.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlipError(
                "already-up", f"A federation is already up in {self._directory}.", remedy="See `flip status`."
            ) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                self._keep()
                self._write_status()
                time.sleep(0.1)
        finally:
            self._end()
            (self._directory / "status.json").unlink(missing_ok=True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _keep(self) -> None:
        now = time.monotonic()
        for daemon in self._daemons:
            process = daemon.process
            if process is None:
                daemon.start()
            elif process.poll() is not None:
                if daemon.next_start <= daemon.started:
                    if now - daemon.started > _HEALTHY_SECONDS:
                        daemon.pause = 0.25
                    daemon.next_start = now + daemon.pause
                    daemon.pause = min(2 * daemon.pause, _LONGEST_PAUSE)
                    log.warning("%s ended; starting it again", daemon.name, extra={"exit": process.returncode})
                if now >= daemon.next_start:
                    daemon.restarts += 1
                    daemon.start()
            if daemon.state() != "up" and daemon is self._daemons[0]:
                return  # the hub first: the enclaves connect to it

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "daemons": {
                d.name: {
                    "state": d.state(),
                    "pid": d.process.pid if d.process else None,
                    "restarts": d.restarts,
                    "log": str(d.log),
                }
                for d in self._daemons
            },
        }
        text = json.dumps(status)
        path = self._directory / "status.json"
        if path.exists() and path.read_text() == text:
            return
        write(path, text.encode())

    def _end(self) -> None:
        """Enclaves first, so that they can still tell the hub; then the hub."""
        hub, enclaves = self._daemons[:1], self._daemons[1:]
        for group in (enclaves, hub):
            running = [d.process for d in group if d.process is not None and d.process.poll() is None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + _STOP_SECONDS
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


if __name__ == "__main__":
    if "--attached" in sys.argv:
        _end_with_parent()
    log_to_stderr()
    with logs_kept((Path(sys.argv[1]), "supervisor.log")):
        Supervisor(Path(sys.argv[1])).run()
