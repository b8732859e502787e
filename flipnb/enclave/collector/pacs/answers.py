"""What an archive says about a study or a series, and how little of it is believed: bounded, checked, plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from flipnb.contracts.text import refused_character

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_MOST_CHARACTERS = 64
UNSAID = -1
"""NumberOfSeriesRelatedInstances is optional (PS3.4, table C.6-4): where it is not answered, instances are counted."""


class Implausible(Exception):
    """An answer that is not taken: what was wrong with it, without the value where that may be somebody's."""


@dataclass(frozen=True)
class StudyAnswer:
    """A study as the archive describes it. ``instances`` is 0 and ``classes`` empty where it does not say."""

    study_uid: str
    patient: str
    accession: str
    day: date | None
    instances: int = 0
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesAnswer:
    """A series as the archive describes it; ``instances`` is how many it has, UNSAID where it does not say."""

    study_uid: str
    series_uid: str
    modality: str
    body_part: str
    instances: int


@dataclass(frozen=True)
class Question:
    """Which studies: exactly one of the first three, or days alone; ``since`` and ``until`` are inclusive."""

    patient: str | None = None
    accession: str | None = None
    study_uids: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None

    def fits(self, answer: StudyAnswer) -> bool:
        """Whether an answer is one to this question at all."""
        return (
            (self.patient is None or answer.patient == self.patient)
            and (self.accession is None or answer.accession == self.accession)
            and (not self.study_uids or answer.study_uid in self.study_uids)
            and (self.since is None or (answer.day is not None and answer.day >= self.since))
            and (self.until is None or (answer.day is not None and answer.day <= self.until))
        )


Text = Callable[[str], str]
"""An answer's attribute as text, by its keyword in PS3.6; "" where there is none. Raises Implausible."""


def study_answer(text: Text, classes: tuple[str, ...] = ()) -> StudyAnswer:
    """What an answer about a study says, whichever way it came. Raises Implausible."""
    return StudyAnswer(
        study_uid=uid(text("StudyInstanceUID"), "StudyInstanceUID"),
        patient=number(text("PatientID"), "PatientID"),
        accession=number(text("AccessionNumber"), "AccessionNumber"),
        day=day(text("StudyDate")),
        instances=count(text("NumberOfStudyRelatedInstances"), "NumberOfStudyRelatedInstances"),
        classes=classes,
    )


def series_answer(text: Text, study: str | None) -> SeriesAnswer:
    """As ``study_answer``, about a series; ``study`` is the UID asked for, where the answer need not say it."""
    return SeriesAnswer(
        study_uid=uid(text("StudyInstanceUID") or (study or ""), "StudyInstanceUID"),
        series_uid=uid(text("SeriesInstanceUID"), "SeriesInstanceUID"),
        modality=code(text("Modality"), "Modality"),
        body_part=code(text("BodyPartExamined"), "BodyPartExamined"),
        instances=instances(text("NumberOfSeriesRelatedInstances")),
    )


def uid(text: str, what: str) -> str:
    """A UID by PS3.5, section 9.1. Raises Implausible."""
    if len(text) > 64 or not _UID.fullmatch(text):
        raise Implausible(f"its {what} is no UID")
    return text


def number(text: str, what: str) -> str:
    """A number of a patient or a request: at most 64 visible characters; "" where there is none.

    Bytes that were no text in the charset that was declared are U+FFFD here, and refused.
    """
    plain = text.strip(" \0")
    if len(plain) > _MOST_CHARACTERS or "�" in plain or "\\" in plain or refused_character(plain, multiline=False):
        raise Implausible(f"its {what} is no plain text of at most {_MOST_CHARACTERS} characters")
    return plain


def code(text: str, what: str) -> str:
    """A code string (CS), in capitals; "" where there is none. Raises Implausible."""
    plain = text.strip(" \0").upper()
    if plain and not _CODE.fullmatch(plain):
        raise Implausible(f"its {what} is no code of at most 16 capitals")
    return plain


def day(text: str) -> date | None:
    """A date (DA), also as ACR-NEMA wrote it; None where there is none. Raises Implausible."""
    plain = text.strip(" \0").replace(".", "")
    if not plain:
        return None
    try:
        if len(plain) != 8 or not plain.isdigit():
            raise ValueError
        return date(int(plain[:4]), int(plain[4:6]), int(plain[6:]))
    except ValueError:
        raise Implausible("its date is none") from None


def count(text: str, what: str) -> int:
    """A whole number (IS); 0 where there is none. Raises Implausible."""
    plain = text.strip(" \0")
    if not plain:
        return 0
    if len(plain) > 12 or not (plain.isascii() and plain.isdigit()):
        raise Implausible(f"its {what} is no whole number")
    return int(plain)


def instances(text: str) -> int:
    """How many instances a series has; UNSAID where the archive does not say. Raises Implausible."""
    return count(text, "NumberOfSeriesRelatedInstances") if text.strip(" \0") else UNSAID


def askable(text: str) -> bool:
    """Whether a number can be asked for as itself: no wildcard, no list, nothing empty or invisible (PS3.4, C.2.2)."""
    return (
        bool(text.strip())
        and len(text) <= _MOST_CHARACTERS
        and not set(text) & set('*?\\"')
        and (refused_character(text, multiline=False) is None)
    )


def wrong_patient(answer: StudyAnswer, patients: Collection[str]) -> bool:
    """Whether a study is of none of the people that it is wanted for; where nobody is named, it is taken."""
    return bool(patients) and answer.patient not in patients
