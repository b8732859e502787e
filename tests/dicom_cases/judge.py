"""Scores de-identified files by their answer key as MIDI-B's validation script does, in code of our own.

Text is compared by tokens (each a substring, stop words and punctuation dropped), numbers as numbers; a file that was
not released passes what was to be removed and fails what was to be kept, where the key says that it should have been
released. Beside MIDI-B's places a text can be asked for in the whole file: then its bytes are searched, inflated
where they were deflated, in every encoding that DICOM knows.
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pydicom
from dicom_cases.answer_key import ANYWHERE, REMOVALS, Action, Answer, CaseFile, Fate
from dicom_cases.headers import pixels_digest, said
from pydicom.dataset import Dataset

STOP_WORDS = frozenset((
    "i", "me", "my", "myself", "we", "our", "ours", "ourselves", "you", "your", "yours", "yourself", "yourselves",
    "he", "him", "his", "himself", "she", "her", "hers", "herself", "it", "its", "itself", "they", "them", "their",
    "theirs", "themselves", "what", "which", "who", "whom", "this", "that", "these", "those", "am", "is", "are",
    "was", "were", "be", "been", "being", "have", "has", "had", "having", "do", "does", "did", "doing", "a", "an",
    "the", "and", "but", "if", "or", "because", "as", "until", "while", "of", "at", "by", "for", "with", "about",
    "against", "between", "into", "through", "during", "before", "after", "above", "below", "to", "from", "up",
    "down", "in", "out", "on", "off", "over", "under", "again", "further", "then", "once", "here", "there", "when",
    "where", "why", "how", "all", "any", "both", "each", "few", "more", "most", "other", "some", "such", "no",
    "nor", "not", "only", "own", "same", "so", "than", "too", "very", "s", "t", "can", "will", "just", "don",
    "should", "now",
))  # fmt: skip
ENCODINGS = (
    "utf-8", "latin-1", "iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9", "shift_jis",
    "iso2022_jp_2", "euc_jp", "euc_kr", "iso2022_kr", "gb18030", "tis-620", "utf-16-le", "utf-16-be",
)  # fmt: skip
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_PRIVATE = re.compile(r"([0-9A-F]{4})\{(.+)\}([0-9A-F]{2})")


@dataclass
class Score:
    """Of one policy: actions asked and passed, and each failure as ``(file, action, place, text, found)``."""

    asked: Counter[Action] = field(default_factory=Counter)
    passed: Counter[Action] = field(default_factory=Counter)
    failures: list[tuple[str, Action, str, str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return sum(self.passed.values()) / max(1, sum(self.asked.values()))

    def leaks(self) -> list[tuple[str, Action, str, str, str]]:
        return [failure for failure in self.failures if failure[1] in REMOVALS]

    def lost(self) -> list[tuple[str, Action, str, str, str]]:
        return [failure for failure in self.failures if failure[1] not in REMOVALS]


class Mapping:
    """Old identifiers to new ones, as the outputs say: one to one, or the second that differs has failed."""

    def __init__(self) -> None:
        self._new: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def agrees(self, old: str, new: str) -> bool:
        return self._new.setdefault(old, new) == new and self._old.setdefault(new, old) == old


def judge(cases: Iterable[CaseFile], released: dict[str, Path], policy: str) -> Score:
    """``released``: the outputs by the case's name; a case that is not there was refused or quarantined."""
    score, uids, patients = Score(), Mapping(), Mapping()
    for case in cases:
        fate = case.fate[policy]
        answers = [answer for answer in case.answers if policy in answer.policies]
        path = released.get(case.name)
        if path is None:
            for answer in answers:
                if answer.action in REMOVALS or fate is Fate.RELEASED:
                    _note(score, case, answer, answer.action in REMOVALS, "not released")
            continue
        data = path.read_bytes()
        try:
            ds = pydicom.dcmread(io.BytesIO(data), force=True)
            texts = searched(data)
            outcomes = [(a, *_check(a, ds, texts, uids, patients)) for a in answers]
        except Exception as error:
            outcomes = [(a, False, f"unreadable: {error!r}") for a in answers]
        if fate is Fate.HELD:
            kept = [a for a in answers if a.action is Action.PIXELS_RETAINED]
            outcomes = [one for one in outcomes if one[0] not in kept]
            if not any(a.action is Action.PIXELS_HIDDEN for a in answers):
                outcomes.append((Answer(Action.TEXT_REMOVED, ANYWHERE, "the file"), False, "released"))
        for answer, passed, found in outcomes:
            _note(score, case, answer, passed, found)
    return score


def _note(score: Score, case: CaseFile, answer: Answer, passed: bool, found: str) -> None:
    score.asked[answer.action] += 1
    score.passed[answer.action] += passed
    if not passed:
        score.failures.append((case.name, answer.action, answer.where, answer.text, found))


def _check(answer: Answer, ds: Dataset, texts: list[bytes], uids: Mapping, patients: Mapping) -> tuple[bool, str]:
    action = answer.action
    if action is Action.PIXELS_RETAINED:
        return pixels_digest(ds) == answer.text, "other pixels"
    if action is Action.PIXELS_HIDDEN:
        return is_hidden(ds, answer.text), "the pixels in the box are still there"
    if answer.where == ANYWHERE:
        found = holds(texts, answer.text)
        return found is None, f"in the file as {found}"
    element = find(ds, answer.where)
    value = None if element is None else said(element)
    return _is_as_asked(action, answer.text, value, uids, patients), "absent" if value is None else repr(value[:80])


def _is_as_asked(action: Action, text: str, value: str | None, uids: Mapping, patients: Mapping) -> bool:
    match action:
        case Action.TAG_RETAINED:
            return value is not None
        case Action.TEXT_NOTNULL:
            return bool(value)
        case Action.TEXT_RETAINED:
            return bool(value) and compared(value, text, retain=True) == 1.0
        case Action.TEXT_REMOVED:
            return not value or compared(value, text, retain=False) == 1.0
        case Action.DATE_SHIFTED:
            return value is None or not any(day in value for day in text.split("\\") if day)
        case Action.UID_CHANGED:
            return value is None or not set(text.split("\\")) & set(value.split("\\"))
        case Action.UID_CONSISTENT:
            return value is None or _are_mapped(text, value, uids)
        case Action.PATID_CONSISTENT:
            return not value or patients.agrees(text, value)
    raise AssertionError(action)


def _are_mapped(old: str, new: str, uids: Mapping) -> bool:
    """Emptied or all of them replaced by UIDs, each always by the same."""
    if not new:
        return True
    before, after = old.split("\\"), new.split("\\")
    if len(before) != len(after):
        return False
    return all(
        _UID.fullmatch(b) is not None and len(b) <= 64 and (a.startswith("1.2.840.10008.") or uids.agrees(a, b))
        for a, b in zip(before, after, strict=True)
    )


def compared(value: str, text: str, *, retain: bool) -> float:
    """The share of the text's tokens that the value has, or has not."""
    value, text = value.lower(), text.lower()
    parts, wanted = value.split("\\"), text.split("\\")
    if len(parts) == len(wanted) and all(map(_is_number, parts + wanted)):
        same = all(float(a) == float(b) for a, b in zip(parts, wanted, strict=True))
        return float(same == retain)
    if text in value:
        return float(retain)
    tokens = [token for token in re.findall(r"\w+(?:[./'-]\w+)*", text) if token not in STOP_WORDS]
    if not tokens:
        return float(not retain)
    return sum((token in value) == retain for token in tokens) / len(tokens)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*-?\d+(\.\d*)?\s*", text) is not None


def find(ds: Dataset, where: str) -> pydicom.DataElement | None:
    """The element at a place; None where it, or what it lies in, is not there."""
    for step in where.split("."):
        name, _, index = step.partition("[")
        element = _private(ds, name) if "{" in name else _public(ds, name)
        if element is None:
            return None
        if index:
            number = int(index.rstrip("]"))
            if element.VR != "SQ" or number >= len(element.value):
                return None
            ds = element.value[number]
    return element


def _public(ds: Dataset, name: str) -> pydicom.DataElement | None:
    tag = int(name, 16)
    if tag >> 16 == 2:
        ds = getattr(ds, "file_meta", Dataset())
    return ds.get(tag, None)


def _private(ds: Dataset, name: str) -> pydicom.DataElement | None:
    match = _PRIVATE.fullmatch(name)
    assert match is not None, name
    group, creator, low = int(match[1], 16), match[2], int(match[3], 16)
    for block in range(0x10, 0x100):
        tag = group << 16 | block << 8 | low
        if str(ds.get((group, block), pydicom.DataElement(0, "LO", "")).value).strip() == creator and tag in ds:
            return ds[tag]
    return None


def searched(data: bytes) -> list[bytes]:
    """The file in small letters, and what is deflated in it; without its native pixels' meaning, as bytes."""
    texts = [data]
    for start in range(132, min(len(data), 1024)):
        # A deflated dataset begins right after the meta information, wherever that ends.
        if b"1.2.840.10008.1.2.1.99" not in data[:1024]:
            break
        try:
            texts.append(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:]))
        except zlib.error:
            continue
    return [*texts, *(text.lower() for text in texts)]


def holds(texts: list[bytes], wanted: str) -> str | None:
    """The encoding in which a text is found; small and capital letters alike."""
    return next((name for needle, name in _needles(wanted) if any(needle in text for text in texts)), None)


@lru_cache(maxsize=10_000)
def _needles(wanted: str) -> tuple[tuple[bytes, str], ...]:
    """The text in every encoding, as it stands, in capitals, and in small letters (as ``searched`` has the file)."""
    found: dict[bytes, str] = {}
    for encoding in ENCODINGS:
        for form in (wanted, wanted.lower(), wanted.upper()):
            try:
                needle = form.encode(encoding)
            except UnicodeEncodeError:
                continue
            if encoding.startswith("iso2022"):
                # A text may begin and end within a run of one character set: without what switches it on.
                needle = re.sub(rb"\x1b[$(]+[)]?[A-Z@]|[\x0e\x0f]", b"", needle)
            found.setdefault(needle, encoding)
            found.setdefault(needle.lower(), encoding)
    return tuple(found.items())


def is_hidden(ds: Dataset, box: str) -> bool:
    """Whether a box ``frame x0 y0 x1 y1`` is of one colour."""
    frame, x0, y0, x1, y1 = map(int, box.split())
    pixels = ds.pixel_array
    if int(ds.get("NumberOfFrames") or 1) > 1:
        pixels = pixels[frame]
    inside = pixels[y0:y1, x0:x1]
    return bool((inside == inside[:1, :1]).all())
