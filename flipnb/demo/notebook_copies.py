"""The notebooks that `make lab` opens: copies of the checkout's, so that a person's work never changes the checkout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.files.whole import write

_SHIPPED = ("*.ipynb", "*.flip.json", "*.cohort.json")
_COPIED = ".flip/copied.json"


@dataclass(frozen=True)
class Copied:
    """Names of files: ``new``, ``renewed`` where the original changed, and ``kept`` where a person edited the copy."""

    folder: Path
    new: tuple[str, ...]
    renewed: tuple[str, ...]
    kept: tuple[str, ...]

    def describe(self) -> str:
        """One sentence on what happened to them."""
        parts = [
            f"{len(names)} {word} ({', '.join(names)})"
            for word, names in (("new", self.new), ("renewed", self.renewed), ("kept as you edited them", self.kept))
            if names
        ]
        return f"The notebooks are copies in {self.folder}: {'; '.join(parts) or 'all as they were'}."


def copy_notebooks(source: Path, folder: Path) -> Copied:
    """Copy what `notebooks/` ships from ``source`` into ``folder``; an edited copy stays as it is.

    ``folder`` keeps the SHA-256 of each copy as it was made, by which an edited one is known; a deleted one is made
    anew. Raises FlipError ``no-notebooks`` where ``source`` has none.
    """
    shipped = sorted(path for pattern in _SHIPPED for path in source.glob(pattern))
    if not shipped:
        raise FlipError("no-notebooks", f"There are no notebooks in {source}.", remedy="Run this from a checkout.")
    folder.mkdir(parents=True, exist_ok=True)
    made = _made(folder / _COPIED)
    found: dict[str, list[str]] = {"new": [], "renewed": [], "kept": []}
    for original in shipped:
        content = original.read_bytes()
        what = _what(folder / original.name, content, made.get(original.name))
        if what in ("new", "renewed"):
            write(folder / original.name, content)
        if what != "kept":
            made[original.name] = _digest(content)
        if what != "same":
            found[what].append(original.name)
    (folder / _COPIED).parent.mkdir(exist_ok=True)
    write(folder / _COPIED, json.dumps(made, indent=1).encode())
    return Copied(folder, tuple(found["new"]), tuple(found["renewed"]), tuple(found["kept"]))


def _what(copy: Path, content: bytes, made: str | None) -> str:
    """What is to happen to a copy: it is ``new``, the ``same``, to be ``renewed``, or ``kept``."""
    if not copy.is_file():
        return "new"
    here = copy.read_bytes()
    if here == content:
        return "same"
    return "renewed" if _digest(here) == made else "kept"


def _made(file: Path) -> dict[str, str]:
    try:
        return {str(name): str(digest) for name, digest in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # then every copy that differs counts as edited


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
