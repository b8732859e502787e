"""The files that go with a notebook: a folder of exactly those, wherever the notebook runs."""

from __future__ import annotations

from pathlib import Path

from flipnb.contracts.problem import FlipError

BUNDLE = "FLIP_BUNDLE"
"""The environment variable that says where they lie."""


def attached_file(folder: Path, name: str) -> Path:
    """The path of one of them. Raises FlipError ``no-file``, which says what there is."""
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if name not in there:
        has = f"it has {', '.join(there)}" if there else "it has none"
        raise FlipError(
            "no-file",
            f"No file {name!r} goes with this notebook; {has}.",
            remedy='Name it in the plan file, under "files".',
        )
    return folder / name
