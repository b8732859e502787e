"""The coordinator's side of the hub's API: signed requests, retried while the hub restarts."""

from __future__ import annotations

from pathlib import Path

from flipnb.contracts.coordinator import (
    CoordinatorEvent,
    CoordinatorOrder,
    CoordinatorView,
    Present,
    RoundReplies,
)
from flipnb.contracts.document import Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.files.blobs import Blobs
from flipnb.link.access import Access
from flipnb.link.client import SignedClient
from flipnb.link.exchange import BROKEN, RECORD_BYTES
from flipnb.link.key_files import load_key
from flipnb.link.retry import Retry

_RETRY = Retry(first=0.1, longest=2.0, patience=120.0, statuses=BROKEN)


class HubLink:
    """Every call is retried for two minutes while the hub is out of reach or broken; what it refuses is a FlipError."""

    def __init__(self, order: CoordinatorOrder) -> None:
        self._blobs = Blobs(Path(order.blobs))
        access = Access(order.hub_url, order.audience, Path(order.ca), load_key(Path(order.key)))
        self._client = SignedClient(access, patience=60.0, silence=90.0)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def view(self) -> CoordinatorView:
        """What this coordinator needs to begin, or to go on where an earlier one was killed."""
        return CoordinatorView.model_validate_json(self._call("GET", "/v1/coordinator"))

    def ask(self, context: RoundContext, known: int, wait: float) -> RoundReplies:
        """Ask a round's members, whom the same context asks once; replies and absences so far.

        Returns when there are more than ``known``, or after ``wait`` seconds.
        """
        path = f"/v1/coordinator/rounds?after={known}&wait={wait:.1f}"
        return RoundReplies.model_validate_json(self._call("POST", path, context))

    def post_total(self, context: TotalContext) -> None:
        """Ask the members for a step of the totals."""
        self._call("POST", "/v1/coordinator/totals", context)

    def total_replies(self, step: int, known: int, wait: float) -> RoundReplies:
        """As ``ask``, of a total."""
        path = f"/v1/coordinator/totals/{step}?after={known}&wait={wait:.1f}"
        return RoundReplies.model_validate_json(self._call("GET", path))

    def post_sum(self, result: TotalSum) -> None:
        """Give the members the sum of a step."""
        self._call("POST", "/v1/coordinator/sums", result)

    def tell(self, event: CoordinatorEvent) -> tuple[KeyId, ...]:
        """Say a finished round or the run's end; who can be asked next."""
        return Present.model_validate_json(self._call("POST", "/v1/coordinator/events", event)).trusts

    def give(self, path: Path, digest: str) -> None:
        """Make a synced file one of the hub's blobs; the context that names it opens it to the members of this run."""
        self._blobs.give(path, digest)

    def blob(self, digest: str) -> Path:
        """The file of a blob. Raises FlipError ``missing-blob``."""
        path = self._blobs.path(digest)
        if not path.exists():
            raise FlipError("missing-blob", f"The blob {digest[:12]}… is not at the hub.", status=409)
        return path

    def _call(self, method: str, path: str, body: Document | None = None) -> bytes:
        content = body.to_bytes() if body is not None else b""
        return _RETRY.call(lambda: self._client.ask(method, path, content, limit=RECORD_BYTES))
