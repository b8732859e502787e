"""What becomes of an attribute under a policy: one step for each tag and VR, found once and remembered."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import NamedTuple

from flipnb.estate.imaging.deidentify.encoding import BIG, EXPLICIT, IMPLICIT, Encoding
from flipnb.estate.imaging.deidentify.policy import Policy
from flipnb.estate.imaging.deidentify.table import Row, safe_private, table
from flipnb.estate.imaging.deidentify.values import LONG, SHORT, STRINGS, TEXT


class Step(IntEnum):
    """What is done with one element. ``KEEP`` is 0, so that the walker's test is the cheapest there is."""

    KEEP = 0
    DROP = 1
    EMPTY = 2
    DUMMY = 3
    UID = 4
    DATE = 5
    AGE = 6
    TEXT = 7  # stays, unless there is something in it that must not
    DESCRIPTION = 8  # so, and dates and long numbers are looked for too
    PERSON = 9  # the person's pseudonym
    SEQUENCE = 10
    PRIVATE = 11
    PIXELS = 12
    CHARSET = 13
    FACT = 14  # stays, and is told
    END = 15  # an item's or a sequence's delimiter
    REFUSE = 16
    BINARY = 17  # goes if what names the person stands in it
    TIME = 18  # stays where it is a time of day and nothing more
    HOLLOW = 19  # a sequence that stays as a form: kinds, codes and references, without what was measured or drawn
    ZERO = 20  # as many zeros as there were values
    TERM = 21  # stays where it is the standard's own term, else a dummy


class Rule(NamedTuple):
    """``long``: the length has 32 bits after two reserved bytes. ``role``: whether the value tells who someone is."""

    tag: int
    long: bool
    step: Step
    vr: bytes
    role: str


ENCAPSULATED_DOCUMENT = 0x00420011
DIRECTORY = 0x00041220
PATIENT_ID = 0x00100020
_BIRTH_DATE = 0x00100030
# Addresses and institutions: each part between commas tells where somebody is
_PLACES = frozenset((0x00080080, 0x00080081, 0x00080092, 0x00101040, 0x00401102, 0x0040A353, 0x4008011A, 0x00380300))
TEXT_VALUE = 0x0040A160
DELIMITERS = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD)
ADDED = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))  # written anew
FACTS = frozenset((0x00080016, 0x00080060, 0x00200013, 0x00280008, 0x00280010, 0x00280011))
PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
# UIDs that name a kind of thing, a code or a vendor's class, never an instance
CLASS_UIDS = frozenset((
    0x00020002, 0x00020010, 0x00080016, 0x0008001A, 0x0008001B, 0x00080062, 0x0008010C, 0x00080117, 0x00080118,
    0x00081150, 0x0008115A, 0x00041510, 0x00041512, 0x0018100B, 0x04000010, 0x00721502,
))  # fmt: skip
# When a code's table was made: everybody knows it, and moved it would tell by how much everything moved. It stays,
# where dates stay or move.
_VERSIONS = frozenset((0x00080106, 0x00080107))
# A device's own days: moved by each of its patients' weeks, they would tell those apart, and one known day all of them
_DEVICE_DAYS = frozenset((
    0x0014407E, 0x00181200, 0x00181202, 0x00181203, 0x00181204, 0x00181205, 0x0018700C,
))  # fmt: skip
# Their items are walked, for every leaf has an action of its own
_WALKED = frozenset((0x0040A073, 0x00081111, 0x00081140, 0x00082112))
_CONTENT, _GRAPHICS = 0x0040A730, 0x00700001  # D: a report and drawings without items would be none
_REFERENCED_STUDY = 0x00081110
_ACQUISITION_CONTEXT = 0x00400555  # of type 2; of type 3 are the other sequences that may be removed
# What stands in a hollow sequence: codes, and what refers to something beside it or counts
_MEASURED = 0x0040A300  # of type 2: a number that is not told is no 0
_STANDING = frozenset((
    0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080105, 0x0008010B, 0x0008010F, 0x00080119, 0x00081160,
    0x0040DB73, 0x0062000B, 0x00700002, 0x00700020, 0x00700021,
))  # fmt: skip
GRAPHIC_LAYER = 0x00700002
# Not in Table E.1-1, and able to tell who someone is or where: the free text of a report, where pixels or files lie
_BEYOND = {0x00287FE0: Step.DROP, 0x00420010: Step.DROP, 0x00080001: Step.DROP}
# Removed rows whose text is a common word or number: what they say elsewhere is no sign of the person
_COMMON = frozenset((
    0x00102160, 0x00102150, 0x00102152, 0x001021F0, 0x00101080, 0x00101081, 0x00401004, 0x00400012, 0x00380050,
    0x00160078, 0x00160082, 0x0016004F, 0x00160050, 0x300A0216, 0x00203406, 0x00284000, 0x00880904, 0x00880912,
    0x00080201, 0x40040010, 0x00120021, 0x00120020, 0x00120050,
))  # fmt: skip
# Codes, versions and formats: numbers in them that look like dates or telephones are none
TECHNICAL = frozenset((
    0x00080100, 0x00080102, 0x00080103, 0x00080119, 0x00181016, 0x00181018, 0x00181019, 0x00181020, 0x00081090,
    0x00080070, 0x00080104,
))  # fmt: skip


_MOST_RULES = 20_000  # what a hostile file may fill


class Plan:
    """A policy's rules, by the encoding's name and an element's key in it: tag and VR, or the tag.

    A ``thorough`` plan has every string and every binary value of unknown content looked into, not text alone.
    ``hollow`` is the plan for what is in a hollow sequence; it has none itself.
    """

    def __init__(self, policy: Policy, *, thorough: bool = False, inside: bool = False) -> None:
        self.policy = policy
        self.hollow: Plan | None = None if inside else Plan(policy, thorough=thorough, inside=True)
        self.thorough = thorough
        self.private = dict(safe_private()) if policy.safe_private else {}
        self.private |= {(p.creator, p.group, p.element): p.vr for p in policy.private if policy.safe_private}
        self.creators = frozenset(creator for creator, _, _ in self.private)
        self.rules: dict[str, dict[bytes, Rule]] = {
            encoding.name: _Rules(self, encoding) for encoding in (EXPLICIT, IMPLICIT, BIG)
        }

    def rule(self, tag: int, vr: bytes) -> tuple[Step, str]:
        """Step and role of an attribute that is declared (or known) to have ``vr``."""
        step, role = self._rule(tag, vr)
        return (_hollowed(tag, vr, step) if self.hollow is None and tag not in self.policy.keep else step), role

    def _rule(self, tag: int, vr: bytes) -> tuple[Step, str]:
        own = self._own(tag, vr)
        if own is not None:
            return own, ""
        row = table().get(tag)
        meant = dictionary().get(tag, b"")
        if row is None and not meant:
            return Step.DROP, ""  # an attribute that nobody can name is not known to be safe
        if tag in self.policy.keep:
            return (Step.SEQUENCE if vr == b"SQ" else Step.KEEP), ""
        role = _role(row, meant or vr, vr)
        if tag in self.policy.remove:
            return Step.DROP, role
        if (
            meant in STRINGS and vr not in STRINGS and vr != b"SQ"
        ):  # a text that calls itself binary: nobody could read it
            return (Step.EMPTY if row is not None and row.action != "X" else Step.DROP), role
        if row is None:
            return self.by_vr(tag, vr), role
        step = self._listed(row, meant if vr in STRINGS and meant in STRINGS else vr)
        return step, "" if step in (Step.KEEP, Step.TEXT) else role

    def _own(self, tag: int, vr: bytes) -> Step | None:
        group = tag >> 16
        if tag in (ENCAPSULATED_DOCUMENT, DIRECTORY):
            return Step.REFUSE
        if tag & 0xFFFF == 0 or group in (0, 2) or tag in ADDED or group >> 8 in (0x50, 0x60):
            return Step.DROP
        if group & 1:
            return Step.PRIVATE if self.private else Step.DROP
        if tag in PIXELS:
            return Step.PIXELS
        if tag == 0x00080005:
            return Step.CHARSET
        if tag in FACTS and vr not in TEXT:  # declared as free text, it is looked through as that
            return Step.FACT
        if tag == TEXT_VALUE:
            return Step.DESCRIPTION if self.policy.structured_content == "clean" else Step.DUMMY
        return _BEYOND.get(tag)

    def by_vr(self, tag: int, vr: bytes) -> Step:
        """The step of an attribute that Table E.1-1 doesn't list, and of a private one that is known to be safe."""
        if vr in TEXT or (self.thorough and vr == b"CS"):
            return Step.TEXT
        if self.thorough and vr in (b"OB", b"UN"):
            return Step.BINARY
        if vr in (b"DA", b"DT", b"TM"):
            return self._date(vr)
        if vr == b"UI":
            return Step.KEEP if tag in CLASS_UIDS or self.policy.uids == "keep" else Step.UID
        if vr == b"AS":
            return Step.AGE if self.policy.patient_characteristics else Step.EMPTY
        return {b"SQ": Step.SEQUENCE, b"PN": Step.EMPTY, b"AE": Step.EMPTY, b"UR": Step.DROP}.get(vr, Step.KEEP)

    def _date(self, vr: bytes) -> Step:
        if self.policy.dates == "remove":
            return Step.EMPTY
        if vr == b"TM":
            return Step.TIME
        return Step.DATE if self.policy.dates == "shift" else Step.KEEP

    def _listed(self, row: Row, vr: bytes) -> Step:
        if row.tag in (PATIENT_ID, 0x00100010) and vr != b"SQ":
            return Step.PERSON
        if row.tag in _VERSIONS and self.policy.dates != "remove":
            return Step.KEEP
        for action in self._chosen(row):
            return self._cleaned(row, vr) if action == "C" else self._kept(row, vr)
        if vr == b"SQ":
            return self._listed_sequence(row)
        return {"X": Step.DROP, "Z": Step.EMPTY, "D": Step.DUMMY, "U": Step.UID}[row.action]

    def _listed_sequence(self, row: Row) -> Step:
        if row.tag in _WALKED or (self.policy.references and row.tag == _REFERENCED_STUDY):
            return Step.SEQUENCE
        if row.tag == _GRAPHICS and self.policy.descriptors == "clean":
            return Step.SEQUENCE
        if row.tag in (_CONTENT, _GRAPHICS):
            return Step.HOLLOW
        return Step.DROP if "X" in row.basic and row.tag != _ACQUISITION_CONTEXT else Step.EMPTY

    def _chosen(self, row: Row) -> list[str]:
        """What the policy's options say of the row; ``K`` before ``C``, for what may be kept need not be cleaned."""
        policy = self.policy
        chosen = {
            "uids": policy.uids == "keep",
            "device": policy.device,
            "institution": policy.institution,
            "patient_characteristics": policy.patient_characteristics,
            "full_dates": policy.dates == "keep",
            "modified_dates": policy.dates == "shift",
            "descriptors": policy.descriptors == "clean",
            "structured_content": policy.structured_content == "clean",
        }
        if "modified_dates" in row.options:
            chosen["device"] = False  # a device's date tells when somebody was there as any other does
            chosen["modified_dates"] &= row.tag not in _DEVICE_DAYS
        return sorted((action for option, action in row.options.items() if chosen.get(option)), reverse=True)

    def _kept(self, row: Row, vr: bytes) -> Step:
        if vr == b"AS":
            return Step.AGE
        if vr == b"TM":
            return Step.TIME
        if vr in TEXT:
            return Step.TEXT
        return Step.SEQUENCE if vr == b"SQ" else Step.KEEP

    def _cleaned(self, row: Row, vr: bytes) -> Step:
        if vr in (b"DA", b"DT", b"TM"):
            return self._date(vr)
        if vr in TEXT:
            return Step.DESCRIPTION
        if vr in (b"SQ", b"CS", b"DS", b"IS", b"US", b"AE"):
            return Step.SEQUENCE if vr == b"SQ" else Step.KEEP
        return Step.DROP


class _Rules(dict[bytes, Rule]):
    def __init__(self, plan: Plan, encoding: Encoding) -> None:
        super().__init__()
        self._plan = plan
        self._encoding = encoding

    def __missing__(self, key: bytes) -> Rule:
        tag = self._encoding.tag(key)
        rule = self._explicit(tag, key[4:]) if self._encoding.explicit else self._implicit(tag)
        if len(self) < _MOST_RULES:
            self[key] = rule
        return rule

    def _explicit(self, tag: int, vr: bytes) -> Rule:
        if tag in DELIMITERS:
            return Rule(tag, False, Step.END, b"", "")
        if (vr not in SHORT and vr not in LONG) or tag == 0:
            return Rule(tag, True, Step.REFUSE, vr, "vr")
        step, role = self._plan.rule(tag, dictionary().get(tag, b"UN") if vr == b"UN" else vr)
        return Rule(tag, vr in LONG, step, vr, role)

    def _implicit(self, tag: int) -> Rule:
        vr = dictionary().get(tag, b"UN")
        if tag in DELIMITERS or tag == 0:
            return Rule(tag, False, Step.END if tag else Step.REFUSE, vr, "")
        step, role = self._plan.rule(tag, vr)
        return Rule(tag, False, step, vr, role)


def _hollowed(tag: int, vr: bytes, step: Step) -> Step:
    """A step as it is inside a hollow sequence: what would stay, and is neither code nor reference, says nothing."""
    if tag == _MEASURED:
        return Step.EMPTY
    stays = tag in _STANDING or tag in CLASS_UIDS or vr in (b"UI", b"DA", b"DT", b"TM", b"AS")
    if stays or step not in (Step.KEEP, Step.TEXT, Step.DESCRIPTION, Step.BINARY):
        return step
    if vr == b"CS":
        return Step.TERM
    return Step.DUMMY if vr in STRINGS and vr not in (b"DS", b"IS") else Step.ZERO


def has_dummy(tag: int) -> bool:
    """Whether the table has a dummy in place of an attribute's value, for some object must have one (type 1)."""
    row = table().get(tag)
    return row is not None and "D" in row.basic


def _role(row: Row | None, meant: bytes, vr: bytes) -> str:
    if b"PN" in (meant, vr):
        return "name"
    if row is not None and row.tag == _BIRTH_DATE:
        return "birth"
    if row is not None and row.tag in _PLACES:
        return "place"
    if row is None or row.describes or row.tag in _COMMON or meant not in TEXT:
        return ""
    return "identifier"


@cache
def dictionary() -> dict[int, bytes]:
    """VR by tag of PS3.6, as pydicom has it; where the standard leaves two open, the one that does not matter here."""
    from pydicom._dicom_dict import DicomDictionary

    return {tag: entry[0][:2].encode() for tag, entry in DicomDictionary.items()}
