"""docs/operator.md says of every file of an enclave, a hub and a researcher whether to back it up."""

import re
from pathlib import Path

import pytest

from flipnb.contracts.controller import Controller
from flipnb.contracts.keys import SigningKey
from flipnb.enclave.stores.configuration import Configuration, EnclaveDirectory
from flipnb.hub.configuration import HubDirectory
from flipnb.workbench.home import Home
from flipnb.workbench.studies import roster_path

ROOT = Path("/place")
PAGE = Path(__file__).parents[3] / "docs" / "operator.md"


def table(of):
    """The first column's names of the page's table of what to back up."""
    rows = PAGE.read_text().split(f"| {of}", 1)[1].split("\n\n")[0]
    return set(re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in rows.splitlines()[2:])))


def paths(directory, *more):
    """Every path that a directory's class names, and more, relative to it."""
    names = [name for name, value in vars(type(directory)).items() if isinstance(value, property)]
    found = [value for name in names if isinstance(value := getattr(directory, name), Path)]
    return {path.relative_to(ROOT) for path in (*found, *more) if path.is_relative_to(ROOT)}


def covered(path, listed):
    """Whether the page names the path, or a folder that it is in, or files in it."""
    named = [Path(re.sub(r"\b[A-Z]+\b", "*", name)) for name in listed]
    return any(path.match(str(name)) or name in path.parents or path in name.parents for name in named)


def enclave():
    controller = Controller(name="a", public_key=SigningKey.generate().public_key)
    configuration = Configuration(
        name="north", title="North", hub_url="https://hub", hub_audience="hub", hub_ca="hub-ca.pem",
        controllers=(controller,), runtime_dir="/run/flip",
    )  # fmt: skip
    return EnclaveDirectory(ROOT, configuration)


def enclave_paths():
    directory = enclave()
    (controller,) = directory.configuration.controllers
    return paths(directory, directory.study_file("heart"), directory.keys / controller.key_file, ROOT / "enclave.json")


@pytest.mark.parametrize(
    ("of", "found"),
    [
        ("enclave | back up", enclave_paths()),
        ("hub | back up", paths(HubDirectory(ROOT))),
        (
            "researcher (`FLIP_HOME`) | back up",
            {Path("config.json"), Path("keys/researcher.pem"), roster_path(Home(ROOT), "heart").relative_to(ROOT)},
        ),
    ],
)
def test_the_page_says_of_every_file_whether_to_back_it_up(of, found):
    listed = table(of)
    assert len(found) >= 3
    assert {str(path) for path in found if not covered(path, listed)} == set()


def test_a_file_that_the_page_does_not_name_is_noticed():
    assert not covered(Path("keys/new-secret.key"), table("enclave | back up"))
