"""Fixtures for every test, and how workers share the tests out."""

from pathlib import Path

import pytest
from postgresql_server import postgresql_server

__all__ = ["postgresql_server"]

TESTS = Path(__file__).parent
LONG_FIRST = ("faults", "ui", "integration/demo", "integration", "conformance", "attack", "unit")
ONE_FEDERATION = ("ui", "integration/demo")
"""Folders whose files share a federation, which starts for longer than most tests last."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """What shares a federation goes to one worker, and so do the tests of one file."""
    shared = (folder for folder in ONE_FEDERATION if _below(item, folder))
    item.add_marker(pytest.mark.xdist_group(next(shared, str(item.path.relative_to(TESTS)))))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: next(n for n, folder in enumerate(LONG_FIRST) if _below(item, folder)))


def _below(item: pytest.Item, folder: str) -> bool:
    return item.path.is_relative_to(TESTS / folder)
