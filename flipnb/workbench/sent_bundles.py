"""Which notebook a bundle was made of: its digest is kept beside the notebook, in ``.flip``, when it is sent."""

from __future__ import annotations

from pathlib import Path


def keep_sent(notebook: Path, bundle: str) -> None:
    """Once, however often the bundle is sent."""
    if was_sent(notebook, bundle):
        return
    file = _file(notebook)
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="ascii") as kept:
        kept.write(f"{bundle}\n")


def was_sent(notebook: Path, bundle: str) -> bool:
    """Whether the bundle of this digest was made of the notebook, and sent from here."""
    try:
        return bundle in _file(notebook).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return False


def _file(notebook: Path) -> Path:
    return notebook.parent / ".flip" / f"{notebook.stem}.sent"
