"""What the sandbox really gives on this machine, found out by trying; an agent asks at its start.

A kernel that is missing a wall looks exactly like one that has it until somebody attacks, so nothing is inferred from
versions or settings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from flipnb.contracts.document import Document
from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import RUNTIME, Volatile, spawn
from flipnb.enclave.sandbox.limits import ControlGroup
from flipnb.enclave.sandbox.proc import constants
from flipnb.enclave.sandbox.sandbox import Sandbox

MIB = 1 << 20
_INSIDE = Path(__file__).with_name("probe_inside.py")
_QUESTIONS = Path("/run/questions.json")
_PROBED_BYTES = 4 * MIB
_OUTSIDE = ("/etc/passwd", "/etc/hosts", "/home", "/root", "/var", "/sys", "/usr/bin", "/boot")
_OWN_PROCESSES = 2  # bubblewrap's first process, and the probe
_TIMEOUT_S = 60


class ProbeReport(Document):
    """What worked inside that should not, and what holds.

    ``families``: socket families that could be opened. ``calls``: dangerous system calls that were not denied.
    ``visible``: outside paths that exist inside. ``writable``: places where a file could be made. ``unbounded``:
    directories in memory that took more than their size. ``machine``: files in /proc that tell of other processes than
    a kernel's own. ``memory``: what limits a run's memory.
    """

    uid: int
    capabilities: int
    no_new_privileges: bool
    seccomp: bool
    families: tuple[str, ...]
    interfaces: tuple[str, ...]
    calls: tuple[str, ...]
    visible: tuple[str, ...]
    writable: tuple[str, ...]
    unbounded: tuple[str, ...]
    processes: int
    machine: tuple[str, ...]
    memory: Literal["cgroup", "watchdog"] = "watchdog"

    def weaknesses(self, limits: KernelLimits) -> list[str]:
        """In words, what is weaker than an enclave demands; empty if nothing is."""
        found = [
            (self.uid == 0, "a kernel runs as root"),
            (self.capabilities != 0, f"a kernel has capabilities ({self.capabilities:x})"),
            (not self.no_new_privileges, "a kernel may gain privileges"),
            (not self.seccomp, "system calls are not filtered"),
            (bool(self.families), f"sockets of {', '.join(self.families)} can be opened"),
            (bool(self.interfaces), f"there are network interfaces: {', '.join(self.interfaces)}"),
            (bool(self.calls), f"not denied: {', '.join(self.calls)}"),
            (bool(self.visible), f"visible from outside: {', '.join(self.visible)}"),
            (bool(self.writable), f"writable: {', '.join(self.writable)}"),
            (bool(self.unbounded), f"without a limit of size: {', '.join(self.unbounded)}"),
            (bool(self.machine), f"files that tell of the whole machine: {', '.join(self.machine)}"),
            (self.processes > _OWN_PROCESSES, "other processes are visible"),
            (
                limits.require_memory_cgroup and self.memory != "cgroup",
                "no control group limits memory, which the policy demands",
            ),
        ]
        return [text for weak, text in found if weak]


def probe(*, uid: int | None, outside: Sequence[Path] = (), interpreter: Interpreter | None = None) -> ProbeReport:
    """Start a small program in a sandbox like a kernel's and report what it could do; takes about 0.3 s.

    ``outside`` are paths that must not be seen, such as the enclave's directory and its keys.
    Raises FlipError ``sandbox-unavailable`` where no sandbox could be made at all, and those of ``jail.spawn``.
    """
    cgroup = ControlGroup.create(256 * MIB, 64)
    try:
        errand = {
            "cgroup": cgroup is not None,
            "outside": [*_OUTSIDE, *map(os.fspath, outside)],
        }
        process = spawn(
            [sys.executable, "-P", "-m", "flipnb.enclave.sandbox.probe", json.dumps(errand)],
            uid=uid,
            volatile=[
                Volatile(RUNTIME / "scratch", _PROBED_BYTES),
                Volatile(RUNTIME / "shm", _PROBED_BYTES, mode=0o1777),
            ],
            cgroup=cgroup,
            interpreter=interpreter,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, complaint = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, complaint = process.communicate()
    finally:
        if cgroup is not None:
            cgroup.destroy()
    try:
        report = ProbeReport.model_validate_json(output)
    except ValidationError:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
        raise FlipError(
            "sandbox-unavailable",
            f"No sandbox could be made on this machine: {last[0]}.",
            remedy="Install bubblewrap and allow user namespaces to ordinary users.",
        ) from None
    return report.model_copy(update={"memory": "watchdog" if cgroup is None else "cgroup"})


def refuse_if_weaker(report: ProbeReport, limits: KernelLimits) -> None:
    """Raise FlipError ``sandbox-weaker`` that names everything that is weaker than policy."""
    weaknesses = report.weaknesses(limits)
    if weaknesses:
        raise FlipError(
            "sandbox-weaker",
            f"This machine's sandbox is weaker than the enclave's policy: {'; '.join(weaknesses)}.",
            remedy="No kernel is started until that is mended.",
        )


def _in_jail(errand: dict[str, object]) -> int:
    """The probe's part between jail and sandbox, where a runner would be."""
    sandbox = Sandbox(
        limits=KernelLimits(scratch_bytes=_PROBED_BYTES, shm_bytes=_PROBED_BYTES),
        interpreter=Interpreter.current(),
        scratch=RUNTIME / "scratch",
        shm=RUNTIME / "shm",
        cgroup=bool(errand["cgroup"]),
    )
    questions = {
        "memfd": errand["cgroup"],
        "outside": errand["outside"],
        "sizes": [_PROBED_BYTES, _PROBED_BYTES],
        "constants": {str(place): said.decode() for place, said in constants(sandbox.limits).items()},
    }
    command, descriptors = sandbox.command(_INSIDE, [], data={_QUESTIONS: json.dumps(questions).encode()})
    return subprocess.run(command, pass_fds=descriptors, env={}, cwd="/", check=False).returncode


if __name__ == "__main__":
    sys.exit(_in_jail(json.loads(sys.argv[1])))
