"""A full disk at hub or enclave: a clear failure, no corrupt file, and everything goes on when there is room again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(("who", "size"), [("enclave", "2m"), ("hub", "12m")])
def test_a_full_disk_is_said_and_nothing_is_torn(tmp_path: Path, who: str, size: str) -> None:
    """On a tmpfs of its own, mounted where only this process and its children see it."""
    script = (
        f"mount -t tmpfs -o size={size} tmpfs '{tmp_path}' && exec '{sys.executable}' full_disk.py {who} '{tmp_path}'"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
