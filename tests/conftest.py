"""Fixtures for every test, and the order in which workers get them."""

import os
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ["cpu_seconds", "run_wide", "postgresql_server", "orthanc_server", "skips"]

TESTS = Path(__file__).parent

# No test depends on how fast a machine is. Where a test has settings of its own, they are these but for what it names.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
LONG_FIRST = ("faults", "ui", "integration/demo", "integration", "conformance", "attack", "unit")


TOGETHER = ("tests/ui/", "tests/integration/demo/")
"""Folders whose tests share a federation of four hospitals, which takes a minute to bring up."""

SLOW_FIXTURES = {"postgresql_server", "orthanc_server", "rehearsed_tutorial"}
"""What starts a server or a kernel is not for `make check`."""


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The federations of tests are not among those that a person's `flip down` stops."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


class Scheduling(LoadFileScheduling):
    """The tests of a file on one worker, and of all files of the folders above."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: next(n for n, folder in enumerate(LONG_FIRST) if _below(item, folder)))
    for item in items:
        if not SLOW_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def _below(item: pytest.Item, folder: str) -> bool:
    return item.path.is_relative_to(TESTS / folder)
