"""A real PACS for tests: Debian's Orthanc on loopback, with DICOMweb and DIMSE.

``orthanc_server`` is a pytest fixture, one for all workers of a run; ``serving()`` is the same for benchmarks.
Tests share its store: whoever stores something takes UIDs of its own, or deletes it again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from run_wide import Started, once

_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
_USER = ("flip", "of-a-test")
AET = "TRUSTPACS"
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class OrthancServer:
    """``directory`` holds its configuration, its log and all that it stores."""

    directory: Path

    @property
    def configuration(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.directory / "orthanc.json").read_text())
        return told

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.configuration['HttpPort']}"

    @property
    def dicom_port(self) -> int:
        return int(self.configuration["DicomPort"])

    def client(self, timeout: float = 60) -> httpx.Client:
        return httpx.Client(base_url=self.address, auth=_USER, timeout=timeout)


def configuration(directory: Path, **more: Any) -> dict[str, Any]:
    """Two free ports, one account, no peers; ``more`` are Orthanc's own settings."""
    http, dicom = _free_ports(2)
    return {
        "StorageDirectory": str(directory / "store"),
        "IndexDirectory": str(directory / "store"),
        "Plugins": [_PLUGIN],
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": AET,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict([_USER]),
        "DicomAlwaysAllowStore": False,
        "UnknownSopClassAccepted": True,
        "DicomModalities": {},
        "OverwriteInstances": False,
        "SyncStorageArea": False,
        "SaveJobs": False,
        "LimitFindResults": 0,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        **more,
    }


@contextmanager
def serving(**more: Any) -> Iterator[OrthancServer]:
    """A server until the block ends."""
    directory = _directory()
    try:
        process = _start(directory, configuration(directory, **more))
        try:
            yield OrthancServer(directory)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def orthanc_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OrthancServer:
    if request.config.getoption("markexpr") == "not slow":
        pytest.fail("make check starts no Orthanc: mark this test slow")

    def start() -> Started:
        directory = _directory()
        return Started(_start(directory, configuration(directory)).pid, str(directory))

    return OrthancServer(Path(once(tmp_path_factory, "orthanc", start).directory))


def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="flip-orthanc-"))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start(directory: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A server that answers. TCP_NODELAY: Debian's DCMTK would wait 40 ms for each file without it."""
    (directory / "store").mkdir()
    (directory / "orthanc.json").write_text(json.dumps(settings))
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(directory / "orthanc.json")],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TCP_NODELAY": "1"},
            start_new_session=True,
        )
    ends = time.monotonic() + _PATIENCE_SECONDS
    with OrthancServer(directory).client(timeout=5) as client:
        while process.poll() is None and time.monotonic() < ends:
            try:
                if client.get("/system").is_success:
                    return process
            except httpx.TransportError:
                time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError(f"Orthanc does not answer: {log.read_text()[-2000:]}")
