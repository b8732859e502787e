"""What a Trust's runs ask of the hub; the agent's link to it is the one that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Hub(Protocol):
    """Each call waits until the hub is there, and raises FlipError for what the hub refuses."""

    async def bundle(self, digest: str) -> bytes:
        """The envelope of the bundle with this SHA-256 of its content; not verified."""

    async def put_blob(self, path: Path, digest: str, run: str) -> None:
        """Bring the file, whose SHA-256 is ``digest``, to the hub for ``run``; the same again is fine."""

    async def fetch_blob(self, digest: str, size: int, target: int) -> None:
        """Fill the file descriptor ``target``, which has ``size`` bytes, with the blob ``digest``.

        Raises FlipError ``wrong-weights`` where its size or SHA-256 is not what was said.
        """
