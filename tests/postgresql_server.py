"""A real PostgreSQL server for tests: a temporary cluster on a unix socket, from Debian's package.

``postgresql_server`` is a pytest fixture, one for all workers of a run; ``serving()`` is the same for benchmarks.
Every test takes a database of its own from ``new_database()``, so that tests never meet.
"""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from run_wide import Started, once

_OWNER = "postgres"
"""The account that Debian's package makes; PostgreSQL refuses to run as root."""

VERSION = "FLIP_TEST_POSTGRESQL"
"""Names the version, where several are installed; else the newest."""
_PACKAGES = Path("/usr/lib/postgresql")

# Nothing here outlives the process, so nothing needs to reach the disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
}


@dataclass(frozen=True)
class PostgresqlServer:
    """A running server; ``directory`` holds its socket."""

    directory: Path
    user: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def address(self, database: str) -> str:
        return f"postgresql:///{database}?host={quote(str(self.directory), safe='')}&user={self.user}"

    def new_database(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)


@contextmanager
def serving(settings: Mapping[str, str] | None = None) -> Iterator[PostgresqlServer]:
    """A server until the block ends; ``settings`` go into its configuration."""
    directory = _directory()
    try:
        server = _start(directory, settings or {})
        try:
            yield PostgresqlServer(directory, _user())
        finally:
            # SIGINT ends the server at once, with the clients that are still there.
            server.send_signal(signal.SIGINT)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PostgresqlServer:
    if request.config.getoption("markexpr") == "not slow":
        pytest.fail("make check starts no PostgreSQL: mark this test slow")

    def start() -> Started:
        directory = _directory()
        return Started(_start(directory, {}).pid, str(directory))

    return PostgresqlServer(Path(once(tmp_path_factory, "postgresql", start).directory), _user())


def _as_owner() -> dict[str, Any]:
    return {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.getuid() == 0 else {}


def _user() -> str:
    return _OWNER if os.getuid() == 0 else getpass.getuser()


def _directory() -> Path:
    """A new one. A socket's path is limited to 107 bytes, which pytest's own directories can exceed."""
    directory = Path(tempfile.mkdtemp(prefix="flip-pg-", dir="/tmp"))
    if os.getuid() == 0:
        shutil.chown(directory, _OWNER, _OWNER)
    return directory


def _start(directory: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A server that answers, on a new cluster in ``directory``."""
    programs, cluster = _programs(), directory / "cluster"
    # The caller's directory may be closed to the owner of the server.
    run: dict[str, Any] = {"cwd": directory, "stdin": subprocess.DEVNULL, **_as_owner()}
    subprocess.run(
        [programs / "initdb", "--pgdata", cluster, "--username", _user(), "--auth", "trust", "--encoding", "UTF8",
         "--locale", "C", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "TZ": "UTC"}, **run,
    )  # fmt: skip
    configuration = {**_SETTINGS, "unix_socket_directories": str(directory), **settings}
    options = [text for item in configuration.items() for text in ("-c", "=".join(item))]
    log = directory / "log"
    with log.open("wb") as stream:
        server = subprocess.Popen([programs / "postgres", "-D", cluster, *options], stdout=stream, stderr=stream, **run)
    _await(programs, directory, server, log)
    return server


def installed() -> list[str]:
    """The versions of PostgreSQL on this machine."""
    return sorted((path.parents[1].name for path in _PACKAGES.glob("*/bin/initdb")), key=int)


def _programs() -> Path:
    versions = installed()
    if not versions:
        pytest.fail("PostgreSQL is missing: install Debian's package postgresql-15 (make install does).")
    return _PACKAGES / os.environ.get(VERSION, versions[-1]) / "bin"


def _await(programs: Path, directory: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while subprocess.run([programs / "pg_isready", "-q", "-h", directory], check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.1)
