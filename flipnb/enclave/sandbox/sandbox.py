"""The walls of a kernel: bubblewrap's arguments, the sandbox's environment and its limits.

The kernel sees a read-only root with Python and its packages, the frozen cohort, the files that go with the notebook,
one socket, a scratch and a shared memory of bounded size, a process table with only its own processes, no network and
no other user. It runs without capabilities, can't make user namespaces, and calls only what the seccomp list allows.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from flipnb.contracts.document import Document
from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import INSIDE, PROJECT, Interpreter
from flipnb.enclave.sandbox.proc import constants, covers
from flipnb.enclave.sandbox.seccomp import kernel_filter

COHORT = Path("/data")
FILES = Path("/bundle")
BROKER = Path("/run/broker.sock")
SCRATCH = Path("/scratch")
CONNECTION = Path("/run/kernel.json")
PYTHON = INSIDE / "bin" / "python"

MIB = 1 << 20
DATA_SLACK = 1024 * MIB
"""RLIMIT_DATA counts memory that is mapped but never used, which torch does freely."""

ROOMS = ("contracts", "records", "session")
"""The parts of flipnb that a notebook in the sandbox may import."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the sandbox\'s own)
TEMPORARY = "/tmp"  # noqa: S108
_SYSTEM_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/locale/C.utf8")


class Sandbox(Document):
    """What one kernel's sandbox is made of; all paths are outside ones.

    ``scratch`` and ``shm`` are directories whose size is limited already (a jail's tmpfs); where they are None,
    bubblewrap makes a tmpfs of the limits' size. ``devices`` are device nodes, such as an accelerator's.
    ``cgroup`` says that a control group limits the memory of all processes together.
    """

    limits: KernelLimits
    interpreter: Interpreter
    cohort: Path | None = None
    files: Path | None = None
    broker: Path | None = None
    scratch: Path | None = None
    shm: Path | None = None
    devices: tuple[Path, ...] = ()
    cgroup: bool = False

    def environment(self) -> dict[str, str]:
        """All environment variables inside."""
        threads = str(self.limits.threads)
        scratch = str(SCRATCH)
        return {
            "PATH": str(INSIDE / "bin"),
            "LD_LIBRARY_PATH": str(INSIDE / "lib"),
            "PYTHONPATH": os.pathsep.join(map(str, self.interpreter.search_path())),
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "HOME": scratch,
            "TMPDIR": scratch,
            "USER": "researcher",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "IPYTHONDIR": f"{scratch}/.ipython",
            "MPLCONFIGDIR": f"{scratch}/.matplotlib",
            "MPLBACKEND": "agg",
            "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/.inductor",
            "TRITON_CACHE_DIR": f"{scratch}/.triton",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), threads
            ),
            "FLIP_BROKER": str(BROKER),
            "FLIP_COHORT": str(COHORT),
            "FLIP_BUNDLE": str(FILES),
            "FLIP_SCRATCH": scratch,
        }

    def resource_limits(self) -> dict[str, int]:
        """Resource limits that the launcher sets inside, by the name after ``RLIMIT_``.

        NPROC is counted per user namespace, so it must be set inside; DATA, FSIZE and CPU hold for each process.
        """
        return {
            "DATA": max(self.limits.memory_bytes + DATA_SLACK, 2048 * MIB),
            "NPROC": self.limits.processes,
            "NOFILE": 1024,
            "FSIZE": max(self.limits.scratch_bytes, self.limits.shm_bytes),
            "CPU": self.limits.cpu_seconds,
            "CORE": 0,
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
        }

    def flags(self) -> list[str]:
        """bubblewrap's arguments up to those that name descriptors or end the set-up."""
        limits = self.limits
        flags = [
            "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000",
            "--hostname", "enclave", "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv",
        ]  # fmt: skip
        for library in _SYSTEM_LIBRARIES:
            flags += ["--ro-bind-try", library, library]
        flags += ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
        for source, place in self.interpreter.inside():
            flags += ["--ro-bind", str(source), str(place)]
        package = self.interpreter.project / "flipnb"
        for part in ("__init__.py", *ROOMS):
            flags += ["--ro-bind", str(package / part), str(PROJECT / "flipnb" / part)]
        flags += ["--proc", "/proc", *covers(limits), "--dev", "/dev"]
        # Terminals are counted for the whole machine, which has only so many.
        flags += ["--perms", "0555", "--size", "4096", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts"]
        for device in self.devices:
            flags += ["--dev-bind", str(device), str(device)]
        if self.shm is None:
            flags += ["--perms", "1777", "--size", str(limits.shm_bytes), "--tmpfs", SHARED_MEMORY]
        else:
            flags += ["--bind", str(self.shm), SHARED_MEMORY]
        if self.scratch is None:
            flags += ["--perms", "0700", "--size", str(limits.scratch_bytes), "--tmpfs", str(SCRATCH)]
        else:
            flags += ["--bind", str(self.scratch), str(SCRATCH)]
        flags += ["--symlink", str(SCRATCH), TEMPORARY, "--dir", "/run"]
        if self.cohort is not None:
            flags += ["--ro-bind", str(self.cohort), str(COHORT)]
        if self.files is not None:
            flags += ["--ro-bind", str(self.files), str(FILES)]
        if self.broker is not None:
            flags += ["--ro-bind", str(self.broker), str(BROKER)]
        for name, value in self.environment().items():
            flags += ["--setenv", name, value]
        return flags

    def command(
        self, program: Path, arguments: Sequence[str], *, data: Mapping[Path, bytes]
    ) -> tuple[list[str], list[int]]:
        """The command that runs the Python file ``program`` inside, and the descriptors to pass on to it.

        ``data`` are read-only files made inside from bytes. The caller closes the descriptors after the start.
        Arguments travel in a descriptor, because a process can read its ancestors' command lines.
        """
        descriptors: list[int] = []
        flags = self.flags()
        place = PROJECT / program.name
        flags += ["--ro-bind", str(program), str(place)]
        for path, content in {**constants(self.limits), **data}.items():
            descriptors.append(_anonymous(content))
            flags += ["--perms", "0444", "--ro-bind-data", str(descriptors[-1]), str(path)]
        descriptors.append(_anonymous(kernel_filter(memfd=self.cgroup, devices=bool(self.devices))))
        flags += ["--seccomp", str(descriptors[-1])]
        flags += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(SCRATCH)]
        descriptors.append(_anonymous(b"".join(os.fsencode(flag) + b"\0" for flag in flags)))
        inner = [str(PYTHON), "-P", "-S", str(place), *arguments]
        return [str(bubblewrap()), "--args", str(descriptors[-1]), "--", *inner], descriptors


def kernel_information(connection: Mapping[str, object], sandbox: Sandbox) -> bytes:
    """What the launcher inside reads: the connection and the limits that it sets on itself."""
    return json.dumps({**connection, "limits": sandbox.resource_limits()}).encode()


def bubblewrap() -> Path:
    """Where bubblewrap is. Raises FlipError ``bubblewrap-missing``, ``bubblewrap-as-root``."""
    if os.geteuid() == 0:
        raise FlipError(
            "bubblewrap-as-root",
            "bubblewrap must not be started as root: a kernel could then write the machine's settings in /proc/sys.",
            remedy="Start the runner with a uid of its own.",
        )
    found = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")
    if found is None:
        raise FlipError(
            "bubblewrap-missing",
            "Kernels need bubblewrap, and there is no bwrap in /usr/bin.",
            remedy="Install it: apt-get install bubblewrap.",
        )
    return Path(found)


def _anonymous(content: bytes) -> int:
    descriptor = os.memfd_create("flip")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
