"""Where a researcher's configuration and key lie: ``$FLIP_HOME``, else the user's configuration directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_path
from pydantic import ValidationError

from flipnb.contracts.bundle import Environment
from flipnb.contracts.document import Document, invalid
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line
from flipnb.link.key_files import load_key


class Configuration(Document):
    """``config.json``: the hub, the certificate authority to trust (a path), and the environment that runs name."""

    hub: str
    audience: str
    ca: str
    name: Line
    environment: Environment


@dataclass(frozen=True)
class Home:
    """A researcher's home. Nothing in it is a patient's."""

    directory: Path

    @classmethod
    def find(cls) -> Home:
        """``$FLIP_HOME``, else the user's configuration directory, whether there is anything in it or not."""
        named = os.environ.get("FLIP_HOME")
        return cls(Path(named) if named else user_config_path("flip"))

    @property
    def configuration(self) -> Configuration:
        """Raises FlipError ``not-configured``, ``invalid-document``."""
        path = self.directory / "config.json"
        try:
            return Configuration.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise FlipError(
                "not-configured",
                f"There is no FLIP configuration at {path}.",
                remedy="Set FLIP_HOME, or ask your hub's operator for config.json.",
            ) from None
        except ValidationError as error:
            raise invalid(error, str(path)) from None

    @property
    def key(self) -> SigningKey:
        """The researcher's key, opened by ``$FLIP_KEY_PASSPHRASE``. FlipError ``no-key``, ``wrong-passphrase``."""
        return load_key(self.directory / "keys" / "researcher.pem", os.environ.get("FLIP_KEY_PASSPHRASE"))
