"""Which notebook this kernel runs: asked of the server that started it, never guessed from a folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAME = "JPY_SESSION_NAME"
"""Set by Jupyter's server for a kernel that it starts for a session; a later rename does not reach it."""

_SERVER = "JPY_PARENT_PID"
_ANSWER_SECONDS = 3.0
_ENDING = ".ipynb"


def running_notebook() -> Path | None:
    """The notebook's file, or None where nobody says: a console, a script, papermill, nbclient.

    VS Code names it in the kernel's namespace. Jupyter's server is asked for its sessions, so that a notebook that was
    renamed meanwhile has its new name; where it does not answer, the name that it gave the kernel at its start holds.
    """
    named = _of_vscode() or _of_server() or _of_start()
    return named if named is not None and named.suffix == _ENDING else None


def _of_vscode() -> Path | None:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    file = getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__")
    return Path(file) if isinstance(file, str) and file else None


def _of_server() -> Path | None:
    """The path of this kernel's session, by the file in which the server that started it says where it listens."""
    connection = _connection_file()
    server = os.environ.get(_SERVER, "")
    if connection is None or not server.isdigit():
        return None
    kernel = connection.stem.removeprefix("kernel-")
    try:
        info = json.loads(connection.with_name(f"jpserver-{server}.json").read_text())
        path = _path_of(_sessions(info["url"], info["token"] or os.environ.get("JUPYTERHUB_API_TOKEN", "")), kernel)
        return None if path is None else _on_disk(path, Path(info["root_dir"]))
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None  # gone, behind a certificate of its own, or none of Jupyter's: what it said at the start is left


def _sessions(url: str, token: str) -> list[Any]:
    """All of the server's sessions. It is on this machine, so that no proxy is asked."""
    at = urlsplit(url)
    kind = HTTPSConnection if at.scheme == "https" else HTTPConnection
    connection = kind(at.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", f"{at.path}api/sessions", headers={"Authorization": f"token {token}"})
        answer = connection.getresponse()
        sessions: list[Any] = json.loads(answer.read()) if answer.status == HTTPStatus.OK else []
        return sessions
    finally:
        connection.close()


def _connection_file() -> Path | None:
    """``kernel-ID.json``, which lies where the server keeps its own file, too; None in a script or a terminal."""
    if "ipykernel" not in sys.modules:
        return None
    from ipykernel.connect import get_connection_file

    try:
        return Path(get_connection_file())
    except RuntimeError:
        return None


def _path_of(sessions: Iterable[Any], kernel: str) -> str | None:
    """A kernel may have several sessions: a notebook's comes before a console's that was opened beside it."""
    paths = [session["path"] for session in sessions if (session.get("kernel") or {}).get("id") == kernel]
    return next((path for path in paths if path.endswith(_ENDING)), None)


def _on_disk(path: str, root: Path) -> Path:
    """``path`` is as the server's contents name it: below its root, with a drive where an extension brings one."""
    file = root / path.rpartition(":")[2].lstrip("/")
    return file if file.parent.is_dir() else Path.cwd() / file.name


def _of_start() -> Path | None:
    """The name that the server gave this kernel. A kernel that a notebook's kernel started has it from there."""
    named = os.environ.get(NAME)
    if not named or _inherited(named):
        return None
    file = Path(named)
    return file if file.is_absolute() and file.parent.is_dir() else Path.cwd() / file.name


def _inherited(named: str) -> bool:
    """Whether the process that started this one was started with the same name, so that it is another's."""
    try:
        parent = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except OSError:
        return False  # no Linux, or a parent of another user
    return f"{NAME}={named}".encode() in parent.split(b"\0")
