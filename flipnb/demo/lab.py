"""JupyterLab for each face of the demo, the researcher's and a hospital's desk, each with a workspace of its own."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.demo.federation import Enclave, Federation

_FIRST_PORT, _PORTS = 8888, 200
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Lab:
    """A JupyterLab that serves: ``address`` opens it, with its token; ``log`` is what it says."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]


@contextmanager
def researcher_lab(federation: Federation, notebooks: Path, arguments: Sequence[str] = ()) -> Iterator[Lab]:
    """The researcher's JupyterLab on ``notebooks``, open on the tour. ``arguments`` are JupyterLab's own.

    Raises FlipError ``no-lab``.
    """
    own = federation.directory / "jupyter" / "researcher"
    environment = {"FLIP_HOME": str(federation.workbench)}
    with _open(own, notebooks, environment, "/lab/tree/00_tour.ipynb", arguments) as lab:
        yield lab


@contextmanager
def desk_lab(federation: Federation, enclave: Enclave, arguments: Sequence[str] = ()) -> Iterator[Lab]:
    """JupyterLab as it runs in a hospital: its desk, nothing of the researcher's. Raises FlipError ``no-lab``."""
    own = federation.directory / "jupyter" / enclave.hospital.name
    folder = own / "files"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"FLIP_ENCLAVE": str(enclave.directory), "FLIP_HOME": str(own / "no-researcher")}
    with _open(own, folder, environment, "/lab", arguments) as lab:
        yield lab


def find_enclave(federation: Federation, name: str) -> Enclave:
    """The hospital's enclave by its name. Raises FlipError ``no-trust`` that names those there are."""
    for enclave in federation.enclaves:
        if enclave.hospital.name == name:
            return enclave
    names = ", ".join(enclave.hospital.name for enclave in federation.enclaves)
    raise FlipError("no-trust", f"The demo has no hospital {name!r}; it has {names}.")


def describe(federation: Federation, address: str, near: Path) -> str:
    """Who works where: the researcher's address, each hospital's desk, and where its passphrase is, below ``near``."""
    rows = [("hospital", "its desk, in another terminal", "its data controller's passphrase")]
    rows += [
        (
            enclave.hospital.title,
            f"make desk TRUST={enclave.hospital.name}",
            os.path.relpath(enclave.passphrase_file, near),
        )
        for enclave in federation.enclaves
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            "The researcher's JupyterLab, open on the tour:",
            f"  {address}",
            "",
            *table,
            "",
            f"In its terminals FLIP_HOME={os.path.relpath(federation.workbench, near)} is set.",
            "Ctrl-C closes all of it; `make lab` brings it back as it was.",
        ]
    )


@contextmanager
def _open(
    own: Path, folder: Path, environment: Mapping[str, str], page: str, arguments: Sequence[str]
) -> Iterator[Lab]:
    """JupyterLab on ``folder``; ``own`` keeps its workspaces, settings and log, so that no face restores another's."""
    own.mkdir(parents=True, exist_ok=True)
    port, token, log = _free_port(), secrets.token_hex(24), own / "jupyter.log"
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        # Jupyter has one secret for a user's servers: a tab of another face that was at this port would be let in.
        "ServerApp.cookie_secret_file": own / "cookie_secret",
        "ServerApp.answer_yes": True,
        "LabApp.default_url": page,
        "KernelManager.transport": "ipc",  # sockets of this user: over TCP, ipykernel warns in every notebook
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    command += [*(["--allow-root"] if os.geteuid() == 0 else []), *arguments]
    place = {
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTER_TOKEN": token,
    }
    kept = {name: value for name, value in os.environ.items() if name not in ("FLIP_HOME", "FLIP_ENCLAVE")}
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env={**kept, **place, **environment}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        _wait(process, port, log)
        yield Lab(f"http://127.0.0.1:{port}{page}?token={token}", log, process)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise FlipError("no-lab", f"JupyterLab did not start; see {log}.")


def _free_port() -> int:
    """The first free port from Jupyter's own on, so that addresses look as people know them."""
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise FlipError("no-port", f"No port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} is free.")
