"""What ``python -m flipnb.demo`` does with its arguments, and a `make lab` that was broken off while it was made."""

import sys

import pytest

from flipnb.demo import __main__ as demo
from flipnb.demo.federation import Federation


@pytest.mark.parametrize("arguments", [["--help"], ["lab", "--help"], ["desk", "hungary", "-h"]])
def test_help_starts_nothing(arguments, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["flipnb.demo", *arguments])
    assert demo.main() == 0
    assert "desk HOSPITAL" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_lab_that_was_broken_off_before_its_study_was_joined_is_made_anew(monkeypatch, tmp_path):
    class BrokenOff(Exception):
        pass

    def break_off(*_):
        raise BrokenOff

    directory = tmp_path / "build" / "lab"
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\n")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo.job.Job, "fill", break_off)
    keys = []
    for _ in range(2):
        with pytest.raises(BrokenOff):
            demo.run_lab()
        keys.append(Federation(directory).enclaves[0].node_public_key)
    assert keys[0] != keys[1]
    demo.federation.remove(directory)
