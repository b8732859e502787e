"""The same content sent again is the same bundle: what was approved of it counts, and nobody is asked twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse, sha256
from flipnb.contracts.keys import KeyId
from flipnb.contracts.known_bundle import KnownBundles
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Roster
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient

_SENSIBLE = 4
"""An earlier bundle is sent again while at least this part of what a new one would be valid for is left of it."""


@dataclass(frozen=True)
class Earlier:
    """A bundle that was sent before; ``executions_left`` is what each Trust (by key) has approved and not used."""

    bundle: Bundle
    executions_left: Mapping[KeyId, int]


def find_earlier(home: Home, bundle: Bundle) -> Earlier | None:
    """The researcher's own bundle at the hub that equals ``bundle`` in everything but when it is valid; None where
    there is none that holds long enough, or where the hub can't be asked: a new one is sent then.

    Of several it is the one of which most is approved. The hub is not believed: what it gives is compared here.
    """
    now = datetime.now(UTC)
    until = now + (bundle.expires - now) / _SENSIBLE
    content = bundle.content_digest
    try:
        with HubClient.of(home) as hub:
            answer = hub.get(f"/v1/studies/{bundle.study}/bundles?content={content}")
            known = [item for item in KnownBundles.model_validate_json(answer).bundles if item.expires >= until]
            if not known:
                return None
            best = max(known, key=lambda item: (sum(item.executions_left.values()), item.expires))
            payload = envelope.peek(hub.get(f"/v1/bundles/{best.bundle}"), "The bundle")
        found = parse(Bundle, payload, "The bundle")
    except (FlipError, ValueError):
        return None
    same = sha256(payload) == found.digest() == best.bundle and found.content_digest == content
    if not same or found.not_before > now or found.expires < until:
        return None
    return Earlier(found, {trust: left for trust, left in best.executions_left.items() if trust in found.trusts})


def approved_already(roster: Roster, executions_left: Mapping[KeyId, int]) -> list[str]:
    """What Trusts have approved of a bundle already, in words: ``Approved already at Hungary, 3 executions left.``"""
    left = [(trust.title, executions_left.get(trust.key_id, 0)) for trust in roster.trusts]
    return [
        f"Approved already at {title}, {count} {'execution' if count == 1 else 'executions'} left."
        for title, count in left
        if count > 0
    ]
