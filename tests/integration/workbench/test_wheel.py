"""The wheel brings the JupyterLab extension along, so that whoever installs it needs no Node."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from lab_server import LabServer

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A Python with the wheel, which borrows Jupyter from this one; no Node on its path."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=200)
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "python", symlinks=True)
    python = directory / "python" / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True, timeout=100)
    (site,) = (directory / "python" / "lib").glob("python*/site-packages")
    (site / "jupyter.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def say(python, *arguments):
    clean = {"HOME": str(python.parent), "PATH": str(python.parent)}
    command = [str(python), "-m", *arguments]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=100, check=True)
    return done.stdout + done.stderr


def line_of(said, word):
    return next(line for line in said.splitlines() if word in line)


def test_both_extensions_are_enabled_and_ok_without_node(installed):
    front = line_of(say(installed, "jupyterlab.labextensions", "list"), "flipnb v")
    assert "enabled" in front and "OK" in front and "(python, flipnb)" in front
    back = say(installed, "jupyter_server", "extension", "list")
    assert "enabled" in line_of(back, "flipnb.lab ")
    assert any("flipnb.lab" in line and "OK" in line for line in back.splitlines())


def test_jupyterlab_serves_what_the_wheel_brought(installed, tmp_path):
    lab = LabServer(tmp_path, tmp_path, tmp_path / "home", python=str(installed))
    lab.start()
    try:
        assert lab.get("flipnb/status").json()["contact"]["state"] in ("connecting", "unconfigured")
        page = lab.get("lab").text
        assert "flipnb" in page
        assert lab.get("lab/extensions/flipnb/install.json").json()["packageName"] == "flipnb"
    finally:
        lab.end()
