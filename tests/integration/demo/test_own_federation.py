"""A federation of one's own, as docs/operator.md makes it, and what ``flip up``, ``status`` and ``down`` know."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def own(tmp_path_factory, state):
    """The folder of two hospitals, not up."""
    folder = tmp_path_factory.mktemp("own")
    for parent in (folder, *folder.parents)[:-1]:
        if os.geteuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    shutil.copy(ROOT / "constraints.txt", folder / "lock.txt")
    section = (ROOT / "docs" / "operator.md").read_text().partition("## A federation of your own")[2]
    (script,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    yield folder
    flip(state, folder, "down", "--directory", str(folder), "--quiet")


def flip(state, cwd, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "flipnb.cli.main", *map(str, arguments)],
        env={**os.environ, "XDG_STATE_HOME": str(state), **environment},
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_before_there_is_one_it_is_said_how_one_is_made(tmp_path):
    nothing = flip(tmp_path / "state", tmp_path, "up", "--directory", "mine")
    assert nothing.returncode == 1
    assert f"There is no federation in {tmp_path / 'mine'}." in nothing.stderr
    for way in ("`make demo`", "`make lab`", "hub/hub.json and enclaves/NAME/enclave.json", "docs/operator.md"):
        assert way in nothing.stderr
    known = flip(tmp_path / "state", tmp_path, "status")
    assert (known.returncode, known.stderr) == (3, "")
    assert "No federation is known here" in known.stdout


def test_ones_own_is_started_known_everywhere_and_stopped_from_its_own_folder(own, state, tmp_path):
    started = flip(state, own, "up", "--directory", ".")
    assert started.returncode == 0, started.stderr
    daemons = [tuple(line.split()[:2]) for line in started.stdout.splitlines()]
    assert {("hub", "up"), ("north", "up"), ("south", "up")} <= set(daemons)
    elsewhere = flip(state, tmp_path, "status")
    assert elsewhere.returncode == 0
    assert elsewhere.stdout.startswith(f"{own}\n")
    other = flip(state, tmp_path, "up")
    assert f"You have {own}: name one with --directory" in other.stderr
    assert f"Up elsewhere: {own}" in flip(state, tmp_path, "down").stdout
    assert json.loads(flip(state, tmp_path, "status", "--json").stdout)["federations"][0]["up"]
    created = flip(
        state, own, "study", "create", "mine", "--purpose", "To try it", "--trusts", "trusts.json",
        FLIP_HOME=str(own / "workbench"),
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    stopped = flip(state, own, "down")
    assert stopped.stdout == f"Stopped {own}.\n"
    assert flip(state, own, "status").returncode == 3


def test_one_that_died_is_told_of_and_one_that_is_removed_is_forgotten(own, state, tmp_path):
    flip(state, own, "up", "--directory", own)
    now = json.loads(flip(state, own, "status", "--directory", own, "--json").stdout)
    os.kill(now["pid"], signal.SIGKILL)
    while any(Path(f"/proc/{daemon['pid']}").exists() for daemon in now["daemons"].values()):
        time.sleep(0.1)
    died = flip(state, tmp_path, "status")
    assert died.returncode == 3
    assert "its supervisor died" in died.stdout
    again = flip(state, own, "up", "--directory", own)
    assert again.returncode == 0, again.stderr
    assert flip(state, tmp_path, "down", "--all").stdout == f"Stopped {own}.\n"
    away = own.rename(own.with_name("away"))
    try:
        assert "No federation is known here" in flip(state, tmp_path, "status").stdout
    finally:
        away.rename(own)
