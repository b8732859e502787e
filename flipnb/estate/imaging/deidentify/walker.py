"""One pass over a data set's bytes: what stays is copied as runs, what does not is replaced by the plan's steps.

Sequences are entered at any depth, and those that change are written with undefined length (PS3.5 section 7.5), so
that nothing is patched afterwards. What needs to know the person (dates, pseudonyms, cleaned text) is put off to the
end, when everything in the file that names somebody has been seen.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from struct import error as StructError
from typing import NamedTuple

from flipnb.estate.imaging.deidentify.charsets import Charset
from flipnb.estate.imaging.deidentify.encoding import EXPLICIT, IMPLICIT, UNDEFINED, Encoding
from flipnb.estate.imaging.deidentify.plan import ENCAPSULATED_DOCUMENT, PATIENT_ID, Plan, Step
from flipnb.estate.imaging.deidentify.terms import is_of_the_standard
from flipnb.estate.imaging.deidentify.values import STRINGS, is_time

MOST_DEPTH = 32
MOST_ELEMENTS = 8_000_000
BIG = 1 << 20  # a value of more bytes is passed on as it lies, neither copied nor searched
MOST_TEXT = 1 << 18
_FORGET = 1 << 25  # how much of a mapped file is looked at before its pages are given back

_NEVER = 1 << 40
_SQ, _UN = b"SQ", b"UN"


class Refused(Exception):
    """A file that cannot be de-identified. ``reason`` is a short name, ``where`` a tag path; neither holds a value."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{reason} at {where}" if where else reason)
        self.reason = reason
        self.where = where


class PutOff(NamedTuple):
    """A value whose replacement waits for the end: ``at`` is its place among the chunks."""

    at: int
    tag: int
    step: Step
    vr: bytes
    value: bytes
    charset: Charset
    encoding: Encoding
    path: tuple[int, ...]


class Walk:
    """The walk over one data set. ``chunks`` is what leaves; those in ``big`` are views of the input.

    ``look(value, tag, step)`` says whether a text may stay as it is. ``seen`` is everything that names somebody or
    something, with its character set; ``person`` the top PatientID; ``uids`` the replaced UIDs of the top by tag.
    """

    def __init__(
        self, data: memoryview, plan: Plan, uid: Callable[[bytes], bytes], look: Callable[[bytes, int, Step], bool]
    ) -> None:
        self._data = data
        self._plan = plan
        self._uid = uid
        self._look = look
        self._encoding = EXPLICIT
        self._run = 0
        self._rules = plan.rules
        self._changes = 0
        self._left = MOST_ELEMENTS
        self._path: list[int] = []
        self._creators: dict[int, str] = {}
        self._charset = Charset()
        self.chunks: list[bytes | memoryview | None] = []
        self.put_off: list[PutOff] = []
        self.big: set[int] = set()
        self.seen: list[tuple[str, bytes, Charset]] = []
        self.facts: dict[int, bytes] = {}
        self.uids: dict[int, tuple[bytes, bytes]] = {}
        self.person = b""
        self.beyond_ascii = False
        later = self._later
        self._handlers: tuple[Callable[[int, Step, bytes, str, int, int, int], int], ...] = (
            self._stays, self._drop, self._empty, self._dummy, self._replace_uid, later, later, self._text, self._text,
            later, self._sequence, self._private, self._pixels, self._character_set, self._fact, self._refuse,
            self._refuse, later, self._time, self._sequence, self._zeros, self._term,
        )  # fmt: skip

    def run(self, start: int, encoding: Encoding, added: list[tuple[int, bytes]]) -> None:
        """Walk from ``start`` to the end of the data. ``added``: whole elements to put in, by tag. Raises Refused."""
        self._encoding = encoding
        self._run = start
        try:
            stop = self._dataset(start, len(self._data), [*added, (_NEVER, b"")])
        except StructError as error:
            raise Refused("truncated", self._where()) from error
        self._flush(stop)

    def _dataset(self, pos: int, end: int, added: list[tuple[int, bytes]] | None = None) -> int:
        """Walk elements up to ``end`` or an item's delimiter, which is not consumed. Returns where it stopped."""
        data, handlers, encoding = self._data, self._handlers, self._encoding
        first, long_length = encoding.first, encoding.length
        rules = self._rules[encoding.name]
        insertions = iter(added or ())
        mark, blob = next(insertions, (_NEVER, b""))
        last = end - 8
        done = 0
        for done in range(self._left):  # noqa: B007, counted for the file
            if pos > last:
                break
            key, length = first(data, pos)
            tag, long, step, vr, role = rules[key]
            start = pos + 8
            if long:
                length = long_length(data, start)[0]
                start += 4
            while tag > mark:
                self._insert(pos, blob)
                mark, blob = next(insertions, (_NEVER, b""))
            stop = start + length
            if step == Step.END:
                break
            if length == UNDEFINED:  # never 16 bits
                pos = self._undefined(tag, step, vr, role, pos, start, end)
            elif stop > end and step != Step.REFUSE:
                raise Refused("truncated", self._where(tag))
            elif step or length & 1 or length > BIG:
                pos = handlers[step](tag, step, vr, role, pos, start, stop)
            else:
                pos = stop
        else:
            raise Refused("too-many-elements", self._where())
        self._left -= done + 1
        if added:
            pos = self._end_of_file(pos, end)
            for _, left in [(mark, blob), *insertions]:
                self._insert(pos, left)
        return pos

    def _end_of_file(self, pos: int, end: int) -> int:
        if pos < end:
            self._only_zeros(pos)
            self._flush(pos)
            self._run = end
        return end

    def _only_zeros(self, pos: int) -> None:
        """Raise Refused where something follows the data set that is more than padding."""
        rest = self._data[pos:]
        if any(any(bytes(rest[at : at + BIG])) for at in range(0, len(rest), BIG)):
            raise Refused("trailing-bytes", self._where())

    # --- what leaves

    def _flush(self, pos: int) -> None:
        if pos > self._run:
            self.chunks.append(self._data[self._run : pos])

    def _cut(self, pos: int, stop: int) -> None:
        """The run ends here; the next begins after what is replaced."""
        if pos > self._run:
            self.chunks.append(self._data[self._run : pos])
        self._run = stop
        self._changes += 1

    def _insert(self, pos: int, blob: bytes) -> None:
        self._cut(pos, pos)
        self.chunks.append(blob)

    def _put(self, tag: int, vr: bytes, value: bytes) -> None:
        self.chunks.append(self._encoding.element(tag, vr, value))

    # --- steps: each returns where the walk goes on

    def _stays(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        """A kept element that is odd (it is padded) or big (it is passed on as a view)."""
        if stop - start > BIG and not (stop - start) & 1:
            self._cut(pos, stop)
            self.big.add(len(self.chunks))
            self.chunks.append(self._data[pos:stop])
        elif (stop - start) & 1:
            self._cut(pos, stop)
            self._put(tag, vr, bytes(self._data[start:stop]))
        return stop

    def _drop(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if stop > start:
            if vr == _SQ:
                self._look_into(tag, start, stop)
            elif role and stop - start <= BIG:
                self.seen.append((role, bytes(self._data[start:stop]), self._charset))
        if pos > self._run:  # as _cut, which is not called for what is done most often
            self.chunks.append(self._data[self._run : pos])
        self._run = stop
        self._changes += 1
        return stop

    def _look_into(self, tag: int, start: int, stop: int) -> None:
        """See who is named in a sequence that goes; what is taken out whole need not be well formed."""
        try:
            self._discard(tag, _SQ, start, stop, undefined=False)
        except Refused as error:
            if error.reason == "too-many-elements":
                raise

    def _empty(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        self._drop(tag, step, vr, role, pos, start, stop)
        self.chunks.append(self._encoding.constant(tag, vr, empty=True))
        return stop

    def _dummy(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        self._drop(tag, step, vr, role, pos, start, stop)
        self.chunks.append(self._encoding.constant(tag, vr, empty=False))
        return stop

    def _zeros(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        """As many values as there were, each of them 0."""
        if stop - start > MOST_TEXT:
            return self._empty(tag, step, vr, role, pos, start, stop)
        value = bytes(self._data[start:stop])
        nothing = b"\\".join([b"0"] * (value.count(b"\\") + 1)) if vr in STRINGS else bytes(len(value))
        self._cut(pos, stop)
        self._put(tag, vr, nothing if value else b"")
        return stop

    def _term(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if stop == start or is_of_the_standard(tag, bytes(self._data[start : min(stop, start + 256)])):
            return self._stays(tag, step, vr, role, pos, start, stop)
        return self._dummy(tag, step, vr, role, pos, start, stop)

    def _replace_uid(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        value = bytes(self._data[start:stop]).rstrip(b"\0 ")
        if b"\\" in value:
            new = b"\\".join(self._uid(one.strip(b"\0 ")) for one in value.split(b"\\"))
        else:
            new = self._uid(value)
        if not self._path:
            self.uids[tag] = (value, new)
        if new != value:
            self._cut(pos, stop)
            self._put(tag, vr, new + b"\0" if len(new) & 1 else new)
        return stop

    def _time(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if is_time(bytes(self._data[start : min(stop, start + MOST_TEXT)])):
            return self._stays(tag, step, vr, role, pos, start, stop)
        return self._empty(tag, step, vr, role, pos, start, stop)

    def _later(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if stop - start > MOST_TEXT:
            raise Refused("text-too-long", self._where(tag))
        value = bytes(self._data[start:stop])
        if role and value:
            self.seen.append((role, value, self._charset))
        if tag == PATIENT_ID and not self._path:
            self.person = value.strip(b" \0")
        self._cut(pos, stop)
        place = PutOff(len(self.chunks), tag, step, vr, value, self._charset, self._encoding, tuple(self._path))
        self.put_off.append(place)
        self.chunks.append(None)
        return stop

    def _text(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        value = bytes(self._data[start:stop])
        if self._look(value, tag, step):
            self.beyond_ascii = self.beyond_ascii or not value.isascii()
            return self._stays(tag, step, vr, role, pos, start, stop)
        return self._later(tag, step, vr, role, pos, start, stop)

    def _character_set(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        self._charset = Charset(bytes(self._data[start : min(stop, start + 256)]))
        return self._stays(tag, step, vr, role, pos, start, stop)

    def _fact(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if not self._path and stop - start <= 128:
            self.facts[tag] = bytes(self._data[start:stop])
        return self._stays(tag, step, vr, role, pos, start, stop)

    def _refuse(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if tag == 0 and not self._path:
            self._only_zeros(pos)
            self._cut(pos, len(self._data))
            return len(self._data)
        if role == "vr":
            raise Refused("unknown-vr", self._where(tag))
        raise Refused("encapsulated-document" if tag == ENCAPSULATED_DOCUMENT else "dicomdir", self._where(tag))

    def _pixels(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        """The image's own pixel data pass as they lie. Below the top they are a picture of it, and go."""
        self._cut(pos, stop)
        if not self._path:
            self.big.add(len(self.chunks))
            self.chunks.append(self._data[pos:stop])
        return stop

    # --- private elements

    def _listed(self, tag: int) -> bytes | None:
        """The VR under which a private element is known to be safe, by its creator; None: it is not."""
        creator = self._creators.get(tag >> 16 << 8 | tag >> 8 & 0xFF)
        listed = None if creator is None else self._plan.private.get((creator, tag >> 16, tag & 0xFF))
        return listed.encode() if listed else None

    def _private(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        if tag & 0xFFFF < 0x100:
            creator = bytes(self._data[start : min(stop, start + 66)]).decode("ascii", "replace").strip(" \0")
            if creator not in self._plan.creators or tag & 0xFFFF < 0x10:
                return self._drop(tag, step, vr, "", pos, start, stop)
            self._creators[tag >> 16 << 8 | tag & 0xFF] = creator
            return self._stays(tag, step, vr, "", pos, start, stop)
        listed = self._listed(tag)
        if listed is None or vr not in (listed, _UN):
            return self._drop(tag, step, _UN, "", pos, start, stop)
        step = self._plan.by_vr(tag, listed)
        return self._handlers[step](tag, step, vr, "", pos, start, stop)

    # --- sequences

    def _undefined(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, end: int) -> int:
        if step == Step.PIXELS or vr in (b"OB", b"OW"):
            stop = self._fragments(start, end)
            kept = step == Step.PIXELS
            return (self._pixels if kept else self._drop)(tag, step, vr, "", pos, start, stop)
        if vr not in (_SQ, _UN):
            raise Refused("undefined-length", self._where(tag))
        if step == Step.PRIVATE and self._listed(tag) == _SQ:
            step = Step.SEQUENCE
        if step in (Step.SEQUENCE, Step.HOLLOW):
            return self._enter(tag, step, vr, pos, start, end, undefined=True)
        stop = self._discard(tag, vr, start, end, undefined=True)
        self._cut(pos, stop)
        if step in (Step.EMPTY, Step.DUMMY, Step.PERSON):
            self._put(tag, vr, b"")
        return stop

    def _sequence(self, tag: int, step: Step, vr: bytes, role: str, pos: int, start: int, stop: int) -> int:
        return self._enter(tag, step, vr, pos, start, stop, undefined=False)

    def _enter(self, tag: int, step: Step, vr: bytes, pos: int, start: int, end: int, *, undefined: bool) -> int:
        """Walk a sequence that stays. Where nothing in it changes, it stays in the run as it lies."""
        run, chunks, changes, rules = self._run, len(self.chunks), self._changes, self._rules
        if step == Step.HOLLOW and self._plan.hollow is not None:
            self._rules = self._plan.hollow.rules
        self._flush(pos)
        self.chunks.append(self._encoding.head(tag, vr, UNDEFINED))
        stop = self._items(tag, vr, start, end, undefined)
        self._rules = rules
        if self._changes == changes:
            del self.chunks[chunks:]
            self._run = run
        else:
            self._run = stop
        return stop

    def _discard(self, tag: int, vr: bytes, start: int, end: int, *, undefined: bool) -> int:
        """Walk a sequence that goes, for the names in it. Returns where it ends."""
        chunks, put_off, run, depth = len(self.chunks), len(self.put_off), self._run, len(self._path)
        scope = self._encoding, self._charset, self._creators, self._rules
        try:
            return self._items(tag, vr, start, end, undefined)
        finally:
            del self.chunks[chunks:], self.put_off[put_off:], self._path[depth:]
            self.big = {at for at in self.big if at < chunks}
            self._run = run
            self._encoding, self._charset, self._creators, self._rules = scope

    def _items(self, tag: int, vr: bytes, pos: int, end: int, undefined: bool) -> int:
        """A sequence's items; one in UN is in implicit little endian (PS3.5 section 6.2.2). Raises Refused."""
        self._path.append(tag)
        if len(self._path) > MOST_DEPTH:
            raise Refused("too-deep", self._where())
        outer, charset, creators = self._encoding, self._charset, self._creators
        encoding = self._encoding = IMPLICIT if vr == _UN else outer
        while undefined or pos < end:
            if pos + 8 > end:
                raise Refused("truncated", self._where())
            mark = bytes(self._data[pos : pos + 4])
            length = encoding.length(self._data, pos + 4)[0]
            if mark == encoding.sequence_end:
                pos += 8
                break
            if mark != encoding.item:
                raise Refused("not-an-item", self._where())
            pos = self._item(pos + 8, length, end)
            self._charset = charset
        self._creators, self._encoding = creators, outer
        self.chunks.append(encoding.close_sequence)
        self._path.pop()
        return pos

    def _item(self, pos: int, length: int, end: int) -> int:
        encoding = self._encoding
        self.chunks.append(encoding.open_item)
        self._run = pos
        self._creators = {}
        stop = end if length == UNDEFINED else pos + length
        if stop > end:
            raise Refused("truncated", self._where())
        found = self._dataset(pos, stop)
        self._flush(found)
        self.chunks.append(encoding.close_item)
        if length != UNDEFINED:
            if found != stop:
                raise Refused("item-length", self._where())
            return stop
        if bytes(self._data[found : found + 4]) != encoding.item_end:
            raise Refused("truncated", self._where())
        return found + 8

    def _fragments(self, pos: int, end: int) -> int:
        """The end of encapsulated pixel data (PS3.5 A.4), delimiter included. Raises Refused."""
        source, encoding = self._data.obj, self._encoding
        forgotten = pos
        while pos + 8 <= end:
            mark = bytes(self._data[pos : pos + 4])
            length = encoding.length(self._data, pos + 4)[0]
            if mark == encoding.sequence_end:
                return pos + 8
            if mark != encoding.item or length == UNDEFINED:
                break
            pos += 8 + length
            if isinstance(source, mmap.mmap) and pos - forgotten > _FORGET:
                forgotten = forget(source, forgotten, pos)
        raise Refused("bad-fragments", self._where())

    def _where(self, tag: int | None = None) -> str:
        return where(self._path if tag is None else [*self._path, tag])


def where(path: list[int] | tuple[int, ...]) -> str:
    """A path of tags for people: ``(0040,A730)/(0040,A123)``."""
    return "/".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)


def forget(source: mmap.mmap, start: int, stop: int) -> int:
    """Give back the memory of a mapped file between two places. Returns from where the next time."""
    first = start - start % mmap.PAGESIZE
    until = stop - stop % mmap.PAGESIZE
    if until > first and until <= len(source):
        source.madvise(mmap.MADV_DONTNEED, first, until - first)
    return max(start, until)
