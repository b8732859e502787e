"""What a coordinator needs of a hub: a real one over TLS (``HubLink``), or one in the same process."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorView, RoundReplies
from flipnb.contracts.keys import KeyId
from flipnb.contracts.round import RoundContext
from flipnb.federation.coordinator.totals import TotalLink


class CoordinatorHub(TotalLink, Protocol):
    """All that a coordinator asks and tells."""

    def view(self) -> CoordinatorView:
        """What a coordinator needs to begin, or to go on where an earlier one was killed."""
        ...

    def ask(self, context: RoundContext, known: int, wait: float) -> RoundReplies:
        """Ask the round's members, once; the replies so far, at more than ``known`` or after ``wait`` seconds."""
        ...

    def tell(self, event: CoordinatorEvent) -> tuple[KeyId, ...]:
        """Tell what became of the run or of a round; the Trusts that are present."""
        ...

    def give(self, path: Path, digest: str) -> None:
        """Make a file that is on disk the hub's blob of this SHA-256."""
        ...

    def blob(self, digest: str) -> Path:
        """The file of one of the hub's blobs, on this machine. Raises FlipError ``missing-blob``."""
        ...
