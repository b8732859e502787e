"""Which strategies the hub's operator has installed, by name; looking imports none of them."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy

GROUP = "flipnb.strategies"


def installed_strategies() -> dict[str, EntryPoint]:
    """By name; a name without a dot is none, so that no package takes the place of one of Flower's."""
    return {point.name: point for point in entry_points(group=GROUP) if "." in point.name}


def require_installed(chosen: Strategy) -> None:
    """Raise FlipError ``unknown-strategy`` for an installed strategy's name that is not here."""
    there = installed_strategies()
    if chosen.installed and chosen.name not in there:
        raise FlipError(
            "unknown-strategy",
            f"This hub has no strategy {chosen.name}; installed: {', '.join(sorted(there)) or 'none'}.",
            remedy="Take one of Flower's, or ask the hub's operator to install the package.",
            status=422,
        )
