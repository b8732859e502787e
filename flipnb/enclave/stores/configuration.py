"""An enclave's directory: where its configuration, keys, policy and state lie."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from flipnb.contracts.controller import Controller
from flipnb.contracts.document import Document, invalid, sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line, Name
from flipnb.estate.versions import READING_MEMORY
from flipnb.files.whole import write
from flipnb.link.key_files import load_key

SECRET_BYTES = 32
SOCKET_PATH_BYTES = 107
"""What Linux allows for the path of a unix socket."""


class Configuration(Document):
    """``enclave.json``. Relative paths count from the enclave's directory.

    ``anchor_file``: where what was written last is kept (see ``stores.anchors``): best on another disk than all else.
    ``estate_memory``: what the estate worker's database may hold in memory, as 512MB or 4GB; more is spilled to disk.
    """

    name: Name
    title: Line
    hub_url: str = Field(pattern=r"^https://[\x21-\x7e]{1,400}$")
    hub_audience: str = Field(min_length=1, max_length=200)
    hub_ca: str
    controllers: tuple[Controller, ...] = Field(min_length=1, max_length=100)
    runtime_dir: str
    estate_dir: str = "estate"
    environments_dir: str = "environments"
    anchor_file: str = "anchor.json"
    estate_memory: str = Field(default=READING_MEMORY, pattern=r"^[1-9][0-9]{0,5}[MG]B$")

    @model_validator(mode="after")
    def _unique(self) -> Configuration:
        for values in ({c.name for c in self.controllers}, {c.public_key for c in self.controllers}):
            if len(values) != len(self.controllers):
                raise ValueError("two data controllers have one name or one key")
        return self


@dataclass(frozen=True)
class EnclaveDirectory:
    """One Trust's enclave on disk."""

    directory: Path
    configuration: Configuration

    @classmethod
    def open(cls, directory: Path) -> EnclaveDirectory:
        """Raises FlipError: ``no-enclave``, ``invalid-document``, ``enclave-open-to-others`` (mode is not 0700)."""
        directory = directory.absolute()
        _name_the_controller(directory)
        configuration = _configuration(directory)
        if directory.stat().st_mode & 0o077:
            raise FlipError(
                "enclave-open-to-others",
                f"{directory} can be read by other users of this machine.",
                remedy=f"chmod 0700 {directory}",
            )
        return cls(directory, configuration)

    @property
    def keys(self) -> Path:
        """The node's key, secrets, and the controllers' keys where they are kept here."""
        return self.directory / "keys"

    @property
    def node_key(self) -> Path:
        """The node's private key, by which the agent signs."""
        return self.keys / "node.pem"

    @property
    def policy_file(self) -> Path:
        """What the Trust allows; its data controllers write it."""
        return self.directory / "policy.json"

    @property
    def memberships(self) -> Path:
        """The signed memberships, one file for each study."""
        return self.directory / "memberships"

    @property
    def state(self) -> Path:
        """Requests, approvals, runs, rounds and reports."""
        return self.directory / "state.sqlite"

    @property
    def ledger(self) -> Path:
        """What was asked and spent; outlives every other state."""
        return self.directory / "ledger.sqlite"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.directory / "audit.jsonl"

    @property
    def anchor(self) -> Path:
        """What was written last of log, ledger and secrets, by the configuration; see ``anchors``."""
        return self.directory / self.configuration.anchor_file

    @property
    def recovery(self) -> Path:
        """The signed declaration of a loss, while it is carried out."""
        return self.directory / "recovery.dsse"

    @property
    def runs(self) -> Path:
        """A folder for each run: cohort, weights, updates, the executed notebook."""
        return self.directory / "runs"

    @property
    def frozen(self) -> Path:
        """Where the estate worker leaves a frozen cohort; the agent takes it from there."""
        return self.directory / "frozen"

    @property
    def attached(self) -> Path:
        """The files that go with bundles, a folder for each bundle."""
        return self.directory / "attached"

    @property
    def logs(self) -> Path:
        """The logs of the agent and of its processes."""
        return self.directory / "logs"

    @property
    def estate(self) -> Path:
        """The estate's directory, by the configuration."""
        return self.directory / self.configuration.estate_dir

    @property
    def environments(self) -> Path:
        """The environments that are built here, a folder each, by the configuration."""
        return self.directory / self.configuration.environments_dir

    @property
    def hub_ca(self) -> Path:
        """The certificate authority of the hub, as it was entered by hand."""
        return self.directory / self.configuration.hub_ca

    @property
    def runtime(self) -> Path:
        """The directory for sockets."""
        return self.directory / self.configuration.runtime_dir

    @property
    def desk_socket(self) -> Path:
        """Where the agent's desk listens."""
        return self.runtime / "desk.sock"

    def broker_socket(self, run: str) -> Path:
        """Where a run's broker listens; half of the run's id keeps the path short."""
        return self.runtime / f"{run[:16]}.sock"

    def policy(self) -> Policy:
        """Read anew each time: what a controller changes holds from the next decision on.

        Raises FlipError ``no-policy``, ``invalid-policy``.
        """
        try:
            return Policy.model_validate_json(self.policy_file.read_bytes())
        except FileNotFoundError:
            raise FlipError("no-policy", f"There is no policy at {self.policy_file}.", status=503) from None
        except ValidationError as error:
            # The Trust's own fault, which nobody's request is refused for.
            raise FlipError("invalid-policy", invalid(error, str(self.policy_file)).message, status=503) from None

    def controllers(self) -> tuple[Controller, ...]:
        """Read anew each time, as the policy is: one who was added may decide at once.

        Raises FlipError ``no-enclave``, ``invalid-document``.
        """
        try:
            return _configuration(self.directory).controllers
        except FlipError as error:
            # The Trust's own fault, which nobody's request is refused for.
            raise FlipError(error.code, error.message, status=503) from None

    def environment_locks(self) -> Mapping[str, str]:
        """Name of each environment that is built here → SHA-256 of its lock file."""
        return {lock.parent.name: sha256(lock.read_bytes()) for lock in sorted(self.environments.glob("*/lock.txt"))}

    @property
    def disclosure(self) -> Path:
        """The file of the secret that the noise on counts is drawn from."""
        return self.keys / "disclosure.key"

    def study_file(self, study: str) -> Path:
        """The file of the secret that a study's pseudonyms and commitments come from."""
        return self.keys / f"study-{study}.key"

    def secrets(self) -> tuple[Path, ...]:
        """The files of all secrets of 32 bytes that are there."""
        return tuple(sorted(path for path in (self.disclosure, *self.keys.glob("study-*.key")) if path.exists()))

    def study_key(self, study: str) -> bytes:
        """32 secret bytes per study, made when it is joined. Never leaves. Raises FlipError ``bad-secret``."""
        return _secret(self.study_file(study))

    def estate_name(self, study: str, version: str) -> str:
        """What a study is told of an estate version: HMAC-SHA256 under the study's secret, 128 bits in hexadecimal.

        Runs of one study can be compared by it; the version's id, a digest of the sources, never leaves.
        Raises FlipError ``bad-secret``.
        """
        message = f"flip/estate/1\n{version}".encode()
        return hmac.new(self.study_key(study), message, hashlib.sha256).hexdigest()[:32]

    def disclosure_key(self) -> bytes:
        """32 secret bytes that the noise on counts is drawn from, read by the agent alone. Never leaves.

        Another key draws other noise for the same questions: keep it with the ledger. Raises FlipError ``bad-secret``.
        """
        return _secret(self.disclosure)

    def load_node_key(self) -> SigningKey:
        """The node's key. Raises FlipError ``no-key``, ``damaged-key``."""
        try:
            return load_key(self.node_key)
        except FlipError as error:
            raise FlipError(
                error.code,
                error.message,
                remedy="Restore it from a backup: without it this Trust is another one, to be set up and joined anew.",
                status=500,
            ) from None

    def make_runtime(self) -> None:
        """Make the directory for sockets, of this user alone. Raises FlipError ``socket-path-too-long``."""
        longest = len(os.fsencode(self.broker_socket("0" * 32)))
        if longest > SOCKET_PATH_BYTES:
            raise FlipError(
                "socket-path-too-long",
                f"The runtime directory {self.runtime} makes socket paths of {longest} bytes; "
                f"{SOCKET_PATH_BYTES} are possible.",
                remedy="Set runtime_dir in enclave.json to a shorter directory.",
            )
        self.runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = self.runtime.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise FlipError(
                "runtime-open-to-others",
                f"The runtime directory {self.runtime} belongs to another user or is open to others.",
                remedy="Remove it, or name another one in enclave.json.",
            )


def make_secret(path: Path) -> None:
    """32 bytes of the system's random source, in a file for this user alone; what is there is never overwritten."""
    if not path.exists():
        write(path, os.urandom(SECRET_BYTES), mode=0o600)


def _secret(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    if len(content) != SECRET_BYTES:
        raise FlipError(
            "bad-secret",
            f"{path} is not there, or has not the {SECRET_BYTES} bytes of a secret.",
            remedy="`flip enclave doctor` says what to do.",
            status=503,
        )
    return content


def _configuration(directory: Path) -> Configuration:
    file = directory / "enclave.json"
    try:
        return Configuration.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise FlipError(
            "no-enclave", f"{directory} is no enclave: it has no enclave.json.", remedy="Name its directory."
        ) from None
    except ValidationError as error:
        raise invalid(error, str(file)) from None


def _name_the_controller(directory: Path) -> None:
    """Until an enclave could have several data controllers it had one, without a name: it is ``controller`` now."""
    file = directory / "enclave.json"
    try:
        found = json.loads(file.read_bytes())
        controller = Controller(name="controller", public_key=found.pop("controller_public_key"))
    except (OSError, ValueError, KeyError, AttributeError):
        return  # of today, or none: ``_configuration`` says what is wrong with it
    before, key = directory / "keys" / "controller.pem", directory / "keys" / controller.key_file
    if before.exists() and not key.exists():
        key.hardlink_to(before)
    found["controllers"] = [controller.model_dump(mode="json")]
    write(file, json.dumps(found, indent=2).encode() + b"\n", mode=0o600)
    before.unlink(missing_ok=True)
