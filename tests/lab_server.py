"""A real JupyterLab in a process of its own, with nothing of this machine's own configuration."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


class LabServer:
    """``root`` is what the file browser shows, ``home`` the researcher's FLIP home; ``enclave`` that of a Trust.

    ``application`` is the module that starts it: ``jupyterlab``, or ``notebook`` for Notebook 7.
    """

    def __init__(
        self,
        directory: Path,
        root: Path,
        home: Path,
        *,
        python: str = sys.executable,
        enclave: Path | None = None,
        application: str = "jupyterlab",
    ) -> None:
        self.root = root
        self.token = secrets.token_hex(16)
        self.log = directory / "jupyter.log"
        self._directory = directory
        self._home = home
        self._enclave = enclave
        self._command = [python, "-m", application, "--allow-root"]
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, wait_seconds: float = 90) -> None:
        arguments = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.open_browser": False,
            "ServerApp.allow_unauthenticated_access": False,
            "IdentityProvider.token": self.token,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.news_url": "",
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
        }
        command = [*self._command, *(f"--{name}={value}" for name, value in arguments.items())]
        own = self._directory
        places = ["CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"]
        environment = {
            **os.environ,
            **{f"JUPYTER_{name}": str(own / name.lower()) for name in places},
            "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
            "FLIP_HOME": str(self._home),
            **({"FLIP_ENCLAVE": str(self._enclave)} if self._enclave is not None else {}),
        }
        quiet = own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        quiet.parent.mkdir(parents=True, exist_ok=True)
        quiet.write_text('{"fetchNews": "false"}')
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + wait_seconds
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                if self.get("api/status").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"Jupyter did not start: {self.log.read_text()[-2000:]}")

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
        self._process = None

    def get(self, path: str, **arguments) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.request("POST", path, content=json.dumps(body).encode() if body is not None else b"")

    def request(self, method: str, path: str, *, token: bool = True, **arguments) -> httpx.Response:
        headers = {"authorization": f"token {self.token}"} if token else {}
        return httpx.request(method, f"{self.url}/{path}", headers=headers, timeout=60, trust_env=False, **arguments)
