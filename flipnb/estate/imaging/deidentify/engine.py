"""De-identifying one DICOM file: PS3.15 Annex E over bytes; what it says of its person is looked for afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flipnb.estate.imaging.deidentify.charsets import LATIN_1, Undecodable, is_latin_1
from flipnb.estate.imaging.deidentify.cleaning import Context, clean, is_spelled_out
from flipnb.estate.imaging.deidentify.encoding import BIG, EXPLICIT, IMPLICIT, Encoding
from flipnb.estate.imaging.deidentify.identity import Identity
from flipnb.estate.imaging.deidentify.keys import Keys
from flipnb.estate.imaging.deidentify.part10 import Outer, file_meta, outer
from flipnb.estate.imaging.deidentify.plan import GRAPHIC_LAYER, TECHNICAL, Plan, Step, has_dummy
from flipnb.estate.imaging.deidentify.policy import Policy
from flipnb.estate.imaging.deidentify.table import EDITION
from flipnb.estate.imaging.deidentify.terms import is_of_the_standard
from flipnb.estate.imaging.deidentify.values import TEXT, capped, dummy, shifted
from flipnb.estate.imaging.deidentify.walker import PutOff, Refused, Walk, where

_REMEMBERED, _SHORT = 100_000, 256
_MOST_NAMES = 20_000
_STUDY, _SERIES, _SOP, _SOP_CLASS = 0x0020000D, 0x0020000E, 0x00080018, 0x00080016
_SPOKEN = ("1.2.840.10008.5.1.4.1.1.9.4.1", "1.2.840.10008.5.1.4.1.1.9.4.2")  # audio: who speaks, and of whom
_NOBODY = Identity()


@dataclass(frozen=True)
class Facts:
    """What the output is, by replaced names alone.

    ``kept_words`` are the tags (paths) in which a clinical word stayed though the person has it as a name.
    """

    sop_class: str
    transfer_syntax: str
    study_uid: str
    series_uid: str
    sop_uid: str
    person: str
    modality: str = ""
    instance_number: int = 0
    frames: int = 1
    rows: int = 0
    columns: int = 0
    kept_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deidentified:
    """The output in pieces to write one after the other; large ones are views of the input."""

    chunks: Sequence[bytes | memoryview]
    facts: Facts

    @property
    def size(self) -> int:
        """The output's length in bytes."""
        return sum(len(chunk) for chunk in self.chunks)

    def to_bytes(self) -> bytes:
        """The whole output."""
        return b"".join(self.chunks)


@dataclass
class _Texts:
    """What was found about texts before, so that the names of makers and protocols are looked at once."""

    policy: Policy
    verdicts: dict[tuple[bytes, Step, bool], bool] = field(default_factory=dict)

    def look(self, value: bytes, tag: int, step: Step) -> bool:
        """Whether a text has nothing in it that is written like a name, a number of a person, a date or a UID."""
        key = (value, step, tag in TECHNICAL)
        found = self.verdicts.get(key)
        if found is None:
            found = self._look(value, *key[1:])
            if len(value) <= _SHORT:
                if len(self.verdicts) >= _REMEMBERED:
                    self.verdicts.clear()
                self.verdicts[key] = found
        return found

    def _look(self, value: bytes, step: Step, technical: bool) -> bool:
        if not value.isascii() or b"\x1b" in value:
            return not any(0x30 <= byte <= 0x39 for byte in value) and len(value) < 24 and step == Step.TEXT
        text = value.decode("ascii").rstrip(" \0")
        if is_spelled_out(text):
            return False
        context = Context(_NOBODY, None, lambda uid: b"" if uid else uid, self.policy.dates == "keep")
        return clean(text, context, description=step == Step.DESCRIPTION, technical=technical).text == text


class Deidentifier:
    """The engine with one policy and one key. Not for several threads at a time."""

    def __init__(self, policy: Policy, keys: Keys) -> None:
        self.policy = policy
        self.keys = keys
        self._plan = Plan(policy)
        self._thorough = Plan(policy, thorough=True)
        self._texts = _Texts(policy)
        self._added = {encoding.name: _added(policy, encoding) for encoding in (EXPLICIT, IMPLICIT, BIG)}
        self._uid = keys.uid if policy.uids == "replace" else _same
        self._dates: dict[tuple[bytes, int], bytes] = {}

    def deidentify(self, data: bytes | memoryview, *, person: bytes | None = None) -> Deidentified:
        """De-identify one file. Raises Refused with a reason, never with a value.

        ``person`` stands for the person instead of the file's PatientID, where the caller knows better who it is.
        ``data`` may be a view of a mapped file: large values are then passed on without being held in memory.
        """
        read = outer(memoryview(data))
        walk = self._walk(read, self._plan, self._texts.look)
        if len(walk.seen) > _MOST_NAMES:
            raise Refused("too-many-names")
        identity = Identity(walk.seen)
        who = person or _person(walk)
        kept = self._finish(walk, identity, who)
        pieces = _joined(walk)
        if identity.beyond_ascii or _names_somebody(identity, pieces):
            walk = self._walk(read, self._thorough, _never)
            kept = self._finish(walk, identity, who)
            pieces = _joined(walk)
        facts = self._facts(walk, read, who, kept)
        if facts.sop_class in _SPOKEN:
            raise Refused("audio")
        meta = file_meta(read.syntax, facts.sop_class.encode(), facts.sop_uid.encode())
        return Deidentified([meta, *pieces], facts)

    def _walk(self, read: Outer, plan: Plan, look: object) -> Walk:
        walk = Walk(read.data, plan, self._uid, look)  # type: ignore[arg-type]
        walk.run(read.start, read.encoding, self._added[read.encoding.name])
        return walk

    def _finish(self, walk: Walk, identity: Identity, who: bytes) -> tuple[str, ...]:
        """Fill in what was put off. Returns where a clinical word stayed that is a part of a name too."""
        days = self.keys.days(who) if self.policy.dates == "shift" else None
        keep_dates = self.policy.dates == "keep"
        context = Context(identity, days, self._uid, keep_dates)
        pseudonym = self.keys.pseudonym(who)
        kept: list[str] = []
        chunks = walk.chunks
        for late in walk.put_off:
            if late.step == Step.DATE:
                new = self._moved(late.value, days or 0)
            elif late.step == Step.PERSON:
                new = pseudonym
            elif late.step == Step.AGE:
                new = capped(late.value, self.policy.oldest_age)
            elif late.step == Step.BINARY:
                new = b"" if identity.found_in(late.value.lower()) else late.value
            else:
                new = self._cleaned(late, context, kept)
            chunks[late.at] = late.encoding.element(late.tag, late.vr, new)
        return tuple(kept)

    def _moved(self, value: bytes, days: int) -> bytes:
        found = self._dates.get((value, days))
        if found is None:
            found = shifted(value, days)
            if len(value) <= _SHORT:
                if len(self._dates) >= _REMEMBERED:
                    self._dates.clear()
                self._dates[value, days] = found
        return found

    def _cleaned(self, late: PutOff, context: Context, kept: list[str]) -> bytes:
        if is_of_the_standard(late.tag, late.value):
            return late.value
        technical = late.tag in TECHNICAL or late.vr not in TEXT
        charset = late.charset
        try:
            try:
                text = charset.decode(late.value)
            except Undecodable:
                if not is_latin_1(late.value):
                    raise
                charset = LATIN_1
                text = charset.decode(late.value)
            cleaned = clean(text, context, description=late.step == Step.DESCRIPTION, technical=technical)
            if cleaned.kept_word:
                kept.append(where((*late.path, late.tag)))
            if cleaned.text == text:
                return late.value
            new = charset.encode(cleaned.text)
        except Undecodable:
            new = b""
        return self._with_a_value(late, new)

    def _with_a_value(self, late: PutOff, new: bytes) -> bytes:
        """What is left of a text; nothing only where an attribute may be empty.

        A layer's name is said again in every drawing on it: what stands for it tells layers apart.
        """
        if late.tag == GRAPHIC_LAYER or (late.vr == b"CS" and not new.strip(b"\\ ")):
            return self.keys.label(late.value.strip(b" \0"))
        return new or (dummy(late.vr) if has_dummy(late.tag) else b"")

    def _facts(self, walk: Walk, read: Outer, who: bytes, kept: tuple[str, ...]) -> Facts:
        def fact(tag: int) -> str:
            return walk.facts.get(tag, b"").rstrip(b"\0 ").decode("ascii", "replace")

        def number(tag: int) -> int:
            raw = walk.facts.get(tag, b"")
            return read.encoding.number(raw) if len(raw) == 2 else 0

        def uid(tag: int) -> str:
            return walk.uids.get(tag, (b"", b""))[1].decode("ascii", "replace")

        frames, instance = fact(0x00280008), fact(0x00200013)
        return Facts(
            sop_class=fact(_SOP_CLASS) or read.sop_class.decode("ascii", "replace"),
            transfer_syntax=read.syntax,
            study_uid=uid(_STUDY),
            series_uid=uid(_SERIES),
            sop_uid=uid(_SOP) or self._uid(read.sop_uid).decode("ascii", "replace"),
            person=self.keys.pseudonym(who).decode(),
            modality=fact(0x00080060)[:16],
            instance_number=int(instance) if instance.isdecimal() and len(instance) < 10 else 0,
            frames=int(frames) if frames.isdecimal() and len(frames) < 10 else 1,
            rows=number(0x00280010),
            columns=number(0x00280011),
            kept_words=kept,
        )


def _same(uid: bytes) -> bytes:
    return uid


def _never(value: bytes, tag: int, step: Step) -> bool:
    return False


def _person(walk: Walk) -> bytes:
    """Who the file is about: its PatientID, else its names, else its study, so that there is always somebody."""
    if walk.person:
        return walk.person
    names = b"\0".join(value for role, value, _ in walk.seen if role == "name")
    return b"\0name\0" + names if names else b"\0study\0" + walk.uids.get(_STUDY, (b"", b""))[0]


def _joined(walk: Walk) -> list[bytes | memoryview]:
    """The chunks with the small ones joined: mostly the header, the pixel data, and what follows them."""
    pieces: list[bytes | memoryview] = []
    begin = 0
    chunks = walk.chunks
    for at in sorted(walk.big):
        pieces.append(b"".join(chunks[begin:at]))  # type: ignore[arg-type]
        pieces.append(chunks[at])  # type: ignore[arg-type]
        begin = at + 1
    pieces.append(b"".join(chunks[begin:]))  # type: ignore[arg-type]
    return [piece for piece in pieces if len(piece)]


def _names_somebody(identity: Identity, pieces: Sequence[bytes | memoryview]) -> bool:
    return any(identity.found_in(piece.lower()) for piece in pieces if isinstance(piece, bytes))


def _added(policy: Policy, encoding: Encoding) -> list[tuple[int, bytes]]:
    """What says that, how and under which options the file was de-identified (PS3.15 E.1.1, PS3.3 C.7.1.1)."""
    items = b""
    for code, meaning in policy.codes:
        item = b"".join(
            encoding.element(tag, vr, value.encode())
            for tag, vr, value in (
                (0x00080100, b"SH", code),
                (0x00080102, b"SH", "DCM"),
                (0x00080104, b"LO", meaning),
            )
        )
        items += encoding.item_of(item)
    method = f"FLIP {policy.name}; {EDITION}"[:64]
    moved = {"remove": b"REMOVED", "shift": b"MODIFIED", "keep": b"UNMODIFIED"}[policy.dates]
    return [
        (0x00120062, encoding.element(0x00120062, b"CS", b"YES")),
        (0x00120063, encoding.element(0x00120063, b"LO", method.encode())),
        (0x00120064, encoding.head(0x00120064, b"SQ", len(items)) + items),
        (0x00280303, encoding.element(0x00280303, b"CS", moved)),
    ]
