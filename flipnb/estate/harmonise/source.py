"""What is loaded: a file, a folder or a zip, as files with their digests."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.problem import FlipError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file. ``name`` is its path within the source; ``digest`` its SHA-256, hexadecimal."""

    name: str
    path: Path
    digest: str
    size: int

    @property
    def stem(self) -> str:
        """The name in lower case, without folders and endings: ``data/PERSON.csv.gz`` → ``person``."""
        return Path(self.name).name.split(".")[0].lower()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The name's endings in lower case: ``.csv``, ``.gz``."""
        return tuple(part.lower() for part in Path(self.name).suffixes)


def open_source(
    source: Path, scratch: Path, wanted: Callable[[str], bool], needed: Collection[str] = ()
) -> list[SourceFile]:
    """The files of ``source`` whose names are ``wanted``, by name; a zip is unpacked into ``scratch``.

    ``needed`` are files that must be there. Hidden files and what macOS adds to archives are left out. Raises
    FlipError ``no-source``, ``bad-archive``.
    """
    if source.parts[:1] in (("postgresql:",), ("postgres:",)):
        raise FlipError(
            "no-source", "The source is a database, and this mapping reads files.", remedy="Name a file, folder or zip."
        )
    if not source.exists():
        raise FlipError("no-source", f"{source} is not there.", status=404)
    if source.is_dir():
        named = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    elif zipfile.is_zipfile(source):
        named = dict(_unpack(source, scratch, wanted))
    else:
        named = {source.name: source}
    chosen = sorted(name for name in named if not _hidden(name) and wanted(name))
    if missing := set(needed) - set(chosen):
        raise _lacks(source, min(missing), named)
    if not chosen:
        raise FlipError("no-source", f"{source} holds no file that this mapping reads.")
    return [SourceFile(name, named[name], _digest(named[name]), named[name].stat().st_size) for name in chosen]


def _lacks(source: Path, missing: str, named: Iterable[str]) -> FlipError:
    """Says where the file lies, if it is in another folder of the source than the mapping thinks."""
    elsewhere = [name for name in sorted(named) if name.endswith(f"/{Path(missing).name}")][:3]
    if not elsewhere:
        return FlipError("no-source", f"{source} has no file {missing}.", remedy="The mapping names it.")
    remedy = "Correct its path in the mapping."
    if elsewhere[0].endswith(f"/{missing}"):
        folder = elsewhere[0].removesuffix(f"/{missing}")
        remedy = f"Name the folder {folder} within it as the source, or write {elsewhere[0]} in the mapping."
    return FlipError("no-source", f"{source} has no file {missing}, but {', '.join(elsewhere)}.", remedy=remedy)


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _unpack(archive: Path, scratch: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Path]]:
    try:
        with zipfile.ZipFile(archive) as opened:
            for number, member in enumerate(opened.infolist()):
                if member.is_dir() or _hidden(member.filename) or not wanted(member.filename):
                    continue
                # A numbered folder: no name within the archive can reach outside of the scratch folder.
                path = scratch / str(number) / Path(member.filename).name
                path.parent.mkdir(parents=True)
                with opened.open(member) as stream, path.open("wb") as target:
                    shutil.copyfileobj(stream, target, _CHUNK)
                yield member.filename, path
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise FlipError("bad-archive", f"{archive} can't be unpacked: {error}.") from None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_CHUNK):
                digest.update(block)
    except OSError as error:
        raise FlipError("no-source", f"{path} can't be read: {error.strerror}.") from None
    return digest.hexdigest()
