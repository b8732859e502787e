"""A PACS for tests of the collector: the run's Orthanc with our entity as its peer, or one that may be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from orthanc_server import AET, OrthancServer, configuration

from flipnb.demo.certificates import Certificate

OURS = "FLIPENCLAVE"
PASSWORD = "flip:of-a-test"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def peer(port: int, **more: Any) -> dict[str, Any]:
    """What an Orthanc must know of us: where we take what a C-MOVE asks for."""
    return {"AET": OURS, "Host": "127.0.0.1", "Port": port, "Manufacturer": "Generic", **more}


def known_to(orthanc: OrthancServer, port: int) -> None:
    with orthanc.client() as client:
        client.put("/modalities/flip", json=peer(port)).raise_for_status()


def reached(orthanc: OrthancServer, folder: Path, way: str, **more: Any) -> dict[str, Any]:
    """The archive as collector.json has it, with its password in ``folder``."""
    if way == "dicomweb":
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o600)
        return {"way": way, "root": f"{orthanc.address}/dicom-web", "credentials": "password", **more}
    address = {"host": "127.0.0.1", "port": orthanc.dicom_port, "called_aet": AET, "calling_aet": OURS}
    return {"way": way, **address, **more}


class MortalPacs:
    """An Orthanc of one test, which can be killed and started again on its ports and its store."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.server = OrthancServer(directory)
        (directory / "orthanc.json").write_text(json.dumps(configuration(directory, **more)))
        (directory / "store").mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.server.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(self.server.directory / "orthanc.json")],
                cwd=self.server.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1"},
                start_new_session=True,
            )

        def answers() -> bool:
            with self.server.client(timeout=5) as client:
                try:
                    return client.get("/system").is_success
                except httpx.TransportError:
                    return False

        until(answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def certified(folder: Path, authority: Certificate, name: str) -> dict[str, str]:
    """A certificate for either end of a connection, signed by ``authority``: its files in ``folder``."""
    own = {"certificate": f"{name}.pem", "key": f"{name}.key"}
    request = folder / f"{name}.csr"
    ask = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    to = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / own["key"])]
    sign = ["openssl", "x509", "-req", "-in", str(request), "-copy_extensions", "copy", "-days", "2"]
    by = ["-CA", str(authority.certificate), "-CAkey", str(authority.key), "-CAcreateserial"]
    subprocess.run([*ask, *to, "-out", str(request)], check=True, capture_output=True)
    subprocess.run([*sign, *by, "-out", str(folder / own["certificate"])], check=True, capture_output=True)
    (folder / own["key"]).chmod(0o600)
    return own


@contextmanager
def mortal(directory: Path, **more: Any) -> Iterator[MortalPacs]:
    directory.mkdir(parents=True, exist_ok=True)
    pacs = MortalPacs(directory, **more)
    pacs.start()
    try:
        yield pacs
    finally:
        pacs.kill()


def until(holds: Callable[[], bool], patience_s: float = 120) -> None:
    """Wait for an event; how long it takes is nobody's failure."""
    ends = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)
