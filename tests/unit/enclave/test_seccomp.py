"""The system call filter, run by a small BPF machine of the test's own."""

from __future__ import annotations

import errno
import platform
import struct

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.seccomp import kernel_filter

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86_64, AARCH64 = 0xC000003E, 0xC00000B7


def refused(number: int) -> int:
    return 0x00050000 | number


def run(program: bytes, number: int, *arguments: int, architecture: int = X86_64) -> int:
    """What the kernel's BPF machine returns (linux/filter.h), for the instructions that filters use."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number - (1 << 32) if number >> 31 else number, architecture, 0, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator, place = 0, 0
    while True:
        operation, then, other, k = code[place]
        place += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            place += then if holds else other


@pytest.fixture(scope="module")
def program() -> bytes:
    return kernel_filter(memfd=False)


def test_every_number_has_the_verdict_of_the_list(program: bytes) -> None:
    from flipnb.enclave.sandbox import seccomp

    listed = set(seccomp._X86_64.values())
    looked_at = {16, 41, 53, 56, 72}
    for number in set(range(1024)) - looked_at:
        expected = ALLOW if number in listed else refused(errno.ENOSYS)
        assert run(program, number) == expected, number


@pytest.mark.parametrize(
    "number",
    [
        73,
        99,
        101,
        137,
        138,
        165,
        187,
        221,
        253,
        294,
        327,
        248,
        249,
        250,
        272,
        278,
        298,
        304,
        308,
        310,
        319,
        321,
        323,
        425,
        426,
        427,
        435,
        438,
        447,
    ],
)
def test_dangerous_calls_are_unknown(program: bytes, number: int) -> None:
    assert run(program, number) == refused(errno.ENOSYS)


@pytest.mark.parametrize("number", [41, 53])
def test_sockets_are_of_the_unix_family_only(program: bytes, number: int) -> None:
    assert run(program, number, 1, 2) == ALLOW
    for family in (0, 2, 10, 16, 17, 38, 40, 44, 0xFFFFFFFF):
        assert run(program, number, family, 1) == refused(errno.EAFNOSUPPORT)


def test_clone_makes_threads_and_processes_but_no_namespace(program: bytes) -> None:
    assert run(program, 56, 0x003D0F00) == ALLOW  # pthread_create
    assert run(program, 56, 17) == ALLOW  # fork
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run(program, 56, bit | 17) == refused(errno.EPERM)


def test_no_characters_are_put_into_a_terminal(program: bytes) -> None:
    assert run(program, 16, 0, 0x5401) == ALLOW
    for request in (0x5412, 0x541C):
        assert run(program, 16, 0, request) == refused(errno.EPERM)
        # The kernel looks at 32 bits of the request, so must the filter.
        assert run(program, 16, 0, (1 << 40) | request) == refused(errno.EPERM)


def test_nobody_asks_what_another_does_with_a_file(program: bytes) -> None:
    for command in (0, 1, 2, 3, 4, 6, 7, 1030, 1033, 1034):  # descriptors, flags, locks of its own, seals
        assert run(program, 72, 0, command) == ALLOW
    # F_GETLK, F_OFD_GETLK, F_SETLEASE, F_GETLEASE, F_NOTIFY, F_(GET, SET)_(FILE_)RW_HINT, and what is to come
    for command in (5, 36, 1024, 1025, 1026, 1027, 1029, 1035, 1036, 1037, 1038, 2000):
        assert run(program, 72, 0, command) == refused(errno.EPERM)
        assert run(program, 72, 0, (1 << 40) | command) == refused(errno.EPERM)


@pytest.mark.parametrize("devices", [False, True])
def test_nobody_asks_a_file_system(devices: bool) -> None:
    """FS_IOC_GETFSMAP, FS_IOC_FIEMAP, EXT4_IOC_GET_ES_CACHE, XFS_IOC_FSCOUNTS, BTRFS_IOC_SPACE_INFO, PAGEMAP_SCAN."""
    program = kernel_filter(memfd=False, devices=devices)
    for request in (0xC0C0583B, 0xC020660B, 0xC020662A, 0x80205871, 0xC0109414, 0xC0606610, 0x80111500):
        assert run(program, 16, 0, request) == refused(errno.ENOTTY)
    for request in (0x5401, 0x5411, 0x541B, 0x5421, 0x5451):  # TCGETS, TIOCOUTQ, FIONREAD, FIONBIO, FIOCLEX
        assert run(program, 16, 0, request) == ALLOW
    for request in (0xC020462A, 37, 0x30000001):  # NVIDIA's
        assert run(program, 16, 0, request) == (ALLOW if devices else refused(errno.ENOTTY))
    for request in (0x5412, 0x541C):
        assert run(program, 16, 0, request) == refused(errno.EPERM)


def test_foreign_numbering_kills(program: bytes) -> None:
    assert run(program, 0, architecture=AARCH64) == KILL
    assert run(program, 0, architecture=0x40000003) == KILL  # i386
    assert run(program, 0x40000000) == KILL  # x32
    assert run(program, 0xFFFFFFFF) == KILL


def test_memfd_needs_a_control_group() -> None:
    assert run(kernel_filter(memfd=True), 319) == ALLOW


def test_another_machine_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(FlipError, match="riscv64") as caught:
        kernel_filter(memfd=False)
    assert caught.value.code == "unsupported-architecture"
