"""Files beside a notebook that its plan names: read as they are, laid out as a kernel finds them."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.attached import (
    AttachedFile,
    ShownFile,
    kind_of,
    module_name,
    read_header,
    require_code,
    require_files,
    require_name,
)
from flipnb.contracts.problem import FlipError
from flipnb.workbench.plan_file import PlanFile

FOLDER = "bundle"
"""Where a rehearsal keeps the files that it was made with."""
_MOST_BYTES = 1 << 30
_RENAME = "Give the module another name."


@dataclass(frozen=True)
class Beside:
    """One file, by its path; ``file`` is what a bundle says of it."""

    file: AttachedFile
    path: Path


def find_beside(plan: PlanFile, folder: Path) -> tuple[list[Beside], list[FlipError]]:
    """The plan's files that can go with the notebook, and what is wrong with the others, each by name.

    The errors: ``no-file``, ``wrong-kind`` (a link, a folder), ``name-clash``, ``file-too-large``, ``not-text``,
    ``invisible-character``, ``wrong-encoding``, ``bad-weights``.
    """
    found, wrong = [], []
    for name in plan.files:
        try:
            found.append(_read(folder / name))
        except FlipError as error:
            wrong.append(error)
    try:
        require_files([one.file for one in found])
    except FlipError as error:
        wrong.append(error)
    return found, wrong


def beside(plan: PlanFile, folder: Path) -> list[Beside]:
    """As ``find_beside``; raises the first of its errors."""
    found, wrong = find_beside(plan, folder)
    if wrong:
        raise wrong[0]
    return found


def shown(one: Beside) -> ShownFile:
    """A file as a data controller will see it. Raises FlipError as ``find_beside``."""
    if one.file.kind == "module":
        return ShownFile(file=one.file, kind="module", source=require_code(one.path.read_bytes(), one.file.name))
    with one.path.open("rb") as file:
        header = read_header(file, one.file.size, one.file.name)
    return ShownFile(file=one.file, kind="weights", tensors=header.tensors, metadata=header.metadata)


def lay_out(files: Sequence[Beside], folder: Path) -> None:
    """Copy them into a new folder, to be read alone. Raises FlipError ``file-changed`` where one is another by now."""
    folder.mkdir()
    for one in files:
        copy = folder / one.file.name
        shutil.copyfile(one.path, copy, follow_symlinks=False)
        copy.chmod(0o444)
        if digest_of(copy) != one.file.sha256:
            raise FlipError("file-changed", f"{one.file.name} was changed while it was read.", remedy="Begin anew.")


def laid_out(files: Sequence[AttachedFile], folder: Path) -> dict[str, Path]:
    """The copies that ``lay_out`` made in a folder, by name. Raises FlipError ``no-file`` where one is another now."""
    copies = {file.name: folder / file.name for file in files}
    for file in files:
        if not copies[file.name].is_file() or digest_of(copies[file.name]) != file.sha256:
            raise FlipError("no-file", f"{copies[file.name]} is not as it was rehearsed.")
    return copies


def digest_of(path: Path) -> str:
    """A file's SHA-256, worked out once for as long as it is not written."""
    found = path.stat()
    return _digest(path, found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, inode: int, size: int, written: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Beside:
    name = path.name
    require_name(name)
    packages = installed_modules().get(module_name(name), []) if name.endswith(".py") else []
    if packages:
        means = f"which is what `import {module_name(name)}` means"
        raise FlipError("name-clash", f"{name} has the name of a module of {packages[0]}, {means}.", remedy=_RENAME)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise FlipError("no-file", f"The plan file names {name}, which is not beside it.") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "no file"
        raise FlipError(
            "wrong-kind",
            f"{name} is {what}, and what it stands for could change unseen.",
            remedy="Put the file itself there.",
        )
    if found.st_size > _MOST_BYTES:
        raise FlipError("file-too-large", f"{name} has {found.st_size:,} bytes; a file has at most {_MOST_BYTES:,}.")
    if kind_of(name) == "module":
        require_files([AttachedFile(name=name, sha256="0" * 64, size=found.st_size)])  # before all of it is read
    one = Beside(AttachedFile(name=name, sha256=digest_of(path), size=found.st_size), path)
    shown(one)
    return one


@functools.cache
def installed_modules() -> Mapping[str, list[str]]:
    """The modules of installed distributions, with the distributions that bring them."""
    return importlib.metadata.packages_distributions()


def sibling_of(module: str, folder: Path) -> str | None:
    """What of the name lies beside a notebook, and could be meant by its import; None where nothing does."""
    if (folder / f"{module}.py").exists():
        return f"{module}.py"
    return f"{module}/" if (folder / module / "__init__.py").exists() else None
