"""What must be true of a file after de-identification: MIDI-B's ten actions, as data.

The actions are those of the validation script of the MIDI-B challenge (CBIIT): each names a place in a file and, if it
has one, the text. A place is a path of tags, ``00081140[0].00081155``; a private element is named by its creator,
``0019{SIEMENS MR HEADER}0C``, so that it is found wherever its block lies; ``*`` is the whole file, in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

BASIC, RESEARCH = "basic", "research"
POLICIES = (BASIC, RESEARCH)
KEY = "answer_key.json"
ANYWHERE = "*"


class Action(StrEnum):
    TAG_RETAINED = "tag_retained"
    TEXT_NOTNULL = "text_notnull"
    TEXT_RETAINED = "text_retained"
    TEXT_REMOVED = "text_removed"
    DATE_SHIFTED = "date_shifted"
    UID_CHANGED = "uid_changed"
    UID_CONSISTENT = "uid_consistent"
    PATID_CONSISTENT = "patid_consistent"
    PIXELS_HIDDEN = "pixels_hidden"
    PIXELS_RETAINED = "pixels_retained"


REMOVALS = frozenset({Action.TEXT_REMOVED, Action.DATE_SHIFTED, Action.UID_CHANGED, Action.PIXELS_HIDDEN})
"""What protects a person: a file that is not released has passed these, and none may fail in one that is."""


class Fate(StrEnum):
    """What may become of a file: an answer that asks for something retained is put to released files alone."""

    RELEASED = "released"
    HELD = "held"
    ANY = "any"


@dataclass(frozen=True)
class Answer:
    """``text``: what was there; for pixels_retained their SHA-256, for pixels_hidden ``frame x0 y0 x1 y1``."""

    action: Action
    where: str
    text: str = ""
    policies: tuple[str, ...] = POLICIES


@dataclass
class CaseFile:
    """One file, what is asked of it, and by policy whether it may be released."""

    name: str
    data: bytes
    answers: list[Answer] = field(default_factory=list)
    fate: dict[str, Fate] = field(default_factory=lambda: dict.fromkeys(POLICIES, Fate.RELEASED))

    def held(self, fate: Fate = Fate.HELD) -> CaseFile:
        self.fate = dict.fromkeys(POLICIES, fate)
        return self

    def add(self, action: Action, where: str, text: str = "", *, only: str | None = None) -> CaseFile:
        self.answers.append(Answer(action, where, text, (only,) if only else POLICIES))
        return self

    def gone(self, *texts: str, where: str = ANYWHERE, only: str | None = None) -> CaseFile:
        for text in texts:
            self.add(Action.TEXT_REMOVED, where, text, only=only)
        return self

    def kept(self, where: str, *texts: str, only: str | None = None) -> CaseFile:
        for text in texts:
            self.add(Action.TEXT_RETAINED, where, text, only=only)
        return self


def write(cases: Iterable[CaseFile], folder: Path) -> dict[str, CaseFile]:
    """The files and ``answer_key.json`` beside the folder; returns the cases by name. Two of one name: ValueError."""
    written: dict[str, CaseFile] = {}
    for case in cases:
        if case.name in written:
            raise ValueError(f"two cases are named {case.name}")
        written[case.name] = case
        path = folder / case.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.data)
    told = {
        name: {"fate": case.fate, "answers": [asdict(answer) for answer in case.answers]}
        for name, case in written.items()
    }
    (folder.parent / f"{folder.name}.{KEY}").write_text(json.dumps(told, indent=1, ensure_ascii=False))
    return written


def read(path: Path) -> dict[str, CaseFile]:
    """The key of ``write``, without the files' bytes."""
    return {
        name: CaseFile(
            name,
            b"",
            [Answer(Action(a["action"]), a["where"], a["text"], tuple(a["policies"])) for a in told["answers"]],
            {policy: Fate(fate) for policy, fate in told["fate"].items()},
        )
        for name, told in json.loads(path.read_text()).items()
    }
