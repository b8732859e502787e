"""The small process between an agent and its keyless child: builds the child's walls, then watches over it.

Started as a file of its own, single-threaded, importing the standard library alone: between fork and exec of a
program with threads, Python code may not run. Three processes share it: the outer one dies with the agent (its
lifeline, a pipe, closes) and hands signals on; the inner one is the first process of a new process namespace, so that
its end ends all others; the third becomes the child.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

FAILED = 125
"""Exit status where the walls could not be built; the reason is on the ``ready`` pipe."""

_libc = ctypes.CDLL(None, use_errno=True)
_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_MOUNT_SETATTR = 442
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_STAGE = "/tmp"  # noqa: S108 (covered at once, in a mount namespace of its own)
_NODES = ("null", "zero", "full", "random", "urandom", "tty")


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    ]


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = [os.fsencode(text) if text else None for text in (source, target, kind)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def _restrict(target: str, flags: int, *, recursive: bool) -> None:
    """Add mount flags, to all mounts below too: a plain remount would reach the topmost alone."""
    attributes = _MountAttributes(set=flags)
    how = _AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(how),
        ctypes.byref(attributes),
        size,
    )
    _check(result, f"restrict {target}")


def _pivot(new: bytes, old: bytes) -> None:
    number = ctypes.c_long(_SYS_PIVOT_ROOT[os.uname().machine])
    _check(_libc.syscall(number, ctypes.c_char_p(new), ctypes.c_char_p(old)), "pivot_root")


def _bind(source: str, target: str, flags: int) -> None:
    place = Path(target)
    if Path(source).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(source, target, "", _BIND | _REC)
    _restrict(target, flags, recursive=True)


def _isolate(*, network: bool) -> None:
    flags = _NEW_NS | _NEW_UTS | _NEW_IPC | _NEW_PID | (0 if network else _NEW_NET)
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _check(_libc.unshare(flags), "unshare")
        return
    _check(_libc.unshare(flags | _NEW_USER), "unshare (are user namespaces allowed on this machine?)")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _build(order: dict[str, Any]) -> None:
    """A new root that holds what the order names, and nothing else of the machine."""
    _mount("", "/", "", _REC | _PRIVATE)
    # This directory exists everywhere; the old root, with the old one, stays reachable under /old until the end.
    _mount("tmpfs", _STAGE, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
    os.chdir(_STAGE)
    Path("old").mkdir()
    Path("new").mkdir()
    _pivot(b".", b"old")
    os.chdir("/")
    _mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4m")
    new, old = Path("/new"), Path("/old")
    _system(new, old)
    for volatile in order["volatile"]:
        target = f"{new}{volatile['target']}"
        Path(target).mkdir(parents=True, exist_ok=True)
        options = f"size={volatile['size']},nr_inodes={volatile['files']},mode={volatile['mode']:04o}"
        _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, f"{options},uid={order['uid']},gid={order['gid']}")
    for bind in order["visible"]:
        flags = _NOSUID | (0 if bind["device"] else _NODEV) | (0 if bind["writable"] else _RDONLY)
        _bind(f"{old}{bind['source']}", f"{new}{bind['target']}", flags)
    for hidden in order["hidden"]:
        target = f"{new}{hidden}"
        if Path(target).is_dir():
            _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV | _RDONLY, "mode=0000,size=4k")
        elif Path(target).exists():
            _mount("/new/dev/null", target, "", _BIND)

    _restrict("/new", _RDONLY, recursive=False)
    os.chdir("/new")
    _pivot(b".", b".")
    # Both roots now lie at the same place, the old one on top.
    _check(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _system(new: Path, old: Path) -> None:
    """The machine's programs and libraries, a process table of the jail's own, and the harmless devices."""
    read_only = _RDONLY | _NOSUID | _NODEV
    for name in ("lib", "lib32", "lib64", "libx32", "bin", "sbin"):
        if (old / name).is_symlink():
            (new / name).symlink_to((old / name).readlink())
        elif (old / name).is_dir():
            _bind(f"{old}/{name}", f"{new}/{name}", read_only)
    _bind(f"{old}/usr", f"{new}/usr", read_only)
    for name in ("ld.so.cache", "alternatives"):
        if (old / "etc" / name).exists():
            _bind(f"{old}/etc/{name}", f"{new}/etc/{name}", read_only)
    (new / "proc").mkdir()
    _mount("proc", f"{new}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    (new / "dev").mkdir()
    for node in _NODES:
        _bind(f"{old}/dev/{node}", f"{new}/dev/{node}", _NOSUID | _NOEXEC)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (new / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (new / "dev" / "fd").symlink_to("/proc/self/fd")


def _become(order: dict[str, Any]) -> NoReturn:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    os.setsid()
    for name, value in order["limits"].items():
        limit = getattr(resource, f"RLIMIT_{name}")
        # The hard limit stays, for a sandbox inside has limits of its own, which may be higher.
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
    _check(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    os.chdir(order["directory"])
    os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606 (no shell wanted)


def _forward(child: int) -> None:
    def hand_on(signum: int, _frame: object) -> None:
        os.kill(child, signum)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, hand_on)


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code


def _first_process(order: dict[str, Any]) -> NoReturn:
    _check(_libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "pdeathsig")
    _build(order)
    child = os.fork()
    if child == 0:
        _become(order)
    _forward(child)
    _close_all_but()
    while True:
        ended, wait_status = os.waitpid(-1, 0)
        if ended == child:
            os._exit(_status(wait_status))


def _close_all_but(*kept: int) -> None:
    low = 0
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 1 << 16)


def main() -> NoReturn:
    """Build the walls that the order asks for, start the child, and end with it, or end it with its parent."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order: dict[str, Any] = json.loads(file.read())
    ready, lifeline = order["ready"], order["lifeline"]
    os.set_inheritable(ready, False)
    os.set_inheritable(lifeline, False)
    outer = os.getpid()
    try:
        for path in order["join"]:
            Path(path).write_text("0")
        _isolate(network=order["network"])
        inner = os.fork()
        if inner == 0:
            _first_process(order)
    except BaseException as error:
        os.write(ready, str(error).encode()[:1024] or b"unknown error")
        os._exit(FAILED)
    assert os.getpid() == outer
    _forward(inner)
    _close_all_but(lifeline)
    watched = os.pidfd_open(inner)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(watched, select.POLLIN)
    if any(descriptor == lifeline for descriptor, _ in poll.poll()):
        os.kill(inner, signal.SIGKILL)
    os._exit(_status(os.waitpid(inner, 0)[1]))


if __name__ == "__main__":
    main()
