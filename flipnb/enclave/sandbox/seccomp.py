"""Which system calls a sandboxed kernel may make: an allow-list, assembled into a classic BPF filter.

seccomp(2) in filter mode runs the program on ``struct seccomp_data`` (int nr; u32 arch; u64 ip; u64 args[6]) for
each call. What is not on the list answers ENOSYS, so that libraries fall back as on an older kernel. A foreign
architecture and the x32 interface, which number calls differently, kill the process.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flipnb.contracts.problem import FlipError

_X86_64: dict[str, int] = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22,
    "select": 23, "sched_yield": 24, "mremap": 25, "msync": 26, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34,
    "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "sendfile": 40, "connect": 42,
    "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "shutdown": 48, "bind": 49,
    "listen": 50, "getsockname": 51, "getpeername": 52, "setsockopt": 54, "getsockopt": 55, "fork": 57, "vfork": 58,
    "execve": 59, "exit": 60, "wait4": 61, "kill": 62, "uname": 63, "fsync": 74, "fdatasync": 75, "truncate": 76,
    "ftruncate": 77, "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83,
    "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91,
    "chown": 92, "fchown": 93, "lchown": 94, "umask": 95, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98,
    "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "setpgid": 109, "getppid": 110,
    "getpgrp": 111, "setsid": 112, "getgroups": 115, "getresuid": 118, "getresgid": 120, "getpgid": 121,
    "getsid": 124, "capget": 125, "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigqueueinfo": 129,
    "rt_sigsuspend": 130, "sigaltstack": 131, "utime": 132, "mknod": 133, "getpriority": 140, "setpriority": 141,
    "sched_setparam": 142, "sched_getparam": 143, "sched_setscheduler": 144, "sched_getscheduler": 145,
    "sched_get_priority_max": 146, "sched_get_priority_min": 147, "sched_rr_get_interval": 148, "mlock": 149,
    "munlock": 150, "munlockall": 152, "prctl": 157, "arch_prctl": 158, "setrlimit": 160, "gettid": 186,
    "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193,
    "listxattr": 194, "llistxattr": 195, "flistxattr": 196, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "tkill": 200, "time": 201, "futex": 202, "sched_setaffinity": 203,
    "sched_getaffinity": 204, "epoll_create": 213, "getdents64": 217, "set_tid_address": 218,
    "restart_syscall": 219, "timer_create": 222, "timer_settime": 223, "timer_gettime": 224,
    "timer_getoverrun": 225, "timer_delete": 226, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "waitid": 247,
    "ioprio_get": 252, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261,
    "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267,
    "fchmodat": 268, "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273,
    "get_robust_list": 274, "sync_file_range": 277, "utimensat": 280, "epoll_pwait": 281, "signalfd": 282,
    "timerfd_create": 283, "eventfd": 284, "fallocate": 285, "timerfd_settime": 286, "timerfd_gettime": 287,
    "accept4": 288, "signalfd4": 289, "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293,
    "preadv": 295, "pwritev": 296, "rt_tgsigqueueinfo": 297, "recvmmsg": 299, "prlimit64": 302, "sendmmsg": 307,
    "getcpu": 309, "sched_setattr": 314, "sched_getattr": 315, "renameat2": 316, "getrandom": 318, "execveat": 322,
    "membarrier": 324, "copy_file_range": 326, "pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331,
    "statx": 332, "rseq": 334, "pidfd_send_signal": 424, "pidfd_open": 434, "close_range": 436, "openat2": 437,
    "faccessat2": 439, "epoll_pwait2": 441, "futex_waitv": 449,
}  # fmt: skip
"""Allowed without a look at the arguments. Absent on purpose: ptrace and process_vm_*, keyctl and kin, io_uring,
userfaultfd, bpf, perf_event_open, mount and namespaces, SysV and POSIX message queues, memfd_secret, vmsplice; and what
tells one run of another, with which it shares Linux and the files of Python: sysinfo (memory, load, processes), statfs
(free space), inotify (who opens a file), preadv2, fadvise64 and readahead (what is in the page cache)."""

_IOCTL, _SOCKET, _SOCKETPAIR, _CLONE, _FCNTL, _MEMFD_CREATE = 16, 41, 53, 56, 72, 319

_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # put characters into the terminal's input
_TERMINALS, _AFTER_TERMINALS = (
    0x5400,
    0x5500,
)  # what ioctl asks of terminals, pipes and sockets (ioctl_tty(2), FIONREAD)
# By the second byte of an ioctl's number, what asks a file system: which blocks of a file of Python another run has
# looked for (ext4), how much of the disk is free (GETFSMAP, XFS, Btrfs). Other numbers are accelerators' own.
_FILE_SYSTEMS = (0x1200, 0x1500, 0x5800, 0x6600, 0x7600, 0x9400)
_TYPE = 0xFF00
# Of fcntl (fcntl(2)): descriptors and flags, locks and owners and signals of one's own, the size of a pipe, seals. What
# is not here shows, on a file of Python that all runs can open, what another run does with it: who holds a lock; leases
# and notices of a directory's changes; on older kernels hints that stay with the file. A lock to write, which would be
# met too, needs the file open to write. flock needs that not, and is absent from the list.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 37, 38, 1030, 1031, 1032, 1033, 1034)

_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER_OR_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24


@dataclass(frozen=True)
class _Op:
    """One BPF instruction; ``then`` and ``other`` are labels, empty for the next instruction."""

    code: int
    k: int
    then: str = ""
    other: str = ""
    label: str = ""


def kernel_filter(*, memfd: bool, devices: bool = False) -> bytes:
    """The filter for kernels, as an array of ``struct sock_filter`` (what bubblewrap's ``--seccomp`` reads).

    ``memfd`` allows memfd_create: only where a control group limits memory, for no resource limit counts these.
    ``devices`` allows the requests of accelerators, whose numbers nobody lists.
    Raises FlipError ``unsupported-architecture`` elsewhere than on x86_64.
    """
    machine = platform.machine()
    if machine != "x86_64":
        raise FlipError(
            "unsupported-architecture",
            f"The sandbox has no system call list for {machine}; it has one for x86_64.",
            remedy="Run the enclave on an x86_64 machine.",
        )
    allowed = set(_X86_64.values()) | ({_MEMFD_CREATE} if memfd else set())
    program = [
        _Op(_LOAD, _ARCHITECTURE),
        _Op(_JUMP_EQUAL, _AUDIT_ARCH_X86_64, other="kill"),
        _Op(_LOAD, _NUMBER),
        _Op(_JUMP_GREATER_OR_EQUAL, _X32_BIT, then="kill"),
        _Op(_JUMP_EQUAL, _CLONE, then="clone"),
        _Op(_JUMP_EQUAL, _SOCKET, then="socket"),
        _Op(_JUMP_EQUAL, _SOCKETPAIR, then="socket"),
        _Op(_JUMP_EQUAL, _IOCTL, then="ioctl"),
        _Op(_JUMP_EQUAL, _FCNTL, then="fcntl"),
        *_search(_ranges(allowed)),
        # Every verdict that a search jumps to lies within 255 instructions: the reach of a BPF jump.
        _Op(_RETURN, _ALLOW, label="allow"),
        _Op(_RETURN, _ERRNO | errno.ENOSYS, label="unknown"),
        _Op(_RETURN, _KILL, label="kill"),
        _Op(_LOAD, _ARGUMENT_0, label="clone"),
        _Op(_JUMP_SET, _NEW_NAMESPACES, then="forbid", other="allow2"),
        _Op(_LOAD, _ARGUMENT_0, label="socket"),
        _Op(_JUMP_EQUAL, socket.AF_UNIX, then="allow2", other="family"),
        _Op(_LOAD, _ARGUMENT_1, label="ioctl"),
        _Op(_JUMP_EQUAL, _TIOCSTI, then="forbid"),
        _Op(_JUMP_EQUAL, _TIOCLINUX, then="forbid"),
        *(_accelerators() if devices else _terminals_alone()),
        _Op(_LOAD, _ARGUMENT_1, label="fcntl"),
        *(_Op(_JUMP_EQUAL, command, then="allow2") for command in _FCNTL_COMMANDS),
        _Op(_RETURN, _ERRNO | errno.EPERM, label="forbid"),
        _Op(_RETURN, _ERRNO | errno.ENOTTY, label="request"),
        _Op(_RETURN, _ALLOW, label="allow2"),
        _Op(_RETURN, _ERRNO | errno.EAFNOSUPPORT, label="family"),
    ]
    return _assemble(program)


def _terminals_alone() -> list[_Op]:
    return [
        _Op(_JUMP_GREATER_OR_EQUAL, _AFTER_TERMINALS, then="request"),
        _Op(_JUMP_GREATER_OR_EQUAL, _TERMINALS, then="allow2", other="request"),
    ]


def _accelerators() -> list[_Op]:
    kinds = [_Op(_JUMP_EQUAL, kind, then="request") for kind in _FILE_SYSTEMS]
    return [_Op(_AND, _TYPE), *kinds, _Op(_JUMP_GREATER_OR_EQUAL, 0, then="allow2", other="allow2")]


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Half-open runs of consecutive numbers, ascending."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def _search(runs: Sequence[tuple[int, int]]) -> list[_Op]:
    """A binary search for the call's number (in the accumulator) among the edges of ``runs``."""
    edges = [edge for run in runs for edge in run]
    program: list[_Op] = []

    def descend(low: int, high: int, label: str) -> None:
        # Between edges[i - 1] and edges[i] the answer is constant: allowed iff i is odd.
        if low == high:
            program.append(_Op(_JUMP_GREATER_OR_EQUAL, 0, label=label, then="allow" if low % 2 else "unknown"))
            return
        middle = (low + high) // 2
        left, right = f"<{low}:{middle}", f"<{middle + 1}:{high}"
        program.append(_Op(_JUMP_GREATER_OR_EQUAL, edges[middle], label=label, then=right, other=left))
        descend(low, middle, left)
        descend(middle + 1, high, right)

    descend(0, len(edges), "search")
    return program


def _assemble(program: Sequence[_Op]) -> bytes:
    places = {op.label: index for index, op in enumerate(program) if op.label}
    code = b""
    for index, op in enumerate(program):
        distances = [places[label] - index - 1 if label else 0 for label in (op.then, op.other)]
        if not all(0 <= distance <= 255 for distance in distances):
            raise ValueError(f"instruction {index} jumps too far: {distances}")
        code += struct.pack("<HBBI", op.code, *distances, op.k)
    return code
