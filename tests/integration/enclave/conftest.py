from __future__ import annotations

from collections.abc import Iterator

import pytest
from enclave_federation import Federation, open_federation


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A hub and two agents that all tests here share, the study joined."""
    with open_federation(tmp_path_factory.mktemp("federation")) as opened:
        yield opened
