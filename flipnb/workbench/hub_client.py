"""The researcher's requests to the hub: TLS under the configured authority, each one signed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flipnb.contracts.document import load_json
from flipnb.contracts.keys import SigningKey
from flipnb.link.access import Access
from flipnb.link.bulk import LARGE, Progress, Upload
from flipnb.link.client import SignedClient
from flipnb.link.exchange import BROKEN, RECORD_BYTES
from flipnb.link.partial_file import fetch_file
from flipnb.link.retry import Retry
from flipnb.workbench.home import Configuration, Home

_RETRY = Retry(first=0.2, longest=2.0, patience=15.0, statuses=BROKEN)
"""For a transfer that breaks off; whatever else fails is said at once."""


class HubClient:
    """Synchronous; use as a context manager. Raises FlipError: what the hub says, or ``hub-unreachable``."""

    def __init__(self, configuration: Configuration, key: SigningKey) -> None:
        self._access = access(configuration, key)
        self._client = SignedClient(self._access, patience=20.0, silence=60.0)

    @classmethod
    def of(cls, home: Home) -> HubClient:
        """A client with the home's configuration and key."""
        return cls(home.configuration, home.key)

    def __enter__(self) -> HubClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def get(self, path: str) -> bytes:
        """The body of the answer to a GET."""
        return self._client.ask("GET", path, limit=RECORD_BYTES)

    def get_json(self, path: str) -> Any:
        """The answer as JSON data. Raises FlipError ``not-json``, ``duplicate-key``."""
        return load_json(self.get(path), "The hub's answer")

    def post(self, path: str, body: bytes = b"") -> bytes:
        """The body of the answer to a POST."""
        return self._client.ask("POST", path, body)

    def put_blob(self, study: str, file: Path) -> str:
        """Upload a file under its SHA-256, which is returned. A large one goes on where it broke off."""
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if file.stat().st_size >= LARGE:
            Upload(self._access, file, digest, f"study={study}").run(_RETRY)
        else:
            self._client.ask("PUT", f"/v1/blobs/{digest}?study={study}", file.read_bytes())
        return digest

    def save_blob(self, digest: str, file: Path, progress: Progress | None = None) -> None:
        """Download a blob; the file appears complete and with this digest, or not at all.

        What came of a download that was broken or stopped lies beside it as ``NAME.partial``, and the next one goes
        on from there. ``progress`` hears of bytes that are here and bytes in all; what it raises stops the download.
        Raises FlipError ``wrong-blob``, ``being-fetched``.
        """
        fetch_file(self._access, digest, file, _RETRY, progress)


def access(configuration: Configuration, key: SigningKey) -> Access:
    """What is needed to reach the hub as this researcher."""
    return Access(configuration.hub, configuration.audience, Path(configuration.ca), key)
