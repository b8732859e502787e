from __future__ import annotations

from collections.abc import Iterator

import pytest
from enclave_scenario import Chamber


@pytest.fixture(autouse=True)
def chambers() -> Iterator[None]:
    """Closes those of a test: a process may have a thousand open files by default."""
    yield
    for chamber in list(Chamber.opened):
        chamber.close()
