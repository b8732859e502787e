"""What a coordinator needs of a hub: a real one over TLS (``HubLink``), or one in the same process."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorView, RoundReplies
from flipnb.contracts.keys import KeyId
from flipnb.contracts.round import RoundContext
from flipnb.federation.coordinator.totals import TotalLink


class CoordinatorHub(TotalLink, Protocol):
    def view(self) -> CoordinatorView: ...
    def ask(self, context: RoundContext, known: int, wait: float) -> RoundReplies: ...
    def tell(self, event: CoordinatorEvent) -> tuple[KeyId, ...]: ...
    def give(self, path: Path, digest: str) -> None: ...
    def blob(self, digest: str) -> Path: ...
