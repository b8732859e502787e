"""Weights and files by their SHA-256."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import ClientDisconnect

from flipnb.contracts.problem import FlipError
from flipnb.files.blobs import Blobs
from flipnb.files.whole import sync
from flipnb.files.write_back import WriteBack

_BUFFER = 2 << 20
_KEPT_SECONDS = 24 * 3600.0


class BlobStore:
    """Files named by their SHA-256: a name appears once its whole content is on disk.

    What came of an upload that broke off is kept for a day under the upload's own name, and goes on from there.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._blobs = Blobs(directory)
        self._limit = limit
        self._receptions: dict[str, Reception] = {}
        self._bringing: list[str] = []
        self._blobs.make()
        self._forget_old()

    def path(self, sha256: str) -> Path:
        """Where a blob lies or would lie."""
        return self._blobs.path(sha256)

    def received(self, upload: str) -> int:
        """How many bytes of an upload are here."""
        try:
            return (self._blobs.partial / upload).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, sha256: str) -> None:
        """Delete a blob that is granted to nobody, unless somebody is just bringing the same."""
        brought = (*self._bringing, *(reception.sha256 for reception in self._receptions.values()))
        if sha256 not in brought:
            self.path(sha256).unlink(missing_ok=True)

    def small(self, sha256: str, limit: int) -> bytes | None:
        """A blob's content; None where it is not here or has more than ``limit`` bytes."""
        try:
            path = self.path(sha256)
            return path.read_bytes() if path.stat().st_size <= limit else None
        except FileNotFoundError:
            return None

    async def put(self, content: bytes, sha256: str) -> None:
        """Keep a small blob, which is on disk when this returns; until the caller awaits again nobody removes it."""
        self._bringing.append(sha256)
        try:
            await asyncio.to_thread(self._put, content, sha256)
        finally:
            self._bringing.remove(sha256)

    def _put(self, content: bytes, sha256: str) -> None:
        partial = self._blobs.new_partial()
        try:
            partial.write_bytes(content)
            sync(partial)
            self._blobs.place(partial, sha256)
        finally:
            partial.unlink(missing_ok=True)

    async def keep(self, chunks: AsyncIterator[bytes], sha256: str, upload: str, offset: int) -> int:
        """Go on with an upload at ``offset`` with what ``chunks`` yields; returns the blob's size once it is whole.

        Raises FlipError ``broken-off`` (400; what came is kept), ``wrong-offset`` (409), ``wrong-digest`` (422) and
        ``blob-too-large`` (413). On every failure but the first nothing is kept.
        """
        self._forget_old()
        before = self._receptions.get(upload)
        reception = self._receptions[upload] = Reception(self._blobs.partial / upload, sha256, self._limit)
        if before is not None:
            await before.give_way()
        try:
            await reception.open(offset)
            size = await reception.take(chunks)
            await asyncio.to_thread(self._blobs.place, reception.path, sha256)
            return size
        finally:
            await reception.close()
            if self._receptions.get(upload) is reception:
                del self._receptions[upload]

    def _forget_old(self) -> None:
        for partial in self._blobs.partial.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if partial.stat().st_mtime < time.time() - _KEPT_SECONDS:
                    partial.unlink()


class Reception:
    """One request that brings an upload, or the rest of one. A later request for the same upload takes its place."""

    def __init__(self, path: Path, sha256: str, limit: int) -> None:
        self.path, self.sha256 = path, sha256
        self._limit = limit
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._size = 0
        self._write_back: WriteBack | None = None
        self._writing = asyncio.Lock()
        self._given_way = False

    async def open(self, offset: int) -> None:
        """Take up the partial file at ``offset``: what is before it is hashed, what is behind it goes.

        Raises FlipError ``wrong-offset`` (409), which says how much is here.
        """
        there = self.path.stat().st_size if self.path.exists() else 0
        if not 0 <= offset <= there:
            raise FlipError("wrong-offset", f"{there} bytes of this blob are here, not {offset}.", status=409)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write_back = WriteBack(self._descriptor)
        os.ftruncate(self._descriptor, offset)
        if offset:
            await asyncio.to_thread(self._hash, offset)
        self._size = offset
        os.lseek(self._descriptor, offset, os.SEEK_SET)

    async def take(self, chunks: AsyncIterator[bytes]) -> int:
        """Write what comes, until it is whole and on disk; its size in bytes.

        Raises FlipError ``broken-off`` (400), after which the partial file stays; ``blob-too-large`` (413),
        ``wrong-digest`` (422), after which nothing does; ``superseded`` (409), where a later request has it.
        """
        held: list[bytes] = []
        waiting = 0
        try:
            async for chunk in chunks:
                held.append(chunk)
                waiting += len(chunk)
                if self._size + waiting > self._limit:
                    raise FlipError("blob-too-large", f"A blob may have {self._limit} bytes.", status=413)
                if waiting >= _BUFFER:
                    await self._write(held)
                    held, waiting = [], 0
            await self._write(held)
            if self._digest.hexdigest() != self.sha256:
                found = self._digest.hexdigest()
                raise FlipError(
                    "wrong-digest",
                    f"The content has the SHA-256 {found[:16]}…, not {self.sha256[:16]}…; nothing was kept.",
                    status=422,
                )
            assert self._write_back is not None
            await asyncio.to_thread(self._write_back.finish)
        except ClientDisconnect:
            await self._write(held)
            raise FlipError("broken-off", "The content broke off; the rest can follow.") from None
        except (FlipError, OSError):
            if not self._given_way:
                self.path.unlink(missing_ok=True)
            raise
        return self._size

    async def give_way(self) -> None:
        """Nothing is written by this reception any more."""
        self._given_way = True
        async with self._writing:
            pass

    async def close(self) -> None:
        """Close the file; what was written is left to the kernel to bring to disk."""
        async with self._writing:
            if self._write_back is not None:
                await asyncio.to_thread(self._write_back.abandon)
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    async def _write(self, chunks: list[bytes]) -> None:
        async with self._writing:
            if self._given_way:
                raise FlipError("superseded", "A later request brings this blob.", status=409)
            await asyncio.to_thread(self._drain, chunks)

    def _drain(self, chunks: list[bytes]) -> None:
        assert self._write_back is not None
        for chunk in chunks:
            self._digest.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._size += len(chunk)
            self._write_back.wrote(len(chunk))

    def _hash(self, size: int) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while size:
            chunk = os.read(self._descriptor, min(size, _BUFFER))
            self._digest.update(chunk)
            size -= len(chunk)
