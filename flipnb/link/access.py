"""What it takes to ask a hub: where it is, whose certificate it must show, and a key that it knows."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.link.exchange import Peer
from flipnb.link.signing import Signing


@dataclass(frozen=True)
class Access:
    """One hub as one key's owner reaches it. ``ca`` is a PEM file, entered by hand; ``audience`` names the hub."""

    url: str
    audience: str
    ca: Path
    key: SigningKey

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """TLS 1.2 or later that believes this authority and no other. Raises FlipError ``no-ca``."""
        try:
            context = ssl.create_default_context(cafile=os.fspath(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise FlipError("no-ca", f"The authority's certificate {self.ca} can't be read: {error}.") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    @cached_property
    def signing(self) -> Signing:
        """Signs as the key's owner."""
        return Signing(self.key, self.audience)

    @property
    def peer(self) -> Peer:
        """The hub, as messages name it."""
        return Peer(
            name="hub",
            code="hub-unreachable",
            silence=f"The hub at {self.url} can't be reached",
            remedy="Try again when it is back; nothing was begun by halves.",
        )
