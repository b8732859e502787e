"""The second look at an image before it is released: whether anything of the original's identities is still in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import lru_cache

from flipnb.estate.imaging.postscan import patterns, spellings
from flipnb.estate.imaging.postscan.charsets import decoded
from flipnb.estate.imaging.postscan.classes import NUMBER_VRS, TEXT_VRS, classify, is_kind_of_content, keyword
from flipnb.estate.imaging.postscan.elements import (
    PIXEL_DATA,
    Buffer,
    Element,
    Elements,
    Path,
    dictionary_vr,
    read,
    unscannable,
)
from flipnb.estate.imaging.postscan.haystack import SEPARATOR, Haystack, joined, printable
from flipnb.estate.imaging.postscan.needles import Needles, needles, plain
from flipnb.estate.imaging.postscan.pixel_headers import pixel_headers
from flipnb.estate.imaging.postscan.policy import ScanPolicy, Survivor

_BULK = frozenset({"AT", "FD", "FL", "OD", "OF", "OL", "OV", "SL", "SS", "SV", "UL", "US", "UV"})
_MOST = 100
_DOCUMENT = 0x00420011
_CODES = frozenset(
    {"CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "ContextIdentifier", "SoftwareVersions"}
    | {"LongCodeValue", "URNCodeValue", "ImplementationVersionName", "CodingSchemeName", "DeidentificationMethod"}
)


def survivors(original: Buffer, output: Buffer, *, policy: ScanPolicy) -> tuple[Survivor, ...]:
    """What of ``original`` is left in ``output``, both whole DICOM files; at most 100, in the order of their places.

    Looked through are all bytes of the output but the pixels' own: values as they are and decoded, UN and private ones,
    what lies between elements, and the headers inside compressed pixels. Memory: some times what is no pixel.
    Raises FlipError ``image-unscannable`` where one of the two can't be read, or the output is not whole.
    """
    before, after = read(original, policy.most_header_bytes), read(output, policy.most_header_bytes)
    _understood(before)
    _whole(after)
    sought = needles(before, policy)
    found = [*_structure(before, after, policy), *_at_their_places(sought, after, policy)]
    found += _anywhere(sought, before, after, policy)
    return tuple(sorted(set(found))[:_MOST])


def _understood(before: Elements) -> None:
    """The original may end too early, but what was read of it must be elements: they alone say what it held."""
    unknown = [path for path in before.truncated if path[0] not in PIXEL_DATA and dictionary_vr(path[-1]) == "UN"]
    if unknown or (len(before.data) - before.end >= 8 and any(before.data[before.end :])):
        raise unscannable("the original can't be read to its end")


def _whole(after: Elements) -> None:
    """The output must be read to its end: nothing may hide where no parser goes."""
    if any(path[0] not in PIXEL_DATA for path in after.truncated):
        raise unscannable("an element says that it is longer than the file")
    if after.end < len(after.data) or any(after.trailing):
        raise unscannable("bytes follow its last element")


def _structure(before: Elements, after: Elements, policy: ScanPolicy) -> Iterable[Survivor]:
    """What no policy lets stay, whatever it holds: a preamble, private elements, curves, icons, documents."""
    if bytes(after.data[128:132]) == b"DICM" and any(bytes(after.data[:128])):
        yield Survivor("preamble", "bytes before the file's beginning")
    creators: dict[tuple[Path, int, int], str] = {}
    for element in after.elements:
        path, tag, vr, value, _ = element
        if tag & 0x10000:
            group, number = tag >> 16, tag & 0xFFFF
            if 0x10 <= number <= 0xFF:
                creators[path[:-1], group, number] = plain(value or b"").decode("latin-1")
            elif not _private_stays(path, creators, policy):
                yield Survivor(where(path), "private element")
        elif 0x50000000 <= tag < 0x51000000 and tag & 0xFFFF:
            yield Survivor(where(path), "curve")
        elif 0x00020016 <= tag < 0x00030000:
            yield Survivor(where(path), "file meta information of others")
        elif tag == _DOCUMENT and value and any(e.tag == tag and e.value == value for e in before.elements):
            yield Survivor(where(path), "document")
        elif tag in PIXEL_DATA and len(path) > 1 and value:
            yield Survivor(where(path), "image inside a sequence")
        elif vr == "AS" and not _age_allowed(plain(value or b"")):
            yield Survivor(where(path), "age from 90")


def _age_allowed(age: bytes) -> bool:
    return not (age.endswith(b"Y") and age[:-1].isdigit() and int(age[:-1]) > 90)


def _private_stays(path: Path, creators: dict[tuple[Path, int, int], str], policy: ScanPolicy) -> bool:
    """Whether the outermost private element on the path, in its creator's block, is one that stays."""
    for depth in range(0, len(path), 2):
        group, number = path[depth] >> 16, path[depth] & 0xFFFF
        if group & 1 and number > 0xFF:
            creator = creators.get((path[:depth], group, number >> 8))
            return creator is not None and (creator, group << 16 | number & 0xFF) in policy.private
    return False


def _at_their_places(sought: Needles, after: Elements, policy: ScanPolicy) -> Iterable[Survivor]:
    """An attribute with a value that the same attribute had, however short; dates that did not move with the others."""
    shift = _shift(sought, after)
    for element in after.elements:
        if not element.value or element.tag in policy.kept:
            continue
        had = sought.places.get(element.tag)
        if had is not None and _same(element, had):
            yield Survivor(where(element.path), classify(element.tag, element.vr))
        if sought.days and classify(element.tag, element.vr) == "date":
            for value in element.value.split(b"\\"):
                day = spellings.day(plain(value).decode("ascii", "replace"))
                if day not in sought.days or day is None:
                    continue
                moved = policy.dates == "shifted" and shift and day - shift in sought.days
                if not moved or sought.at_path.get(element.path) == day:
                    yield Survivor(where(element.path), "birth date" if day in sought.birth else "date")


def _same(element: Element, had: set[bytes]) -> bool:
    value = plain(element.value or b"")
    return value in had or (element.vr == "UI" and any(plain(one) in had for one in value.split(b"\\")))


def _shift(sought: Needles, after: Elements) -> timedelta | None:
    """By how much the first date moved that is in both."""
    for element in after.elements:
        before = sought.at_path.get(element.path)
        if before is not None:
            day = spellings.day(plain(element.value or b"").decode("ascii", "replace"))
            if day is not None:
                return day - before
    return None


def _anywhere(sought: Needles, before: Elements, after: Elements, policy: ScanPolicy) -> list[Survivor]:
    """What is looked for everywhere: spellings, UIDs, and patterns that the original had, too."""
    header = after.header()
    pixels = pixel_headers(after)
    extra = pixels.text
    elements = [
        e for e in after.elements if e.value and e.tag not in policy.kept and not is_kind_of_content(e.tag, e.value)
    ]
    whole = Haystack(_text(elements) + SEPARATOR + printable(header[:128]) + SEPARATOR + extra, header + extra)
    checks: list[tuple[str, Callable[[Haystack], bool]]] = []
    for kind, terms in sought.terms.items():
        if terms.hit(whole):
            checks.append((kind, terms.hit))
    if sought.uids and not sought.uids.isdisjoint(patterns.uids(whole.raw)):
        checks.append(("uid", lambda hay: not sought.uids.isdisjoint(patterns.uids(hay.raw))))
    checks += _patterns(elements, extra, sought, before, policy)
    found = [Survivor("pixel data", kind) for kind in pixels.odd]
    for kind, check in checks:
        found += [Survivor(place, kind) for place in _places(elements, extra, check)]
    return found


def _patterns(
    elements: Sequence[Element], extra: bytes, sought: Needles, before: Elements, policy: ScanPolicy
) -> list[tuple[str, Callable[[Haystack], bool]]]:
    """Checks for what looks like somebody's number or date and was in the original, too."""
    there = patterns.found_in(_written(elements) + SEPARATOR + extra)
    if not there.numbers and not there.days:
        return []
    had = patterns.found_in(_written(before.elements))
    checks: list[tuple[str, Callable[[Haystack], bool]]] = []
    for kind, numbers in there.numbers.items():
        if left := numbers & had.numbers.get(kind, frozenset()):
            checks.append((kind, _having(kind, left)))
    days = there.days & (had.days | sought.days) if policy.dates != "kept" else frozenset()
    if days:
        checks.append(("date in text", lambda hay: not days.isdisjoint(patterns.days(hay.text))))
    return checks


def _having(kind: str, left: frozenset[bytes]) -> Callable[[Haystack], bool]:
    return lambda hay: not left.isdisjoint(patterns.found_in(hay.text).numbers.get(kind, frozenset()))


@lru_cache(maxsize=16384)
def _is_code(tag: int) -> bool:
    """Whether an attribute holds codes or versions, whose dots and digits are no dates and no telephones."""
    return keyword(tag) in _CODES


def _written(elements: Sequence[Element]) -> bytes:
    """The text that somebody may have written, codes and look-up tables left out."""
    return _text([element for element in elements if element[2] != "OW" and not _is_code(element[1])])


def _text(elements: Sequence[Element]) -> bytes:
    """All that may be read as text, separated; of numbers what has letters or is long; decoded where not ASCII."""
    parts: list[bytes] = []
    for _, _, vr, value, charsets in elements:
        if not value or vr in _BULK:
            continue
        if vr in TEXT_VRS:
            parts.append(value)
            if not value.isascii() or b"\x1b" in value:
                parts.append(spellings.fold(decoded(value, charsets)).encode())
        elif vr in NUMBER_VRS:
            if value.upper() != value.lower() or _is_long_number(vr, value):
                parts.append(value)
        else:
            parts.append(printable(value))
            if len(value) <= 4096 and not value.isascii():
                parts.append(spellings.fold(decoded(value, charsets)).encode())
    return joined(parts)


def _is_long_number(vr: str, value: bytes) -> bool:
    """Whether an IS or DS has as many digits as a patient's number, and nothing else."""
    return vr in ("IS", "DS") and any(one.isdigit() and len(one) > 5 for one in map(plain, value.split(b"\\")))


def _places(elements: list[Element], extra: bytes, check: Callable[[Haystack], bool]) -> list[str]:
    """Where ``check`` hits, by halves of the list: it costs little more than the hits do."""
    found: list[str] = []
    waiting = [(0, len(elements))]
    while waiting and len(found) < _MOST:
        start, end = waiting.pop()
        some = elements[start:end]
        if not some or not check(Haystack(_text(some), joined([e.value or b"" for e in some]))):
            continue
        if len(some) == 1:
            found.append(where(some[0].path))
        else:
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
    if extra and check(Haystack(extra, extra)):
        found.append("pixel data's headers")
    return found or ["elsewhere"]


def where(path: Path) -> str:
    """A path of tags as people of the field write it: ``(0040,0275)[0].(0032,1060)``."""
    text = ""
    for at, part in enumerate(path):
        text += f"[{part}]." if at % 2 else f"({part >> 16:04X},{part & 0xFFFF:04X})"
    return text
