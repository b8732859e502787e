"""Public data: known by their SHA-256, skipped by name where they are not, an error where they are others."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import public_data
import pytest
from public_data import PublicData

TESTS = Path(public_data.__file__).parent
SET = PublicData("set", "two files", "none", lambda name: f"https://example.org/{name}")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of a set of two files."""
    lines = []
    (tmp_path / "set").mkdir()
    for name in ("a.json", "b.json"):
        (tmp_path / "set" / name).write_text(name)
        lines.append(f"{sha256(name.encode()).hexdigest()}  set/{name}\n")
    manifest = tmp_path / "manifest"
    manifest.write_text("".join(lines))
    monkeypatch.setattr(public_data, "MANIFEST", manifest)
    monkeypatch.setenv(public_data.PLACE, str(tmp_path))
    public_data.noted.cache_clear()
    yield tmp_path
    public_data.noted.cache_clear()


def test_a_set_as_it_is_noted(place):
    assert SET.is_there() and SET.file("a.json").read_text() == "a.json" and SET.names() == ["a.json", "b.json"]
    assert subprocess.run(["sha256sum", "--check", "--quiet", "manifest"], cwd=place, check=False).returncode == 0


def test_a_file_that_is_missing_skips(place, monkeypatch):
    (place / "set" / "b.json").unlink()
    assert not SET.is_there()
    with pytest.raises(pytest.skip.Exception, match=r"has no set/b\.json"):
        SET.directory()
    monkeypatch.delenv(public_data.PLACE)
    assert not SET.is_there()
    with pytest.raises(pytest.skip.Exception, match="set is not here, FLIP_TEST_DATA is not set"):
        SET.directory()


@pytest.mark.parametrize(("name", "words"), [("b.json", "has the SHA-256"), ("c.json", "is not noted")])
def test_another_file_is_an_error(place, name, words):
    (place / "set" / name).write_text("other")
    for ask in (SET.is_there, SET.directory):
        with pytest.raises(pytest.fail.Exception, match=f"{name} .*{words}"):
            ask()


def test_every_noted_file_is_of_a_set_with_a_licence_and_an_address(tmp_path):
    named = [f"{data.folder}/{name}" for data in public_data.ALL for name in data.names()]
    assert sorted(named) == sorted(public_data.noted())
    asked = public_data.to_fetch(tmp_path)
    for path in named:
        assert f'output = "{tmp_path / path}"' in asked and f'/{Path(path).name}"\noutput' in asked


@pytest.mark.slow
def test_where_all_must_run_a_skipped_test_has_failed(tmp_path):
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_one():\n    pytest.skip('public data: none')\n")
    (tmp_path / "test_other.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "skips", "--continue-on-collection-errors", "--rootdir=."]
    told = []
    for value in ("0", "1"):
        environment = {**os.environ, "PYTHONPATH": str(TESTS), "FLIP_TEST_ALL": value}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        told.append(done.stdout)
    assert "2 skipped" in told[0] and "1 tests were skipped, since public data are not here" in told[0]
    assert told[1].splitlines()[-1].startswith("1 failed, 1 error")
    assert "was. Skipped: public data: none" in told[1] and "was. Skipped: could not import 'no_such_module'" in told[1]
