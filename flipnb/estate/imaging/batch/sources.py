"""What a source holds: a file, a folder's files at any depth, a zip's members. Each is named once, and counted."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.problem import FlipError

_MOST_MEMBERS = 2_000_000
_MOST_INFLATED = 4 << 40
_MOST_RATIO = 200
_SMALL = 1 << 30


@dataclass(frozen=True)
class Item:
    """One file of a source. ``member`` is its place in the zip ``path``; ``size`` and ``changed`` tell it apart later.

    ``name`` is how it is told to whoever gave it. ``refused``: why it is not even opened.
    """

    name: str
    path: Path
    member: int | None = None
    size: int = 0
    changed: int = 0
    refused: str = ""


def items(source: Path) -> Iterator[Item]:
    """Every file of ``source``, in the order of their names. Raises FlipError ``no-such-source``, ``bad-zip``."""
    if source.is_dir():
        yield from _folder(source)
    elif not source.exists():
        raise FlipError("no-such-source", f"There is no {source}.", remedy="Name a file, a folder or a zip.")
    elif _is_zip(source):
        yield from _zip(source)
    else:
        yield _file(source, source.name)


def _is_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(132)
    return start[:4] in (b"PK\3\4", b"PK\5\6") and start[128:] != b"DICM"


def _folder(folder: Path) -> Iterator[Item]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            yield Item(f"{here.relative_to(folder)}/", here, refused="unreadable folder")
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield _file(Path(entry.path), str(Path(entry.path).relative_to(folder)))
        waiting += [Path(entry.path) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]


def _file(path: Path, name: str) -> Item:
    try:
        state = path.lstat()
    except OSError:
        return Item(name, path, refused="unreadable")
    if stat.S_ISLNK(state.st_mode):
        return Item(name, path, refused="symbolic link")
    if not stat.S_ISREG(state.st_mode):
        return Item(name, path, refused="not a file")
    if not os.access(path, os.R_OK):
        return Item(name, path, refused="unreadable")
    return Item(name, path, size=state.st_size, changed=state.st_mtime_ns)


def _zip(path: Path) -> Iterator[Item]:
    """A zip's members; the archive's own directory is believed in nothing but how many there are."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise FlipError("bad-zip", f"{path} cannot be read as a zip: {error}.") from error
    inflated = sum(member.file_size for member in members)
    if len(members) > _MOST_MEMBERS or inflated > _MOST_INFLATED:
        raise FlipError("bad-zip", f"{path} says that it holds {len(members)} files with {inflated} bytes.")
    if inflated > _SMALL and inflated > _MOST_RATIO * path.stat().st_size:
        raise FlipError("bad-zip", f"{path} says that it inflates to {inflated} bytes, more than any images do.")
    changed = path.stat().st_mtime_ns
    for number, member in enumerate(members):
        if member.is_dir():
            continue
        refused = ""
        if member.flag_bits & 1:
            refused = "encrypted"
        elif stat.S_ISLNK(member.external_attr >> 16):
            refused = "symbolic link"
        yield Item(member.filename, path, number, member.file_size, changed, refused)
