import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from federation import Hub, Study

STAND_IN = [sys.executable, str(Path(__file__).parent / "stand_in_coordinator.py")]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with the studies ``first`` (two Trusts) and ``foreign``, started."""
    hub = Hub(tmp_path_factory.mktemp("hub"), settings={"coordinator": STAND_IN})
    hub.first, hub.foreign = Study(hub, "first"), Study(hub, "foreign")
    hub.start()
    hub.first.post()
    hub.foreign.post()
    yield hub
    hub.end()


@pytest.fixture
def own_hub(tmp_path):
    """A hub of this test's own, not yet started, with one study of three Trusts that is not yet posted."""
    hub = Hub(tmp_path, settings={"coordinator": STAND_IN})
    hub.study = Study(hub, "study", trusts=3)
    yield hub
    hub.end()
