"""``flip estate serve``: the FHIR server as a process, on the loopback interface."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from flipnb.contracts.problem import FlipError
from flipnb.estate.serve.stores import open_stores
from flipnb.records.fhir import Pseudonyms

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Serving:
    """Where a server is, and the file (mode 0600) that holds its token."""

    url: str
    token_file: Path
    version: str


def serve(
    estate: str, *, port: int = 0, state: Path | None = None, announce: Callable[[Serving], None] = lambda serving: None
) -> None:
    """Serve an estate's directory, or the server at a ``postgresql://`` address, until SIGINT or SIGTERM.

    ``port`` 0 is a free one. ``state`` is where the token and the key of the pseudonyms are kept, made on first use: by
    default the estate's ``.serve``. ``announce`` is called when requests are answered. Raises FlipError ``no-port``,
    ``no-estate``, ``database-away``, ``no-state``.
    """
    import uvicorn

    from flipnb.estate.serve.app import make_app

    directory = state or _state_of(estate)
    token = _kept(directory / "token", lambda: secrets.token_urlsafe(32))
    key = bytes.fromhex(_kept(directory / "pseudonyms.key", lambda: secrets.token_hex(32)))
    stores = open_stores(estate, Pseudonyms(key))
    version = stores.current().version
    listening = _listen(port)
    number = listening.getsockname()[1]
    base = f"http://{_LOOPBACK}:{number}"
    app = make_app(stores, base, token, [f"{name}:{number}" for name in (_LOOPBACK, "localhost")])
    serving = Serving(base, directory / "token", version)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce(serving)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            self._captured_signals.clear()  # stopping when asked to is success, so the exit code is 0

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5, ws="none"
    )
    Server(config).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise FlipError("no-port", f"The server can't listen on port {port}: {error.strerror}.") from None
    return listening


def _state_of(estate: str) -> Path:
    if not estate.startswith(("postgresql://", "postgres://")):
        if not Path(estate).is_dir():
            raise FlipError("no-estate", f"There is no estate in {estate}.", remedy="Fill it with flip estate load.")
        return Path(estate) / ".serve"
    from platformdirs import user_state_path

    return user_state_path("flip") / "serve" / hashlib.sha256(estate.encode()).hexdigest()[:16]


def _kept(path: Path, make: Callable[[], str]) -> str:
    """A secret's file, made on first use, readable by its owner alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                raise FlipError("no-state", f"{path} can be read by others.", remedy=f"chmod 600 {path}") from None
            return path.read_text(encoding="ascii").strip()
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            secret = make()
            stream.write(secret + "\n")
            return secret
    except OSError as error:
        raise FlipError(
            "no-state",
            f"{path} can't be kept: {error.strerror}.",
            remedy="Give --state a directory that can be written.",
        ) from None
