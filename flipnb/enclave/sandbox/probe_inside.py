"""Runs inside the sandbox, alone: tries what a kernel must not be able to do, and prints what worked as JSON."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

QUESTIONS = "/run/questions.json"
_FAMILIES = {
    "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_BLUETOOTH": 31, "AF_ALG": 38,
    "AF_VSOCK": 40, "AF_XDP": 44,
}  # fmt: skip
_CALLS = {
    "shmget": 29, "ptrace": 101, "mount": 165, "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250,
    "unshare": 272, "vmsplice": 278, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "pidfd_getfd": 438,
    "memfd_secret": 447, "flock": 73, "sysinfo": 99, "statfs": 137, "fstatfs": 138, "readahead": 187,
    "fadvise64": 221, "inotify_init": 253, "inotify_init1": 294, "preadv2": 327,
}  # fmt: skip
_CLONE, _FCNTL, _MEMFD_CREATE = 56, 72, 319
_F_GETLK = 5
_NEW_USER = 0x10000000
_BLOCK = 1 << 20
_WRITABLE = ("/scratch", "/dev/shm")  # noqa: S108 (the sandbox's own)

_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int) -> int:
    """The result of a system call, or minus its error number."""
    result = _libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return result if result >= 0 else -ctypes.get_errno()


def denied(result: int) -> bool:
    """Whether a system call's result says that seccomp refused it."""
    return result in (-errno.ENOSYS, -errno.EPERM)


def allowed_calls(memfd: bool) -> list[str]:
    """The forbidden system calls that were let through, by name; none in a sound sandbox."""
    names = [name for name, number in _CALLS.items() if not denied(call(number, 0, 0, 0, 0, 0, 0))]
    child = call(_CLONE, _NEW_USER | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if not denied(child):
        names.append("clone(CLONE_NEWUSER)")
    if not denied(call(_FCNTL, 0, _F_GETLK, 0)):
        names.append("fcntl(F_GETLK)")
    if not memfd and not denied(call(_MEMFD_CREATE, 0, 0)):
        names.append("memfd_create")
    return names


def open_families() -> list[str]:
    """The address families of which a socket could be made, by name."""
    names = []
    for name, number in _FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(number, kind).close()
            except OSError:
                continue
            names.append(name)
            break
    return names


def interfaces() -> list[str]:
    """Network interfaces besides the loopback, which is down."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    except OSError:
        return []
    return [name for name in (line.split(":")[0].strip() for line in lines) if name != "lo"]


def visible(paths: list[str]) -> list[str]:
    """Those of the paths outside that can be seen from here."""
    return [path for path in paths if os.path.lexists(path)]


def writable_places() -> list[str]:
    """Directories outside scratch and shared memory in which a file could be made."""
    places = []
    for place in ("/", "/dev", "/run", "/opt", "/opt/flip", "/opt/site", "/opt/python/lib", "/usr/lib", "/data"):
        file = Path(place, ".probe")
        try:
            file.touch()
        except OSError:
            continue
        file.unlink()
        places.append(place)
    return places


def unbounded(limit: dict[str, int]) -> list[str]:
    """Directories in memory that took more than their limit."""
    places = []
    for place, size in limit.items():
        file = Path(place, ".probe")
        written = 0
        try:
            with file.open("wb", buffering=0) as output:
                while written <= size + _BLOCK:
                    written += output.write(bytes(_BLOCK))
        except OSError:
            pass
        else:
            places.append(place)
        file.unlink(missing_ok=True)
    return places


def machine_files(constants: dict[str, str]) -> list[str]:
    """What of /proc tells of more than this sandbox's processes: all but ``constants``, by path, and what is empty."""
    telling = []
    for place in sorted(Path("/proc").iterdir()):
        if place.name.isdigit() or place.is_symlink():
            continue
        try:
            says = any(place.iterdir()) if place.is_dir() else place.read_text(errors="replace")
        except OSError:
            continue
        if says and says != constants.get(str(place)):
            telling.append(str(place))
    return telling


def status() -> dict[str, str]:
    """The lines of ``/proc/self/status`` by their names."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def main() -> None:
    """Answer the questions of ``sandbox.probe``, as JSON on standard output."""
    questions: dict[str, Any] = json.loads(Path(QUESTIONS).read_text())
    own = status()
    answers = {
        "uid": os.getuid(),
        "capabilities": max(int(own[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
        "no_new_privileges": own["NoNewPrivs"] == "1",
        "seccomp": own["Seccomp"] == "2",
        "families": open_families(),
        "calls": allowed_calls(questions["memfd"]),
        "visible": visible(questions["outside"]),
        "writable": writable_places(),
        "unbounded": unbounded(dict(zip(_WRITABLE, questions["sizes"], strict=True))),
        "processes": sum(path.name.isdigit() for path in Path("/proc").iterdir()),
        "interfaces": interfaces(),
        "machine": machine_files(questions["constants"]),
    }
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
