"""The demo federation: a hub and four hospitals' enclaves on one machine, each with its own directory and keys.

Everything that people do by hand in a real federation (certificates, passphrases, principals) is done here in their
place, and lies where it would lie there.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import KernelLimits, Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Trust
from flipnb.demo.certificates import Certificate, make_ca, make_server_certificate
from flipnb.demo.hospitals import CONCEPTS, HOSPITALS, Hospital
from flipnb.demo.registry import DAEMONS, forget, known_federations, register
from flipnb.enclave.setup import create_enclave
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.files.logs import open_log
from flipnb.link.key_files import load_key, save_key

AUDIENCE = "flip-demo-hub"
ENVIRONMENT = "flip-demo"
CONTROLLER = "data-controller"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Enclave:
    """One hospital's enclave of the demo, and the passphrase of its data controller, whom the demo plays."""

    hospital: Hospital
    directory: Path
    passphrase_file: Path

    @property
    def node_public_key(self) -> str:
        """The public half of the enclave's node key, base64. Raises FlipError ``no-key`` before it was made."""
        return load_key(self.directory / "keys" / "node.pem").public_key

    def trust(self) -> Trust:
        """The hospital as the study's roster names it."""
        return Trust(name=self.hospital.name, title=self.hospital.title, public_key=self.node_public_key)


@dataclass(frozen=True)
class Federation:
    """Where everything of a demo federation lies."""

    directory: Path

    @property
    def hub(self) -> Path:
        """The hub's directory."""
        return self.directory / "hub"

    @property
    def workbench(self) -> Path:
        """The researcher's ``FLIP_HOME``."""
        return self.directory / "workbench"

    @property
    def enclaves(self) -> tuple[Enclave, ...]:
        """The four enclaves, in the order of the hospitals."""
        return tuple(
            Enclave(h, self.directory / "enclaves" / h.name, self.directory / "controllers" / f"{h.name}.passphrase")
            for h in HOSPITALS
        )


def default_directory() -> Path:
    """Where ``make demo`` and ``flip up`` keep the federation: ``build/demo`` below the current directory."""
    return Path("build/demo").absolute()


def build(directory: Path, lock_file: Path, *, per_trust_metrics: Callable[[Hospital], bool]) -> Federation:
    """Make a federation's directories, keys, certificates and policies. ``directory`` must not exist or be empty."""
    federation = Federation(directory.absolute())
    if federation.directory.exists() and any(federation.directory.iterdir()):
        raise FlipError("not-empty", f"{federation.directory} is not empty.", remedy="Run `make clean` first.")
    researcher = SigningKey.generate()
    ca = make_ca(federation.directory / "ca")
    certificate = make_server_certificate(federation.hub, ca, ["localhost", "127.0.0.1"])
    port = _free_port()
    url = f"https://127.0.0.1:{port}"
    for enclave in federation.enclaves:
        _make_enclave(enclave, url, ca.certificate, lock_file, lets_out=per_trust_metrics(enclave.hospital))
    _write_hub(federation, researcher, port, certificate, ca.certificate)
    _write_workbench(federation, researcher, url, ca.certificate, lock_file)
    enclaves = {enclave.hospital.name: enclave.directory for enclave in federation.enclaves}
    _write_json(federation.directory / DAEMONS, _daemons(federation.hub, enclaves))
    register(federation.directory)
    return federation


def adopt(directory: Path) -> None:
    """Make a folder with ``hub/hub.json`` and ``enclaves/NAME/enclave.json`` one that ``up`` starts: a federation that
    people made themselves. Writes ``daemons.json``; nothing where it is there. Raises FlipError ``not-built``.
    """
    if (directory / DAEMONS).is_file():
        return
    enclaves = {file.parent.name: file.parent for file in sorted(directory.glob("enclaves/*/enclave.json"))}
    if not (directory / "hub" / "hub.json").is_file() or not enclaves:
        raise FlipError("not-built", f"There is no federation in {directory}.", remedy=_how_to_make_one())
    _write_json(directory / DAEMONS, _daemons(directory / "hub", enclaves))


def _how_to_make_one() -> str:
    known = [str(one.directory) for one in known_federations()]
    others = f" You have {', '.join(known)}: name one with --directory." if known else ""
    return (
        "`make demo` makes one of four hospitals in build/demo, `make lab` in build/lab. For one of your own, set up "
        f"hub/hub.json and enclaves/NAME/enclave.json in that folder (docs/operator.md).{others}"
    )


def _make_enclave(enclave: Enclave, url: str, ca: Path, lock_file: Path, *, lets_out: bool) -> None:
    """``lets_out``: whether the hospital's policy lets its own metrics and its kernels' memory out."""
    passphrase = secrets.token_urlsafe(18)
    _write_secret(enclave.passphrase_file, passphrase)
    create_enclave(
        enclave.directory,
        name=enclave.hospital.name,
        title=enclave.hospital.title,
        hub_url=url,
        hub_audience=AUDIENCE,
        hub_ca=ca,
        controller=CONTROLLER,
        controller_passphrase=passphrase,
        policy=Policy(
            per_trust_metrics=lets_out,
            memory_use=lets_out,
            kernel=KernelLimits(memory_bytes=2 << 30, scratch_bytes=64 << 20, shm_bytes=64 << 20),
        ),
        environment=ENVIRONMENT,
        lock_file=lock_file,
        runtime_dir=runtime_directory(enclave.directory),
    )


def _write_hub(federation: Federation, researcher: SigningKey, port: int, certificate: Certificate, ca: Path) -> None:
    principals = [{"name": "researcher", "role": "researcher", "public_key": researcher.public_key}]
    principals += [
        {"name": e.hospital.name, "role": "trust", "public_key": e.node_public_key} for e in federation.enclaves
    ]
    _write_json(
        federation.hub / "hub.json",
        {
            "name": "FLIP demo hub",
            "audience": AUDIENCE,
            "host": "127.0.0.1",
            "port": port,
            "certificate": str(certificate.certificate),
            "key": str(certificate.key),
            "ca": str(ca),
            "principals": principals,
            "gather_seconds": 30,
        },
    )


def _write_workbench(federation: Federation, researcher: SigningKey, url: str, ca: Path, lock_file: Path) -> None:
    save_key(researcher, federation.workbench / "keys" / "researcher.pem")
    vocabulary = federation.workbench / "vocabulary" / "CONCEPT.csv"
    vocabulary.parent.mkdir()
    shutil.copyfile(CONCEPTS, vocabulary)
    _write_json(
        federation.workbench / "config.json",
        {
            "hub": url,
            "audience": AUDIENCE,
            "ca": str(ca),
            "name": "Demo researcher",
            "environment": {"name": ENVIRONMENT, "lock": sha256(lock_file.read_bytes()).hexdigest()},
        },
    )


def runtime_directory(enclave: Path) -> Path:
    """A short directory for unix sockets, whose paths may have 107 bytes at most, one per enclave directory."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    return base / f"flip-{os.getuid()}-{sha256(str(enclave).encode()).hexdigest()[:10]}"


def up(directory: Path, *, attached: bool = False, wait_seconds: float = 60.0) -> dict[str, Any]:
    """Start the daemons under a supervisor and wait until they serve; returns the status.

    With ``attached`` everything ends when the calling process ends; otherwise it runs on until ``down``.
    Raises FlipError ``not-built``, ``already-up``, ``not-up-in-time`` (naming the daemon and its log).
    """
    adopt(directory)
    if status(directory)["up"]:
        raise FlipError("already-up", f"The federation in {directory} is up already.", remedy="See `flip status`.")
    register(directory)
    log = directory / "supervisor.log"
    with open_log(log) as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "flipnb.demo.supervisor", str(directory), *(["--attached"] * attached)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        now = status(directory)
        if now["up"] and all(d["state"] == "up" for d in now["daemons"].values()):
            return now
        if supervisor.poll() is not None:
            raise FlipError("not-up", f"The supervisor ended with exit code {supervisor.returncode}; see {log}.")
        time.sleep(0.1)
    late = {name: d["log"] for name, d in status(directory).get("daemons", {}).items() if d["state"] != "up"}
    down(directory)
    named = "; ".join(f"{name} ({_last_line(path)}; see {path})" for name, path in late.items()) or "the supervisor"
    raise FlipError("not-up-in-time", f"Not up after {wait_seconds:.0f} s: {named}.")


def _last_line(log: str) -> str:
    """What a daemon said last, cut at 300 characters."""
    try:
        lines = Path(log).read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line[:300] for line in reversed(lines) if line.strip()), "it said nothing")


def down(directory: Path, *, wait_seconds: float = 30.0) -> bool:
    """Stop the federation; True where one was up. Returns when the supervisor and its daemons are gone."""
    now = status(directory)
    if not now["up"]:
        return False
    os.kill(now["pid"], signal.SIGTERM)
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline and _alive(now["pid"], directory):
        time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(now["pid"], os.WNOHANG)  # where this very process started it, it is not left as a zombie
    if _alive(now["pid"], directory):
        raise FlipError("not-down", f"The supervisor (process {now['pid']}) does not stop.")
    return True


def status(directory: Path) -> dict[str, Any]:
    """``{"directory", "up", "died", "pid", "daemons": {name: {"state", "pid", "restarts", "log"}}}``

    ``died``: its supervisor is gone without having been stopped; its daemons ended with it.
    """
    where = {"directory": str(directory)}
    try:
        now: dict[str, Any] = json.loads((directory / "status.json").read_text())
    except (FileNotFoundError, ValueError):
        return {**where, "up": False, "died": False, "daemons": {}}
    alive = _alive(now["pid"], directory)
    return {**where, "up": alive, "died": not alive, **now}


def remove(directory: Path) -> None:
    """Stop and delete a demo federation, its runtime directories included."""
    down(directory)
    for enclave in Federation(directory.absolute()).enclaves:
        shutil.rmtree(runtime_directory(enclave.directory), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
    forget(directory.absolute())


def _daemons(hub: Path, enclaves: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The hub first; each enclave's agent is ready when its desk can be asked."""
    daemons = [
        {
            "name": "hub",
            "argv": [sys.executable, "-m", "flipnb.hub", "--directory", str(hub)],
            "ready": str(hub / "address.json"),
            "log": str(hub / "logs" / "output.log"),
        }
    ]
    daemons += [
        {
            "name": name,
            "argv": [sys.executable, "-m", "flipnb.enclave.agent", "--enclave", str(enclave)],
            "ready": str(EnclaveDirectory.open(enclave).desk_socket),
            "log": str(enclave / "logs" / "output.log"),
        }
        for name, enclave in enclaves.items()
    ]
    return daemons


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _alive(pid: int, directory: Path) -> bool:
    """Whether the process is this very federation's supervisor: numbers of processes come again."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "flipnb.demo.supervisor" in arguments and str(directory) in arguments


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
