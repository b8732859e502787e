"""Starting a collector: a jailed process that sees its configuration, its own directory and the network, no key."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import CONFIGURATION, AnyArchive, files_of, pacs_of, read_collector
from flipnb.enclave.collector.order import Order, Told
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import Bind, JailedProcess, spawn
from flipnb.files.logs import open_log
from flipnb.files.whole import write

DIRECTORY = "collected"
_COPIES = ".collector"
_INSIDE = Path("/run/collector")
_MOST_BYTES = 1 << 20
_NAMES = tuple(Path("/etc") / name for name in ("resolv.conf", "hosts", "nsswitch.conf", "localtime"))


class CollectorProcess:
    """A collector at work for ``enclave``, whose ``collector.json`` and ``collected/`` it sees, and nothing else of it.

    As root it has ``uid``, to whom ``collected/`` belongs then, and copies of the configuration's files in
    ``.collector/``. ``log`` gets its own words.
    """

    def __init__(self, enclave: Path, order: Order, *, uid: int | None, log: Path) -> None:
        """Raises FlipError for the configuration, and as ``spawn``."""
        configuration, directory = enclave / CONFIGURATION, enclave / DIRECTORY
        collector = read_collector(configuration)
        directory.mkdir(exist_ok=True, mode=0o700)
        named = [configuration, *(file for pacs in collector.archives().values() for file in files_of(pacs, enclave))]
        if uid is not None:
            _give(directory, uid)
            named = [_copied(file, enclave, uid) for file in named]
        inside = [_INSIDE / file.relative_to(enclave if uid is None else enclave / _COPIES) for file in named]
        interpreter = Interpreter.current()
        with open_log(log) as words:
            self._process: JailedProcess = spawn(
                [interpreter.executable, "-P", "-m", "flipnb.enclave.collector", inside[0], directory],
                uid=uid,
                visible=[
                    *(Bind(name) for name in _NAMES if name.exists()),
                    *(Bind(file, target) for file, target in zip(named, inside, strict=True)),
                    Bind(directory, writable=True),
                ],
                limits={"CORE": 0},
                network=True,
                environment={"TCP_NODELAY": "1"},
                interpreter=interpreter,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
            )
        assert self._process.stdin is not None
        with self._process.stdin as stream:
            stream.write(order.model_dump_json().encode())

    @property
    def pid(self) -> int:
        """Of the jail's outer process."""
        return self._process.pid

    def is_over(self) -> bool:
        """Whether it ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Have it end after what it is writing."""
        if not self.is_over():
            self._process.terminate()

    def kill(self) -> None:
        """End it at once; its store and its quarantine bear that."""
        self._process.kill()

    def told(self) -> Told:
        """What came of it, when it is over. Raises FlipError ``collector-died``, and what it tells of."""
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            said = stream.read(_MOST_BYTES)
        self._process.wait()
        try:
            told = Told.model_validate_json(said)
        except ValidationError:
            raise FlipError(
                "collector-died",
                f"The collector ended without a word (status {self._process.returncode}).",
                remedy="Start it again: it goes on where it was. Its log says more.",
                status=503,
            ) from None
        if told.problem is not None:
            raise told.problem.error(409)
        return told


def pacs_in(enclave: Path, name: str) -> AnyArchive:
    """The archive of this name in an enclave's configuration. Raises FlipError as ``read_collector``,
    ``unknown-pacs``."""
    return pacs_of(read_collector(enclave / CONFIGURATION), name, enclave / CONFIGURATION)


def _copied(file: Path, enclave: Path, uid: int) -> Path:
    """A copy that the collector's user may read: the file itself is nobody's but the controller's."""
    copy = enclave / _COPIES / file.relative_to(enclave)
    for folder in reversed(copy.relative_to(enclave).parents[:-1]):
        (enclave / folder).mkdir(exist_ok=True, mode=0o700)
        os.chown(enclave / folder, uid, uid)
    write(copy, file.read_bytes(), mode=0o600)
    os.chown(copy, uid, uid)
    return copy


def _give(directory: Path, uid: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
