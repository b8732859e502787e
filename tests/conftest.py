"""Fixtures for every test, and the order in which workers get them."""

from pathlib import Path

import pytest
from postgresql_server import postgresql_server

__all__ = ["postgresql_server"]

TESTS = Path(__file__).parent
LONG_FIRST = ("faults", "ui", "integration/demo", "integration", "conformance", "attack", "unit")


SHARED = ("ui", "integration/demo")
"""Folders whose tests share a federation of four hospitals, which takes a minute to bring up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with them at the end; what belongs together on one worker."""
    items.sort(key=lambda item: next(n for n, folder in enumerate(LONG_FIRST) if _below(item, folder)))
    for item in items:
        together = next((folder for folder in SHARED if _below(item, folder)), str(item.path))
        item.add_marker(pytest.mark.xdist_group(together))


def _below(item: pytest.Item, folder: str) -> bool:
    return item.path.is_relative_to(TESTS / folder)
