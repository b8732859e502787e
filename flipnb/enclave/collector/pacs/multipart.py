"""A ``multipart/related`` body (RFC 2387, RFC 2046 section 5.1), read in pieces: nothing of a part is held in memory.

It searches for the delimiter alone and looks at no part's content. Every length is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import Message

_HEADER_BYTES = 16 << 10
_MOST_BOUNDARY = 200


class BrokenMultipart(Exception):
    """The body is not what it says it is, or ends too early."""


def boundary_of(content_type: str) -> bytes:
    """The boundary of a ``multipart/related`` header. Raises BrokenMultipart."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary.isascii():
        raise BrokenMultipart("the answer is no multipart/related")
    if not 1 <= len(boundary) <= _MOST_BOUNDARY:
        raise BrokenMultipart(f"the boundary has {len(boundary)} characters")
    return boundary.encode()


class Multipart:
    """``read(n)`` gives up to n bytes of the body, none at its end."""

    def __init__(self, read: Callable[[int], bytes], boundary: bytes, *, block: int = 1 << 18) -> None:
        self._read, self._block = read, block
        # So that the first delimiter is found as all others are: a body may begin with it.
        self._held = bytearray(b"\r\n")
        self._delimiter = b"\r\n--" + boundary

    def parts(self) -> Iterator[Iterator[bytes]]:
        """Each part's content in pieces; whoever goes on to the next has skipped what is left of this one."""
        for _ in self._until_delimiter():
            pass
        while not self._is_last():
            self._skip_header()
            content = self._until_delimiter()
            yield content
            for _ in content:
                pass

    def _until_delimiter(self) -> Iterator[bytes]:
        """What comes before the next delimiter, which is taken, too."""
        keep = len(self._delimiter) - 1
        while True:
            at = self._held.find(self._delimiter)
            if at >= 0:
                if at:
                    yield bytes(memoryview(self._held)[:at])
                del self._held[: at + len(self._delimiter)]
                return
            if len(self._held) > keep:
                sure = len(self._held) - keep
                yield bytes(memoryview(self._held)[:sure])
                del self._held[:sure]
            self._fill()

    def _is_last(self) -> bool:
        while len(self._held) < 2:
            self._fill()
        if self._held.startswith(b"--"):
            return True
        end = self._line_end()
        if self._held[:end].strip(b" \t"):
            raise BrokenMultipart("a delimiter goes on in its line")
        del self._held[: end + 2]
        return False

    def _skip_header(self) -> None:
        while end := self._line_end():
            del self._held[: end + 2]
        del self._held[:2]

    def _line_end(self) -> int:
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > _HEADER_BYTES:
                raise BrokenMultipart(f"a part's header has more than {_HEADER_BYTES} bytes in a line")
            self._fill()
        return end

    def _fill(self) -> None:
        more = self._read(self._block)
        if not more:
            raise BrokenMultipart("the answer ends within a part")
        self._held += more
