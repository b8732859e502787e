"""The kernel provisioner ``flip-enclave``: ipykernel inside bubblewrap, its channels on sockets bound outside.

The sandbox gets the listening sockets as descriptors, so it needs no directory in common with its driver. As
configuration the provisioner takes a ``Sandbox`` as JSON, from the kernelspec or from the runner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Dict

from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.jail import RUNTIME
from flipnb.enclave.sandbox.sandbox import CONNECTION, Sandbox, kernel_information

NAME = "flip-enclave"
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
SOCKET_PATH_LIMIT = 107
_LAUNCHER = Path(__file__).with_name("launcher.py")
_COMPLAINT_BYTES = 4096


class EnclaveProvisioner(LocalProvisioner):
    """Starts and ends one sandboxed kernel. Poll gives bubblewrap's status: 128 + n if signal n ended the kernel."""

    sandbox: Any = Dict(config=True, help="A Sandbox (flipnb.enclave.sandbox.sandbox) as JSON.")

    _place: Path | None = None
    _complaints: int = -1
    exit_status: int | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        manager = self.parent
        if manager is None:
            raise FlipError("kernel-manager-missing", "The enclave's kernel needs a kernel manager.")
        if self._place is None:
            self._place = _runtime_directory()
        manager.transport = "ipc"
        manager.ip = os.fspath(self._place / "k")
        manager.connection_file = os.fspath(self._place / "kernel.json")
        kwargs.pop("env", None)
        return dict(await super().pre_launch(env={}, **kwargs))

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Ignores the kernelspec's command: what runs inside is the launcher and nothing else.

        Raises FlipError ``sandbox-missing``, ``bubblewrap-missing``, ``bubblewrap-as-root``.
        """
        if not self.sandbox:
            raise FlipError("sandbox-missing", "The enclave's kernel was started without its sandbox.")
        sandbox = Sandbox.model_validate(dict(self.sandbox))
        information: dict[str, Any] = {**self.connection_info, "ip": "/run/k"}
        information["key"] = information["key"].decode()
        descriptors = self._listen()
        information["descriptors"] = descriptors
        passed = list(descriptors.values())
        complaints, complaints_inside = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(complaints_inside, True)
        self._complaints = complaints
        try:
            command, more = sandbox.command(_LAUNCHER, [], data={CONNECTION: kernel_information(information, sandbox)})
            passed += more
            # Without the manager's pid: a kernel that sees another parent than this ends itself.
            connection = await super().launch_kernel(
                command,
                pass_fds=passed,
                cwd="/",
                env={},
                independent=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints_inside,
            )
        finally:
            for descriptor in (*passed, complaints_inside):
                os.close(descriptor)
        return connection

    def _listen(self) -> dict[str, int]:
        """Listening sockets of the five channels, by channel."""
        assert self._place is not None
        descriptors = {}
        ports: dict[str, Any] = {**self.connection_info}
        for channel in CHANNELS:
            path = Path(f"{self._place}/k-{ports[f'{channel}_port']}")
            if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
                raise FlipError(
                    "socket-path-too-long",
                    f"The kernel's socket {path} has more than {SOCKET_PATH_LIMIT} bytes.",
                    remedy="Set XDG_RUNTIME_DIR to a short directory.",
                )
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(os.fspath(path))
            listener.listen(16)
            descriptors[channel] = listener.detach()
        return descriptors

    def complaints(self) -> str:
        """What the sandbox wrote to its error stream since the last call, cut; for the enclave's own log.

        To be called now and then: the stream blocks its writer when it is full.
        """
        text = b""
        with contextlib.suppress(BlockingIOError, OSError):
            while block := os.read(self._complaints, 1 << 16):
                text = (text + block)[:_COMPLAINT_BYTES]
        return text.decode(errors="replace")

    async def poll(self) -> int | None:
        status: int | None = await super().poll()
        if self.process is not None and status is not None:
            self.exit_status = status
        return status

    async def send_signal(self, signum: int) -> None:
        # An interrupt travels as a message (interrupt_mode); bubblewrap would die of the signal.
        if signum != signal.SIGINT:
            await super().send_signal(signum)

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart=restart)
        if self._complaints >= 0:
            os.close(self._complaints)
            self._complaints = -1
        if not restart and self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None

    def resolve_path(self, path_str: str) -> str | None:
        """No path of the enclave is told to a client."""
        return None


def _runtime_directory() -> Path:
    """A new private directory with a short path."""
    for base in (RUNTIME, os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if base and os.access(base, os.W_OK) and len(os.fsencode(base)) < SOCKET_PATH_LIMIT - 40:
            place = Path(base) / f"kernel-{secrets.token_hex(4)}"
            place.mkdir(mode=0o700)
            return place
    raise FlipError(
        "runtime-directory-missing",
        "There is no writable directory with a short path for the kernel's sockets.",
        remedy="Set XDG_RUNTIME_DIR to one.",
    )
