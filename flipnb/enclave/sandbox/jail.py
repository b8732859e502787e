"""How an agent starts a child that must hold no key: seeing only what it is given, and without network, the collector
apart.

The child has its own mount, process, network, IPC and host-name namespaces, a read-only root made of the machine's
/usr, the Python that runs it and the paths named; as root the agent gives it an unprivileged uid, as an ordinary user
a user namespace. It ends when the agent ends, however that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.limits import ControlGroup

RUNTIME = Path("/run/flip")
"""A jail's own short, writable directory: unix socket paths may have 107 bytes."""
CONTROL_GROUP = Path("/run/cgroup")
_JAILER = Path(__file__).with_name("jailer.py")
_MIB = 1 << 20


@dataclass(frozen=True)
class Bind:
    """A file or directory of the machine, seen inside at ``target`` (where it is None, under the same path)."""

    source: Path
    target: Path | None = None
    writable: bool = False
    device: bool = False


@dataclass(frozen=True)
class Volatile:
    """A directory in memory that belongs to the child, bounded in bytes and in number of files."""

    target: Path
    size_bytes: int
    files: int = 20_000
    mode: int = 0o700


class JailedProcess(subprocess.Popen[bytes]):
    """The jail's outer process. Its exit status is the child's, 128 + n where signal n ended that.

    ``terminate()`` reaches the child as SIGTERM; ``kill()``, and losing this object, end everything in the jail.
    """

    _lifeline: int = -1

    def kill(self) -> None:
        self._release()
        super().kill()

    def _release(self) -> None:
        if self._lifeline >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lifeline)
            self._lifeline = -1

    def __del__(self, *arguments: Any, **named: Any) -> None:
        self._release()
        super().__del__()


def spawn(
    command: Sequence[str | Path],
    *,
    uid: int | None,
    visible: Sequence[Bind] = (),
    hidden: Sequence[Path] = (),
    volatile: Sequence[Volatile] = (),
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    limits: Mapping[str, int] | None = None,
    cgroup: ControlGroup | None = None,
    interpreter: Interpreter | None = None,
    network: bool = False,
    directory: Path = RUNTIME,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
) -> JailedProcess:
    """Start ``command`` in a jail and return when it runs; may be called from any thread.

    ``uid``: the unprivileged user to become, required as root and refused otherwise.
    ``visible``: what it sees besides /usr, its Python and flipnb; sources are resolved here, later ones lie on top.
    ``hidden``: paths below a visible one that are covered by something empty.
    ``volatile``: directories in memory; RUNTIME and /tmp are always among them.
    ``limits``: soft resource limits by the name after ``RLIMIT_``. ``cgroup``: joined before anything else, and
    seen read-only at CONTROL_GROUP.
    ``network``: it keeps the machine's, which the collector alone needs; every other child has none at all.
    Raises FlipError ``jail-uid``, ``jail-source`` (a visible path that does not exist), ``jail-failed``.
    """
    user, group = _identity(uid)
    interpreter = interpreter or Interpreter.current()
    binds = [*(Bind(tree) for tree in interpreter.trees()), *visible]
    if cgroup is not None:
        binds.append(Bind(cgroup.report, CONTROL_GROUP))
    own = [
        Volatile(RUNTIME, 16 * _MIB),
        Volatile(Path("/tmp"), 64 * _MIB, mode=0o1777),  # noqa: S108 (the jail's own)
        Volatile(Path("/dev/shm"), 64 * _MIB, mode=0o1777),  # noqa: S108
    ]
    named = {one.target for one in volatile}
    order: dict[str, Any] = {
        "uid": user,
        "gid": group,
        "visible": [_bind_order(bind) for bind in binds],
        "hidden": [os.fspath(path) for path in hidden],
        "volatile": [
            {"target": os.fspath(v.target), "size": v.size_bytes, "files": v.files, "mode": v.mode}
            for v in (*(one for one in own if one.target not in named), *volatile)
        ],
        "limits": dict(limits or {}),
        "network": network,
        "join": [os.fspath(path) for path in cgroup.members] if cgroup is not None else [],
        "command": [os.fspath(part) for part in command],
        "environment": {**_environment(interpreter), **(environment or {})},
        "directory": os.fspath(directory),
    }
    return _start(order, pass_fds, stdin, stdout, stderr)


def _start(
    order: dict[str, Any],
    pass_fds: Sequence[int],
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> JailedProcess:
    ready, ready_inside = os.pipe()
    lifeline_inside, lifeline = os.pipe()
    order |= {"ready": ready_inside, "lifeline": lifeline_inside}
    paper = os.memfd_create("order")
    os.write(paper, json.dumps(order).encode())
    os.lseek(paper, 0, os.SEEK_SET)
    passed = (paper, ready_inside, lifeline_inside)
    try:
        process = JailedProcess(
            [sys.executable, "-I", "-S", os.fspath(_JAILER), str(paper)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[*passed, *pass_fds],
            start_new_session=True,
            cwd="/",
            env={},
        )
    except BaseException:
        os.close(ready)
        os.close(lifeline)
        raise
    finally:
        for descriptor in passed:
            os.close(descriptor)
    process._lifeline = lifeline
    # Ends without a word when the command is executed, for the pipe closes with that.
    with os.fdopen(ready, "rb") as file:
        problem = file.read().decode(errors="replace")
    if problem:
        process.kill()
        process.wait()
        raise FlipError(
            "jail-failed",
            f"The process for {Path(order['command'][0]).name} could not be isolated: {problem}.",
            remedy="`flip enclave doctor` says what this machine lacks.",
        )
    return process


def _identity(uid: int | None) -> tuple[int, int]:
    if os.geteuid() != 0:
        if uid is not None and uid != os.geteuid():
            raise FlipError("jail-uid", f"Only root can start a process as user {uid}.")
        return os.geteuid(), os.getegid()
    if uid is None or uid <= 0:
        raise FlipError("jail-uid", "As root, an isolated process needs an unprivileged uid of its own.")
    return uid, uid


def _bind_order(bind: Bind) -> dict[str, Any]:
    try:
        source = bind.source.resolve(strict=True)
    except OSError as error:
        raise FlipError(
            "jail-source", f"{bind.source} can't be shown to an isolated process: {error.strerror}."
        ) from None
    return {
        "source": os.fspath(source),
        "target": os.fspath(bind.target or bind.source.absolute()),
        "writable": bind.writable,
        "device": bind.device,
    }


def _environment(interpreter: Interpreter) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": os.fspath(RUNTIME),
        "TMPDIR": "/tmp",  # noqa: S108 (the jail's own)
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": os.fspath(interpreter.project),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
