import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from federation import Hub, Study

STAND_IN = [sys.executable, str(Path(__file__).parent / "stand_in_coordinator.py")]


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A hub with the studies ``first`` (two Trusts) and ``foreign``, started."""
    hub = Hub(tmp_path_factory.mktemp("hub"), settings={"coordinator": STAND_IN})
    hub.first, hub.foreign = Study(hub, "first"), Study(hub, "foreign")
    hub.start()
    hub.first.post()
    hub.foreign.post()
    yield hub
    hub.end()


@pytest.fixture(scope="session")
def hasty_hub(tmp_path_factory):
    """A hub of little patience, with the study ``three`` (three Trusts); ``lonely`` is not posted."""
    patience = {"gather_seconds": 1.5, "stop_seconds": 0.5, "coordinator_restarts": 1}
    hub = Hub(tmp_path_factory.mktemp("hasty"), settings={"coordinator": STAND_IN, **patience})
    hub.three, hub.lonely = Study(hub, "three", trusts=3), Study(hub, "lonely")
    hub.start()
    hub.three.post()
    yield hub
    hub.end()


@pytest.fixture
def own_hub(tmp_path):
    """A hub of this test's own, started, with one study of three Trusts."""
    hub = Hub(tmp_path, settings={"coordinator": STAND_IN})
    hub.study = Study(hub, "study", trusts=3)
    hub.start()
    hub.study.post()
    yield hub
    hub.end()
