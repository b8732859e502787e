"""Writing safetensors out of pieces: a few large tensors whose bytes lie in other files, none of them read into memory.

The format is https://github.com/huggingface/safetensors: eight bytes with the header's length, a JSON header, and the
tensors' bytes in C order without gaps. Here the header is filled with spaces so that these begin on a page.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

_PAGE = 4096
_NO_WAY = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What a system call says of file systems between which it copies nothing."""
_BLOCK = 1 << 24
_NAMES = {"uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32"}
_BYTES = {"U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4}


@dataclass(frozen=True)
class FilePart:
    """``length`` bytes of a file from ``offset`` on."""

    file: Path
    offset: int
    length: int


Piece = bytes | FilePart


@dataclass(frozen=True)
class PiecedTensor:
    """A tensor by NumPy's name of its type, and the pieces that its bytes are, one after the other."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """How many bytes it has by its shape."""
        return prod(self.shape) * _BYTES[_NAMES[self.dtype]]


def write_tensors(path: Path, tensors: Mapping[str, PiecedTensor]) -> dict[str, int]:
    """Write a new file; from which of its bytes on each tensor lies. The caller syncs it.

    Tensors of wider numbers come first, so that each begins at a multiple of its numbers' width. Raises ValueError
    where a tensor's pieces are not as long as its shape says.
    """
    ordered = sorted(tensors, key=lambda name: -_BYTES[_NAMES[tensors[name].dtype]])
    header: dict[str, object] = {}
    end = 0
    for name in ordered:
        one = tensors[name]
        header[name] = {
            "dtype": _NAMES[one.dtype], "shape": list(one.shape), "data_offsets": [end, end + one.bytes]
        }  # fmt: skip
        end += one.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _PAGE)
    starts = {}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _write(handle, len(text).to_bytes(8, "little") + text)
        for name in ordered:
            starts[name] = os.lseek(handle, 0, os.SEEK_CUR)
            for piece in tensors[name].pieces:
                _append(handle, piece) if isinstance(piece, FilePart) else _write(handle, piece)
            if os.lseek(handle, 0, os.SEEK_CUR) - starts[name] != tensors[name].bytes:
                raise ValueError(f"the pieces of {name} are not as long as its shape says")
    finally:
        os.close(handle)
    return starts


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def _append(target: int, part: FilePart) -> None:
    """The part's bytes at the end of the file, inside the operating system, which may share them between the files."""
    with part.file.open("rb") as source:
        offset, left = part.offset, part.length
        for copy in (_shared, _copied):
            while left:
                done = copy(source.fileno(), target, min(left, _BLOCK), offset)
                if done is None:
                    break
                if done == 0:
                    raise ValueError(f"{part.file} has not the bytes that it should have")
                offset, left = offset + done, left - done


def _shared(source: int, target: int, count: int, offset: int) -> int | None:
    """None where these file systems can't."""
    try:
        return os.copy_file_range(source, target, count, offset_src=offset)
    except OSError as error:
        if error.errno in _NO_WAY:
            return None
        raise


def _copied(source: int, target: int, count: int, offset: int) -> int:
    return os.write(target, os.pread(source, count, offset))
