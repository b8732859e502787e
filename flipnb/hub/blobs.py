"""Weights and files by their SHA-256."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from flipnb.contracts.problem import FlipError

_BUFFER = 1 << 20


class BlobStore:
    """Files named by their SHA-256: a name appears once its whole content is on disk."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._partial = directory / "partial"
        self._limit = limit
        self._partial.mkdir(parents=True, exist_ok=True)
        for left_behind in self._partial.iterdir():
            left_behind.unlink()

    def path(self, sha256: str) -> Path:
        return self._directory / sha256[:2] / sha256

    async def keep(self, chunks: AsyncIterator[bytes], sha256: str) -> int:
        """Store what ``chunks`` yields; returns its size. On any failure nothing is kept.

        Raises FlipError ``wrong-digest`` (422), ``blob-too-large`` (413).
        """
        partial = self._partial / secrets.token_hex(16)
        found = hashlib.sha256()
        size = 0
        buffer = bytearray()

        def drain(file_descriptor: int, data: bytes) -> None:
            found.update(data)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file_descriptor, rest) :]

        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._limit:
                        raise FlipError("blob-too-large", f"A blob may have {self._limit} bytes.", status=413)
                    buffer += chunk
                    if len(buffer) >= _BUFFER:
                        await asyncio.to_thread(drain, descriptor, bytes(buffer))
                        buffer.clear()
                drain(descriptor, bytes(buffer))
                if found.hexdigest() != sha256:
                    raise FlipError(
                        "wrong-digest",
                        f"The content has the SHA-256 {found.hexdigest()[:16]}…, not {sha256[:16]}…; nothing was kept.",
                        status=422,
                    )
                await asyncio.to_thread(os.fsync, descriptor)
            finally:
                os.close(descriptor)
            target = self.path(sha256)
            target.parent.mkdir(exist_ok=True)
            partial.replace(target)
            await asyncio.to_thread(_sync_directories, target.parent, self._directory)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
        return size


def _sync_directories(*directories: Path) -> None:
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
