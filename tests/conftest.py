"""Fixtures for every test, and the order in which workers get them."""

from pathlib import Path

import pytest
from postgresql_server import postgresql_server

__all__ = ["postgresql_server"]

TESTS = Path(__file__).parent
LONG_FIRST = ("faults", "ui", "integration/demo", "integration", "conformance", "attack", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: next(n for n, folder in enumerate(LONG_FIRST) if _below(item, folder)))


def _below(item: pytest.Item, folder: str) -> bool:
    return item.path.is_relative_to(TESTS / folder)
