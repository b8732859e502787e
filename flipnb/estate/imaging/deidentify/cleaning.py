"""Free text without what names a person: by the header's own names and numbers, and by how such things are written.

Clinical words stay. What is taken out: parts of names that the header held, titles with the names behind them, numbers
with a label (MRN, NHS, accession), NHS numbers with a valid check digit, telephones, e-mail addresses, postcodes,
streets; UIDs are replaced and dates moved (or taken out, by policy). In a descriptor long numbers go too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from flipnb.estate.imaging.deidentify.identity import Identity, clinical_words, folded

_MONTHS = {
    "jan": 1, "january": 1, "feb": 2, "february": 2, "mar": 3, "march": 3, "apr": 4, "april": 4, "may": 5, "jun": 6,
    "june": 6, "jul": 7, "july": 7, "aug": 8, "august": 8, "sep": 9, "sept": 9, "september": 9, "oct": 10,
    "october": 10, "nov": 11, "november": 11, "dec": 12, "december": 12,
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d{0,38})){5,31}(?![\d.]{0,40}\d)")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_ADDRESS = re.compile(r"(?:\b[a-z]{2,6}://|\bwww\.)\S+", re.I)
_LETTER = r"[^\W\d_]"
_LETTERS = re.compile(
    rf"(?<!\w)(?:{_LETTER}(?: |[._-])){{3,}}{_LETTER}(?!\w)|(?<!\w)(?:{_LETTER}[. ] ?){{1,3}}{_LETTER}(?!\w)\.?"
)
_BROKEN = re.compile(rf"(?<![^\W\d_])({_LETTER}+)-[ ]*[\r\n]\s*({_LETTER}+)")  # a word over the end of a line
_INVISIBLE = re.compile("[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\u00ad\u200b-\u200f\u2060\ufeff]")
_LABELLED = re.compile(
    r"\b(?:MRN|NHS|CHI|PID|UHID|CRN|Acc(?:ession)?|Hosp(?:ital)?|Patient|Pat|Pt|Case|Chart|Reg|ID|DOB|Tel|Phone|Mob(?:ile)?)\b\.?"
    r"\s{0,3}(?:ID|No|Nr|Num(?:ber)?)?\.?\s{0,3}[:#=]?\s{0,3}#?"
    r"(?=[\w/-]{0,20}\d)(?:[A-Z]{0,4}[-/ ]?\d[\w/-]{2,})(?: \d{2,12})*",
    re.I,
)
_NHS = re.compile(r"(?<![\d.])(\d{3})([ -]?)(\d{3})[ -]?(\d{4})(?!\d|\.\d)")
_TELEPHONE = re.compile(r"(?<![\d.])(?:\+\d{1,3}|\(?0\d{2,4}\)?)(?:[ -]?\(?\d{2,4}\)?){2,4}(?![\d.])")
_POSTCODE = re.compile(
    r"\b(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRV-Y])"
    r" ?\d[ABD-HJLNP-UW-Z]{2})\b"
)
_STREET = re.compile(
    r"\b\d{1,4}[A-Za-z]?,? (?:[A-Z][\w']+ ){1,3}"
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Close|Drive|Crescent|Terrace|Way|Court|Gardens|Place)\b\.?"
)
_TITLED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Master|Dr|Prof(?:essor)?|Sir|Dame|Sister|Nurse)\b\.?"
    r"[ _^]+[A-Z][\w'-]*(?:[ _^,]+(?!(?:and|for|with)\b)[A-Z][a-z'-]+){0,2}"
)
_NAMED = re.compile(
    r"\b(?:patient|pt|name|surname|forename|performed by|reported by|referred by|operator)"
    r"\s{0,3}(?:name)?\s{0,3}[:=]\s{0,3}[A-Za-z][\w'^, -]{1,60}",
    re.I,
)
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{7,}(?![\d.])")
_AGED = re.compile(r"\b(?:aged? )?(?:9\d|1[01]\d)[ -]?(?:y(?:ears?|rs?|/?o)?|Y)\b(?:[ -]?old\b)?", re.I)
_ISO = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-/. ]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\d{6}(?!\d)|[T_ ]?\d\d:|(?!\d))"
)
_NUMERIC = re.compile(r"(?<![\d.])(\d{1,2})([-/.])(\d{1,2})\2((?:19|20)\d\d|\d\d)(?![\d.]*\d)")
_WORDED = re.compile(
    rf"(?<![^\W_])(\d{{1,2}})((?:st|nd|rd|th)?[ .-]*(?:of )?)({_MONTH})(?![^\W\d_])"
    r"([ .,'-]*)((?:19|20)\d\d|\d\d)?(?!\d)",
    re.I,
)
_MONTH_FIRST = re.compile(rf"\b({_MONTH})([ .]*(?:the )?)(\d{{1,2}})(?:st|nd|rd|th)?([ ,]+)((?:19|20)\d\d)(?!\d)", re.I)
_YEAR_FIRST = re.compile(rf"(?<![\d.])((?:19|20)\d\d)([ ./-]+)({_MONTH})([ ./-]+)(\d{{1,2}})(?!\d)", re.I)
_MONTH_ALONE = re.compile(
    rf"(\d{{1,2}}(?:st|nd|rd|th)?[ .-]*(?:of )?)?(?<![^\W\d_])({_MONTH})([ .,'/-]*)((?:19|20)\d\d)(?!\d)", re.I
)
_MONTH_NUMBER = re.compile(r"(?<![\d/.-])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\d/])")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.U)
_HONORIFICS = frozenset(("mr", "mrs", "ms", "miss", "dr", "prof"))
_TITLES = _HONORIFICS | {"for", "pt", "by"}
_TIDY = re.compile(r"\s{2,}")
_EDGES = " \t\r\n\f,;:_/^=+-"


@dataclass(frozen=True)
class Context:
    """How text of one person is cleaned: by how many days dates move (None: they go), what a UID becomes."""

    identity: Identity
    days: int | None
    uid: Callable[[bytes], bytes]
    keep_dates: bool = False


@dataclass(frozen=True)
class Cleaned:
    """The text, and whether a word was left in it on purpose that is a part of a name too."""

    text: str
    kept_word: bool = False


def clean(text: str, context: Context, *, description: bool, technical: bool = False) -> Cleaned:
    """``text`` without what names a person. Several values stay several: a backslash is nobody's name."""
    parts = [_clean_one(part, context, description, technical) for part in text.split("\\")]
    return Cleaned("\\".join(part.text for part in parts), any(part.kept_word for part in parts))


def _clean_one(text: str, context: Context, description: bool, technical: bool) -> Cleaned:
    before = text
    text = _INVISIBLE.sub("", text)
    text = _UID.sub(lambda found: context.uid(found[0].encode()).decode(), text)
    held = _UID.findall(text) if text != before or "2.25." in text else []
    for number, uid in enumerate(held):  # set aside, for a new UID is a long number too
        text = text.replace(uid, f"\ue000{number}\ue001")
    if not technical:
        text = _EMAIL.sub(" ", text) if "@" in text else text
        text = _ADDRESS.sub(" ", text)
    text = _without_identifiers(text, context.identity)
    text, kept_word = _without_names(text, context.identity)
    if not technical:
        text = _without_patterns(text, context, description)
    if text == before:
        return Cleaned(before, kept_word)
    for number, uid in enumerate(held):
        text = text.replace(f"\ue000{number}\ue001", uid)
    return Cleaned(_TIDY.sub(" ", text).strip(_EDGES), kept_word)


def is_spelled_out(text: str) -> bool:
    """Whether something in ``text`` may be initials or a name letter by letter, which only its person's names tell."""
    return _LETTERS.search(text) is not None or ("-" in text and _BROKEN.search(text) is not None)


def _without_patterns(text: str, context: Context, description: bool) -> str:
    text = _NAMED.sub(_label_alone, text)
    text = _TITLED.sub(" ", text)
    if any(character.isdigit() for character in text):
        if not context.keep_dates:
            text = _move_dates(text, context)
        text = _NHS.sub(lambda found: " " if found[2] or _valid_nhs(found[0]) else found[0], text)
        text = _LABELLED.sub(_unless_date, text)
        text = _TELEPHONE.sub(_unless_date, text)
        text = _POSTCODE.sub(" ", text)
        text = _STREET.sub(" ", text)
        if description:
            text = _LONG_NUMBER.sub(_unless_date, text)
            text = _AGED.sub(" ", text)
    return text


def _label_alone(found: re.Match[str]) -> str:
    """What follows a label goes, unless all of it is clinical (``Patient: supine``)."""
    words = {word.casefold() for word in _WORD.findall(re.split("[:=]", found[0], maxsplit=1)[1])}
    return found[0] if words <= clinical_words() else " "


def _unless_date(found: re.Match[str]) -> str:
    return found[0] if _ISO.search(found[0]) or _NUMERIC.search(found[0]) else " "


def _without_identifiers(text: str, identity: Identity) -> str:
    for identifier in identity.identifiers:
        text = _without(text, identifier, whole=True)
    for name in identity.joined:
        text = _without(text, name, whole=False)
    return text


def _without(text: str, wanted: str, *, whole: bool) -> str:
    low = folded(text)
    if wanted not in low:
        return text
    if len(low) != len(text):  # some letters have become two: what is left is in the folded spelling
        text = low
    spans = []
    at = low.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        gone = not whole or _apart(low, at, end, wanted)
        if gone:
            spans.append((at, end))
        at = low.find(wanted, end if gone else at + 1)
    return _cut_out(text, spans)


def _cut_out(text: str, spans: list[tuple[int, int]]) -> str:
    """``text`` with a space for each span."""
    pieces, before = [], 0
    for start, end in spans:
        pieces.append(text[before:start])
        before = end
    return " ".join([*pieces, text[before:]])


def _apart(folded: str, at: int, end: int, identifier: str) -> bool:
    """Whether an identifier stands by itself: ``1234`` in ``51234.5`` is another number."""
    before, after = folded[at - 1 : at], folded[end : end + 1]
    if identifier[0].isdigit() and (before.isdigit() or before == "."):
        return False
    if identifier[-1].isdigit() and after.isdigit():
        return False
    return len(identifier) > 6 or not (before.isalpha() or after.isalpha())


def _without_names(text: str, identity: Identity) -> tuple[str, bool]:
    if not identity.names and not identity.ambiguous:
        return text, False
    text = _LETTERS.sub(lambda found: _spelled_out(found, identity), text)
    text = _BROKEN.sub(lambda found: " " if folded(found[1] + found[2]) in identity.names else found[0], text)
    words = [(found.start(), found.end(), folded(found[0])) for found in _WORD.finditer(text)]
    gone = [_is_name(word, identity) for _, _, word in words]
    doubtful = [word in identity.ambiguous and not out for (_, _, word), out in zip(words, gone, strict=True)]
    named = [
        out or (doubt and _is_beside_a_name(text, words, number, gone, doubtful))
        for number, (out, doubt) in enumerate(zip(gone, doubtful, strict=True))
    ]
    kept_word = any(doubt and not out for doubt, out in zip(doubtful, named, strict=True))
    _with_title_and_initials(text, words, named, identity)
    spans = []
    for (start, end, word), out in zip(words, named, strict=True):
        if out:
            short = end - start == 1 or word in _HONORIFICS
            spans.append((start, end + (short and text[end : end + 1] == ".")))
    return _cut_out(text, spans), kept_word


def _spelled_out(found: re.Match[str], identity: Identity) -> str:
    """Initials with dots, and names with a space, a dot or a dash after each letter."""
    letters = folded(re.sub(r"[. _-]", "", found[0]))
    return " " if letters in identity.initials or letters in identity.names else found[0]


_Words = list[tuple[int, int, str]]


def _is_beside_a_name(text: str, words: _Words, number: int, gone: list[bool], doubtful: list[bool]) -> bool:
    near = [n for n in (number - 1, number + 1) if 0 <= n < len(words)]
    if any((gone[n] or doubtful[n]) and words[n][2] != words[number][2] for n in near):
        return True
    return number > 0 and words[number - 1][2] in _TITLES and text[words[number][0]].isupper()


def _with_title_and_initials(text: str, words: _Words, named: list[bool], identity: Identity) -> None:
    """Mark what belongs to a name that goes: the title before it, the initials around it."""
    initials = set("".join(identity.initials))
    for number in range(len(words) - 2, -1, -1):
        word = words[number][2]
        if named[number + 1] and (word in _HONORIFICS or (len(word) == 1 and word in initials)):
            named[number] = True
    for number in range(1, len(words)):
        word = words[number][2]
        between = text[words[number - 1][1] : words[number][0]]
        if named[number - 1] and len(word) == 1 and word in initials and between.strip(" ,^_.") == "":
            named[number] = True


def _is_name(word: str, identity: Identity) -> bool:
    if word in identity.names:
        return True
    bare = word.replace("'", "").replace("’", "").strip("0123456789")
    if bare in identity.names or (bare.endswith("s") and bare[:-1] in identity.names):
        return True
    return bare not in clinical_words() and any(len(name) >= 5 and name in bare for name in identity.names)


def _valid_nhs(number: str) -> bool:
    """Modulus 11 of the NHS number (NHS Data Dictionary)."""
    if len(set(number)) == 1:
        return False
    check = 11 - sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False)) % 11
    return check % 11 == int(number[9]) and check != 10


def _move_dates(text: str, context: Context) -> str:
    text = _ISO.sub(lambda found: _iso(found, context), text)
    text = _NUMERIC.sub(lambda found: _numeric(found, context), text)
    text = _MONTH_NUMBER.sub(lambda found: _month_number(found, context), text)
    text = _MONTH_ALONE.sub(lambda found: _month_alone(found, context), text)
    text = _YEAR_FIRST.sub(lambda found: _year_first(found, context), text)
    text = _WORDED.sub(lambda found: _worded(found, context), text)
    return _MONTH_FIRST.sub(lambda found: _month_first(found, context), text)


def _moved(year: str, month: int, day: int, context: Context) -> date | None:
    """The day on which a date lies after the move; ``date.min`` where it goes; None where there is no such day."""
    full = int(year) if len(year) == 4 else 2000 + int(year) - (100 if int(year) > 68 else 0)
    try:
        said = date(full, month, day)
        births = context.identity.births
        if context.days is None or said in births or (day <= 12 and date(full, day, month) in births):
            return date.min
        return said + timedelta(context.days)
    except (ValueError, OverflowError):
        return None


def _year(moved: date, like: str) -> str:
    return f"{moved.year:04}" if len(like) == 4 else f"{moved.year % 100:02}"


def _iso(found: re.Match[str], context: Context) -> str:
    moved = _moved(found[1], int(found[3]), int(found[4]), context)
    if moved is None:
        return found[0]
    return " " if moved == date.min else f"{moved.year:04}{found[2]}{moved.month:02}{found[2]}{moved.day:02}"


def _numeric(found: re.Match[str], context: Context) -> str:
    first, mark, second, year = found[1], found[2], found[3], found[4]
    if mark == "." and len(year) == 2 and (len(first) < 2 or len(second) < 2):
        return found[0]  # 1.5.10 is a version or a dose
    moved = _moved(year, int(second), int(first), context) if int(second) <= 12 else None
    if moved is not None:
        return (
            " "
            if moved == date.min
            else f"{moved.day:0{len(first)}}{mark}{moved.month:0{len(second)}}{mark}{_year(moved, year)}"
        )
    moved = _moved(year, int(first), int(second), context) if int(first) <= 12 else None
    if moved is None:
        return found[0]
    return (
        " "
        if moved == date.min
        else f"{moved.month:0{len(first)}}{mark}{moved.day:0{len(second)}}{mark}{_year(moved, year)}"
    )


def _month_name(moved: date, like: str) -> str:
    full = moved.strftime("%B")
    name = full if len(like) > 3 and like.casefold() != "sept" else full[:3]
    return name.upper() if like.isupper() else name.lower() if like.islower() else name


def _worded(found: re.Match[str], context: Context) -> str:
    if found[3].casefold() == "may" and not found[5] and (found[3] == "may" or "." in found[2]):
        return found[0]  # segment 4 may be a cyst; segment 4. May be a cyst
    year = found[5] or "2000"
    moved = _moved(year, _MONTHS[found[3].casefold()], int(found[1]), context)
    if moved is None:
        return found[0]
    if moved == date.min:
        return " "
    between = re.sub("st|nd|rd|th", "", found[2], flags=re.I)
    said = f"{moved.day}{between}{_month_name(moved, found[3])}"
    return f"{said}{found[4]}{_year(moved, found[5])}" if found[5] else f"{said}{found[4]}"


def _moved_month(year: str, month: int, context: Context) -> date:
    """As ``_moved``, of the month's middle; the month of a birth goes as the day does."""
    if any((birth.year, birth.month) == (int(year), month) for birth in context.identity.births):
        return date.min
    return _moved(year, month, 15, context) or date.min


def _month_number(found: re.Match[str], context: Context) -> str:
    moved = _moved_month(found[2], int(found[1]), context)
    return " " if moved == date.min else f"{moved.month:0{len(found[1])}}/{moved.year:04}"


def _month_alone(found: re.Match[str], context: Context) -> str:
    if found[1]:  # a day is before it
        return found[0]
    moved = _moved_month(found[4], _MONTHS[found[2].casefold()], context)
    return " " if moved == date.min else f"{_month_name(moved, found[2])}{found[3]}{moved.year:04}"


def _year_first(found: re.Match[str], context: Context) -> str:
    moved = _moved(found[1], _MONTHS[found[3].casefold()], int(found[5]), context)
    if moved is None:
        return found[0]
    said = f"{moved.year:04}{found[2]}{_month_name(moved, found[3])}{found[4]}{moved.day}"
    return " " if moved == date.min else said


def _month_first(found: re.Match[str], context: Context) -> str:
    moved = _moved(found[5], _MONTHS[found[1].casefold()], int(found[3]), context)
    if moved is None:
        return found[0]
    return " " if moved == date.min else f"{_month_name(moved, found[1])}{found[2]}{moved.day}{found[4]}{moved.year}"
