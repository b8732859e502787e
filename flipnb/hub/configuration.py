"""``hub.json``: what the operator enters by hand, keys of principals included."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flipnb.contracts.document import invalid
from flipnb.contracts.keys import PublicKey, key_id
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line

COORDINATOR_COMMAND = (sys.executable, "-m", "flipnb.federation.coordinator")


class Principal(BaseModel):
    """Somebody whom the hub lets in at all. What they may touch is a matter of the studies' rosters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    role: Literal["researcher", "trust"]
    public_key: PublicKey


class HubConfiguration(BaseModel):
    """``port`` 0 takes a free one, and after a restart the same again where it is still free.

    ``url`` is the address that others use where it is not ``host`` and ``port``; ``ca`` what coordinators trust.
    ``coordinator`` is the command that starts one; the path of its order is appended. Paths may be relative to the
    file's directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    audience: str = Field(pattern=r"^[\x21-\x7e]{1,200}$")
    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65_535)
    url: str | None = None
    certificate: Path
    key: Path
    ca: Path
    principals: tuple[Principal, ...]
    gather_seconds: float = Field(default=30.0, ge=0)
    stop_seconds: float = Field(default=5.0, gt=0)
    blob_bytes: int = Field(default=16 << 30, ge=1)
    coordinator: tuple[str, ...] = Field(default=COORDINATOR_COMMAND, min_length=1)
    coordinator_restarts: int = Field(default=5, ge=0)


@dataclass(frozen=True)
class HubDirectory:
    """Where everything of one hub lies."""

    root: Path

    @property
    def configuration(self) -> Path:
        """What the operator enters by hand."""
        return self.root / "hub.json"

    @property
    def address(self) -> Path:
        """Written when the hub serves: where it does."""
        return self.root / "address.json"

    @property
    def database(self) -> Path:
        """Studies, runs and events."""
        return self.root / "hub.sqlite"

    @property
    def blobs(self) -> Path:
        """Weights and files by their SHA-256."""
        return self.root / "blobs"

    @property
    def runs(self) -> Path:
        """A folder for each run's coordinator."""
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        """The hub's log, and each coordinator's."""
        return self.root / "logs"

    def read_configuration(self) -> HubConfiguration:
        """Raises FlipError ``no-configuration``, ``invalid-document``, ``key-twice``."""
        try:
            text = self.configuration.read_text()
        except FileNotFoundError:
            raise FlipError("no-configuration", f"There is no {self.configuration}.") from None
        try:
            read = HubConfiguration.model_validate_json(text)
        except ValidationError as error:
            raise invalid(error, str(self.configuration)) from None
        if len({key_id(principal.public_key) for principal in read.principals}) != len(read.principals):
            raise FlipError("key-twice", f"{self.configuration} enters one public key twice.")
        absolute = {name: self.root / getattr(read, name) for name in ("certificate", "key", "ca")}
        return read.model_copy(update=absolute)

    def last_port(self) -> int:
        """The port of the address that was written last, or 0."""
        try:
            return int(json.loads(self.address.read_text())["port"])
        except (FileNotFoundError, ValueError, KeyError):
            return 0
