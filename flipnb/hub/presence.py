"""Which Trusts' agents are there, and the cards that they sent: kept in memory, as each agent says it anew."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.trust_card import TrustCard

_ABSENT_SECONDS = 45.0
"""An agent asks for tasks again at the latest after the longest wait; this is that and a slow network."""


@dataclass
class Presence:
    """By a Trust's key: when its agent was last heard (Unix seconds), and its sealed card."""

    _heard: dict[str, float] = field(default_factory=dict)
    _cards: dict[str, str] = field(default_factory=dict)
    _facts: dict[str, str] = field(default_factory=dict)
    _slots: dict[str, int] = field(default_factory=dict)
    since: float = field(default_factory=time.time)
    """Since when this hub listens, in Unix seconds."""

    def hear(self, trust: str) -> bool:
        """Its agent is there; returns whether that is news."""
        news = not self.online(trust)
        self._heard[trust] = time.time()
        return news

    def take_card(self, card: TrustCard, sealed: str) -> None:
        """Keep a Trust's newest card, sealed as it came; it must have been verified."""
        self._cards[card.trust] = sealed
        self._slots[card.trust] = card.slots
        self._facts[card.trust] = sha256(canonical_bytes(card.model_dump(mode="json", exclude={"made"})))

    def online(self, trust: str) -> bool:
        """Whether the Trust's agent has asked for tasks lately."""
        return time.time() - self._heard.get(trust, 0.0) < _ABSENT_SECONDS

    @property
    def there(self) -> tuple[str, ...]:
        """The Trusts whose agents have asked for tasks lately."""
        return tuple(trust for trust in self._heard if self.online(trust))

    def heard(self, trust: str) -> float | None:
        """When the agent was last heard, in Unix seconds; None where it was not, since this hub started."""
        return self._heard.get(trust)

    def slots(self, trust: str) -> float:
        """How many kernels run at once there, by its card; without bound where it has sent none."""
        return self._slots.get(trust, math.inf)

    def card(self, trust: str) -> str | None:
        """The Trust's sealed card; None where it has sent none since this hub started."""
        return self._cards.get(trust)

    def pulse(self, trusts: Iterable[str], joined: Sequence[str]) -> str:
        """A name for all that is known of these Trusts but the time: it changes when that does."""
        known = [[trust, self.online(trust), self._facts.get(trust)] for trust in sorted(trusts)]
        return sha256(canonical_bytes([known, list(joined)]))[:16]
