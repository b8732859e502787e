"""One real federation of four hospitals for all tests of this folder."""

import pytest
from open_demo import open_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A rehearsed notebook on a filled federation that is up and joined; tests may change the notebook."""
    with open_demo(tmp_path_factory.mktemp("federation")) as made:
        made.rehearse()
        yield made
