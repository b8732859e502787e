"""Files that go with a bundle, as this enclave has them: fetched by digest before anybody is asked, laid out for a run.

A folder for each bundle has each file under its SHA-256, read-only. The hub's bytes are material: what has another
digest than the researcher signed is never kept. The same file of several bundles lies on the disk once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from weakref import WeakValueDictionary

from flipnb.contracts.attached import (
    AttachedFile,
    ShownFile,
    module_name,
    not_here,
    read_header,
    require_code,
    require_files,
)
from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.files.blobs import share
from flipnb.files.whole import PARTIAL, publish, sync

Fetch = Callable[[str, int, int], Awaitable[None]]
"""Fills a file descriptor with the blob of a digest and a size, or raises FlipError ``wrong-weights``."""
BUNDLES_WORTH = 8
"""How many bundles' worth of files, as policy bounds one, may lie here of one study that nobody has decided on."""


class AttachedFiles:
    """``directory`` has the folders; it is this user's alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def bring(self, bundle: str, files: Iterable[AttachedFile], fetch: Fetch) -> None:
        """Have all of a bundle's files here; the same again is fine.

        Raises FlipError ``wrong-file`` where the hub gives other bytes than were signed, and what it refuses.
        """
        async with self._turns.setdefault(bundle, asyncio.Lock()):
            for file in files:
                if not self._is_here(bundle, file):
                    await self._bring(bundle, file, fetch)

    def has(self, bundle: str, files: Iterable[AttachedFile]) -> bool:
        """Whether all of them are here."""
        return all(self._is_here(bundle, file) for file in files)

    def shown(self, bundle: str, files: Iterable[AttachedFile]) -> tuple[ShownFile, ...]:
        """What a data controller reads of them.

        Raises FlipError ``not-text``, ``invisible-character``, ``wrong-encoding``, ``file-too-large``, ``bad-weights``.
        """
        return tuple(self._shown(bundle, file) for file in files)

    def lay_out(self, bundle: str, files: Iterable[AttachedFile], folder: Path) -> None:
        """Put them under their names into ``folder``, made anew, each looked at again.

        Raises FlipError ``wrong-file`` where one is not what was approved, or not here any more.
        """
        partial = folder.with_name(folder.name + PARTIAL)
        for left in (folder, partial):
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for file in files:
            place = partial / file.name
            try:
                share(self._path(bundle, file), place)
                found = _digest(place)
            except OSError:
                found = ""
            if found != file.sha256:
                raise _wrong(file)
        publish(partial, folder)

    def keep(self, bundle: str, digests: Collection[str]) -> None:
        """Remove all other files of a bundle, and what a killed agent left half; nothing may be brought meanwhile."""
        folder = self._directory / bundle
        for path in folder.iterdir():
            if path.name not in digests:
                path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()

    def bundles(self) -> set[str]:
        """The digests of bundles of which files are here."""
        return {folder.name for folder in self._directory.glob("*")}

    def _path(self, bundle: str, file: AttachedFile) -> Path:
        return self._directory / bundle / file.sha256

    def _is_here(self, bundle: str, file: AttachedFile) -> bool:
        try:
            return self._path(bundle, file).stat().st_size == file.size
        except FileNotFoundError:
            return False

    async def _bring(self, bundle: str, file: AttachedFile, fetch: Fetch) -> None:
        path = self._path(bundle, file)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(path.name + PARTIAL)
        partial.unlink(missing_ok=True)
        other = next(self._directory.glob(f"*/{file.sha256}"), None)
        if other is not None:
            share(other, partial)
        else:
            await self._fetch(partial, file, fetch)
        publish(partial, path)

    async def _fetch(self, partial: Path, file: AttachedFile, fetch: Fetch) -> None:
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, file.size)
            if file.size:
                try:
                    await fetch(file.sha256, file.size, handle)
                except FlipError as error:
                    raise _wrong(file) if error.code == "wrong-weights" else error from None
            os.fchmod(handle, 0o400)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        await asyncio.to_thread(sync, partial)
        if await asyncio.to_thread(_digest, partial) != file.sha256:
            partial.unlink()
            raise _wrong(file)

    def _shown(self, bundle: str, file: AttachedFile) -> ShownFile:
        try:
            with self._path(bundle, file).open("rb") as opened:
                if file.kind == "module":
                    content = opened.read(file.size + 1)
                    return ShownFile(file=file, kind="module", source=require_code(content, file.name))
                header = read_header(opened, file.size, file.name)
        except FileNotFoundError:
            return not_here(file)
        return ShownFile(file=file, kind="weights", tensors=header.tensors, metadata=header.metadata)


def require_own_names(files: Iterable[AttachedFile]) -> None:
    """Whether no module has the name of one that this Trust's Python brings: ``import`` would mean that, not what was
    approved. Raises FlipError as ``require_files``, and ``name-clash``; nothing is imported."""
    files = tuple(files)
    require_files(files)
    places = [os.fspath(site) for site in Interpreter.current().sites]
    for file in files:
        module = module_name(file.name) if file.kind == "module" else ""
        found = PathFinder.find_spec(module, places) if module else None
        if found is not None and found.loader is not None:
            raise FlipError(
                "name-clash",
                f"{file.name} has the name of a module of this Trust's environment, which `import {module}` means.",
                remedy="Give the module another name.",
                status=422,
            )


def _digest(path: Path) -> str:
    """Of the file itself, never of what a link in its place stands for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong(file: AttachedFile) -> FlipError:
    return FlipError("wrong-file", f"What is to be {file.name} is not what its researcher signed.", status=403)
