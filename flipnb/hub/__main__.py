"""``python -m flipnb.hub --directory DIR`` serves a hub until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import resource
import socket
import ssl
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from flipnb.contracts.disk import disk_full, is_full
from flipnb.contracts.problem import FlipError
from flipnb.federation.freed_memory import keep_freed_memory
from flipnb.files.logs import log_to, logs_kept
from flipnb.files.whole import write
from flipnb.hub.app import make_app, open_hub
from flipnb.hub.configuration import HubConfiguration, HubDirectory
from flipnb.hub.connections import BoundedProtocol
from flipnb.hub.waits import Waits

log = logging.getLogger("flip.hub")

_GRACE_SECONDS = 1
_BACKLOG = 1024


class HubServer(uvicorn.Server):
    """Says its address when it serves, and answers all long-polls when it is told to stop."""

    def __init__(
        self, config: uvicorn.Config, waits: Waits, directory: HubDirectory, address: dict[str, object]
    ) -> None:
        super().__init__(config)
        self._waits = waits
        self._directory = directory
        self._address = address
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            write(self._directory.address, json.dumps(self._address).encode() + b"\n")
            log.info("serving", extra=self._address)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._waits.close)
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # stopping when asked to is success, so the exit code is 0


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0, or 1 where the hub can't start."""
    parser = argparse.ArgumentParser(prog="python -m flipnb.hub", description="Serve a FLIP hub.")
    parser.add_argument("--directory", type=Path, required=True, help="the hub's directory, which holds hub.json")
    directory = HubDirectory(parser.parse_args(arguments).directory.absolute())
    try:
        return serve(directory)
    except FlipError as error:
        said = error
    except (OSError, SQLAlchemyError) as error:
        if not is_full(error):
            raise
        said = disk_full("the hub's")
    print(f"flip hub: {said}", file=sys.stderr)  # noqa: T201 - said to the operator before there is a log
    return 1


def serve(directory: HubDirectory) -> int:
    """Serve until a signal; returns the exit code.

    Raises FlipError ``no-configuration``, ``already-up``, ``no-port``.
    """
    keep_freed_memory()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection is one
    configuration = directory.read_configuration()
    own = directory.logs / "hub.log"
    log_to(own)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with (directory.root / "lock").open("w") as lock, contextlib.ExitStack() as kept:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlipError("already-up", f"Another hub serves {directory.root}.") from None
        kept.enter_context(logs_kept((directory.logs, "*.log"), own=own))
        listening = listen(configuration, directory.last_port())
        port = listening.getsockname()[1]
        url = configuration.url or f"https://{_bracketed(configuration.host)}:{port}"
        hub = open_hub(configuration, directory)
        config = uvicorn.Config(
            make_app(hub, directory, url),
            ssl_certfile=configuration.certificate,
            ssl_keyfile=str(configuration.key),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=75,
            ws="none",
            http=BoundedProtocol,
            lifespan="on",
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        server = HubServer(config, hub.waits, directory, {"url": url, "port": port, "pid": os.getpid()})
        server.run(sockets=[listening])
        log.info("stopped")
        return 0 if server.started else 1


def listen(configuration: HubConfiguration, last_port: int) -> socket.socket:
    """A listening socket: on the configured port, else on that of the last time, else on a free one."""
    family = socket.AF_INET6 if ":" in configuration.host else socket.AF_INET
    for port in [configuration.port] if configuration.port else [last_port, 0] if last_port else [0]:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((configuration.host, port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            refused = error
            continue
        return listening
    raise FlipError(
        "no-port", f"The hub can't listen on {configuration.host}, port {configuration.port}: {refused.strerror}."
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
