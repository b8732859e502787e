"""Runs inside the sandbox: starts ipykernel on sockets that were bound outside.

Nothing of flipnb is imported, for this file lies alone in the sandbox. The kernel has no network, not even loopback,
so ipykernel's channels use the descriptors it is given, its pipe from forked children a unix socket in the
shared memory, and its debugger, which listens on TCP, is left out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

CONNECTION = "/run/kernel.json"
FILES = "/bundle"
CHILDREN = "ipc:///dev/shm/.iopub"


def main() -> None:
    """Set the limits, take over the sockets, serve the kernel until it is told to end."""
    information: dict[str, Any] = json.loads(Path(CONNECTION).read_bytes())
    for name, value in information["limits"].items():
        limit = getattr(resource, f"RLIMIT_{name}")
        # A soft limit alone would be the notebook's to raise.
        # The processor's time ends with SIGXCPU at the soft limit, which says why, and SIGKILL at the hard one.
        resource.setrlimit(limit, (value, value + 5 if name == "CPU" else value))
    sys.path.append(FILES)  # the last: what goes with a notebook takes the place of nothing that Python or FLIP has
    for module in ("debugpy", "debugpy.server"):
        sys.modules[module] = None  # type: ignore[assignment]

    import zmq
    from ipykernel.heartbeat import Heartbeat
    from ipykernel.iostream import IOPubThread
    from ipykernel.kernelapp import IPKernelApp
    from zmq.eventloop.zmqstream import ZMQStream

    descriptors = {information[f"{name}_port"]: fd for name, fd in information["descriptors"].items()}
    prefix = information["ip"]

    def bind(socket: Any, port: int) -> int:
        os.set_inheritable(descriptors[port], False)
        socket.setsockopt(zmq.USE_FD, descriptors[port])
        # A slow reader must make output wait, not vanish: the message that ends a cell would vanish with it.
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.bind(f"ipc://{prefix}-{port}")
        return port

    def bind_heartbeat(heartbeat: Any) -> Any:
        return bind(heartbeat.socket, heartbeat.port)

    def pipe_in(thread: Any) -> None:
        socket = thread.socket.context.socket(zmq.PULL)
        socket.linger = 0
        thread._pipe_uuid = os.urandom(16)
        socket.bind(CHILDREN)
        thread._pipe_in = ZMQStream(socket, thread.io_loop)
        thread._pipe_in.on_recv(thread._handle_pipe_msg)

    def pipe_out(thread: Any) -> tuple[Any, Any]:
        context = zmq.Context()  # a context does not survive a fork
        socket = context.socket(zmq.PUSH)
        socket.linger = 3000
        socket.connect(CHILDREN)
        return context, socket

    replaced: list[tuple[type, str, Any]] = [
        (IPKernelApp, "_try_bind_socket", lambda _app, socket, port: bind(socket, port)),
        (Heartbeat, "_try_bind_socket", bind_heartbeat),
        (IOPubThread, "_setup_pipe_in", pipe_in),
        (IOPubThread, "_setup_pipe_out", pipe_out),
    ]
    for owner, method, replacement in replaced:
        if not hasattr(owner, method):
            raise RuntimeError(f"this ipykernel has no {owner.__name__}.{method}; the enclave needs another version")
        setattr(owner, method, replacement)

    sys.argv = ["kernel"]
    IPKernelApp.launch_instance(
        argv=[
            "-f",
            CONNECTION,
            "--HistoryManager.enabled=False",
            "--InteractiveShell.colors=nocolor",
        ]
    )


if __name__ == "__main__":
    main()
