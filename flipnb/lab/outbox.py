"""Bundles that were shown and are not sent yet: what is signed is what was shown, byte for byte."""

from __future__ import annotations

import threading

from flipnb.contracts.problem import FlipError
from flipnb.workbench.home import Home
from flipnb.workbench.submission import Prepared, Signed, Submitted, check_shapes, send, sign

_MOST = 16


class Outbox:
    """By digest, the latest sixteen; in memory alone, so that nothing unsent outlives the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Prepared | Signed] = {}

    def put(self, prepared: Prepared) -> str:
        """Keep a bundle until it is sent, and give its digest; the oldest goes where there are too many."""
        digest = prepared.bundle.digest()
        with self._lock:
            self._waiting[digest] = prepared
            while len(self._waiting) > _MOST:
                del self._waiting[next(iter(self._waiting))]
        return digest

    def shown(self, digest: str) -> Prepared:
        """A bundle that was shown. Raises FlipError ``not-shown`` (409)."""
        with self._lock:
            waiting = self._waiting.get(digest)
        if waiting is None:
            raise FlipError(
                "not-shown",
                f"The bundle {digest[:12]}… is not among those that were last shown.",
                remedy="Look at the bundle again, then sign and send it.",
                status=409,
            )
        return waiting if isinstance(waiting, Prepared) else waiting.prepared

    def send(self, home: Home, digest: str) -> Submitted:
        """Check what is unchecked of its points, sign once, send; after a failure the same again sends the same.

        Raises FlipError ``not-shown`` (409), and as ``check_shapes``.
        """
        check_shapes(self.shown(digest))
        with self._lock:
            waiting = self._waiting[digest]
            if isinstance(waiting, Prepared):
                self._waiting[digest] = waiting = sign(home, waiting)
        return send(home, waiting)
