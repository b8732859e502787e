"""``flip runs`` and ``flip trusts`` without ``--study``."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["runs", "trusts"])
@pytest.mark.parametrize(
    ("kept", "told"), [((), "You are in no study yet."), (("a", "b"), "Give --study: one of a, b.")]
)
def test_no_study_or_several_are_said(command, kept, told, tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "config.json").write_text("{}")
    for name in kept:
        (tmp_path / "studies" / f"{name}.roster.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "flipnb.cli.main", command],
        env={**os.environ, "FLIP_HOME": str(tmp_path), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
