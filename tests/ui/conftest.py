"""One real federation of four hospitals, one JupyterLab and one browser for all tests of this folder."""

import pytest
from enclave_federation import open_federation
from lab_page import LabPage, chromium
from lab_server import LabServer
from open_demo import open_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    with open_demo(tmp_path_factory.mktemp("federation")) as made:
        yield made


@pytest.fixture(scope="session")
def server(demo, tmp_path_factory):
    lab = LabServer(tmp_path_factory.mktemp("lab"), demo.notebook.parent, demo.federation.workbench)
    lab.start()
    yield lab
    lab.end()


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """Two small Trusts, for each file that asks for them."""
    with open_federation(tmp_path_factory.mktemp("federation")) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser():
    """One for each file: while it is open, nothing else in this process can have an event loop."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def lab(browser, server):
    """A fresh window on an empty workspace; a script error in it fails the test."""
    page = LabPage(browser, server)
    page.open()
    yield page
    errors = page.errors
    page.close()
    assert errors == []
