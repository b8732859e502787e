"""Safetensors files written tensor by tensor, so that a model need not fit in memory at once.

The format is 8 bytes of header length (little-endian), a JSON header and the tensors' bytes
(https://github.com/huggingface/safetensors#format). The library writes whole dictionaries only; reading one
tensor at a time and every check of the header are the library's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from flipnb.contracts.tensors import STORED, Dtype
from flipnb.files.whole import PARTIAL, publish
from flipnb.files.write_back import WriteBack

# The library's own order is by dtype, then by name: in it every tensor is aligned to its item size.
_RANK = {dtype: rank for rank, dtype in enumerate(STORED)}
_WORTH_A_THREAD = 1 << 18
"""Bytes from which on hashing and writing take longer than to hand them to a thread."""

Entry = tuple[str, Sequence[int], Dtype]
"""Name, shape, dtype."""


def head(entries: Sequence[Entry]) -> tuple[bytes, list[int]]:
    """The bytes before the first tensor of a file with ``entries`` in this order, and each entry's size in bytes."""
    sizes: list[int] = []
    header: dict[str, Any] = {}
    offset = 0
    for name, shape, dtype in entries:
        stored = STORED[dtype]
        size = stored.item_bytes * math.prod(shape)
        header[name] = {"dtype": stored.code, "shape": list(shape), "data_offsets": [offset, offset + size]}
        sizes.append(size)
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, sizes


class SafetensorsWriter:
    """Writes ``entries`` (name, shape, dtype) in their order; the bytes are the same for the same content.

    The file appears under ``path`` complete and synced, or not at all. Use as a context manager and call ``add`` once
    per entry with its little-endian bytes. Large ones are hashed and written while the caller makes the next: a buffer
    may be used again when the one after it was taken.
    """

    def __init__(self, path: Path, entries: Sequence[Entry]) -> None:
        self._path = path
        self._partial = path.with_name(path.name + PARTIAL)
        self._head, self._sizes = head(entries)
        self._index = 0
        self._digest = hashlib.sha256()
        self._written = 0
        self._file: FileIO | None = None
        self._write_back: WriteBack | None = None
        self._writer = ThreadPoolExecutor(1, "safetensors")
        self._writing: Future[None] | None = None

    def __enter__(self) -> SafetensorsWriter:
        self._file = self._partial.open("wb", buffering=0)
        self._write_back = WriteBack(self._file.fileno())
        try:
            self._write(self._head)
        except OSError:
            self._abandon()
            raise
        return self

    def add(self, chunks: Iterable[Any]) -> None:
        """Append the next entry's bytes, in one or more buffers."""
        size = 0
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            self._hand_over(view)
            size += view.nbytes
        if size != self._sizes[self._index]:
            raise ValueError(f"entry {self._index} has {size} bytes, not {self._sizes[self._index]}")
        self._index += 1

    def _hand_over(self, data: Any) -> None:
        self._wait()
        if len(data) < _WORTH_A_THREAD:
            self._write(data)
        else:
            self._writing = self._writer.submit(self._write, data)

    def _wait(self) -> None:
        """What was handed over is hashed and in the file. Raises OSError where it is not."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, data: Any) -> None:
        assert self._file is not None
        assert self._write_back is not None
        self._digest.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._written += len(data)
        self._write_back.wrote(len(data))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        assert self._write_back is not None
        if kind is not None or self._index < len(self._sizes):
            self._abandon()
            if kind is None:
                raise ValueError(f"{len(self._sizes) - self._index} entries are missing")
            return
        try:
            self._wait()
            self._write_back.finish()
        except OSError:
            self._abandon()
            raise
        self._writer.shutdown()
        self._file.close()
        publish(self._partial, self._path)

    def _abandon(self) -> None:
        assert self._file is not None
        assert self._write_back is not None
        self._writer.shutdown()
        self._write_back.abandon()
        self._file.close()
        self._partial.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, hexadecimal."""
        return self._digest.hexdigest()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._written


def library_order(entries: Sequence[Entry]) -> list[Entry]:
    """``entries`` as ``safetensors.serialize`` orders them, so that the same content has the same digest from both."""
    return sorted(entries, key=lambda entry: (_RANK[entry[2]], entry[0]))
