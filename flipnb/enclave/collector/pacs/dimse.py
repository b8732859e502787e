"""An archive by DIMSE (PS3.4, annex C): C-FIND for headers; C-GET or C-MOVE for instances, written as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom import build_context, build_role

from flipnb.enclave.collector.configuration import Pacs
from flipnb.enclave.collector.pacs import answers
from flipnb.enclave.collector.pacs.answers import Implausible, Question, SeriesAnswer, StudyAnswer
from flipnb.enclave.collector.pacs.archive import Away, NotGiven
from flipnb.enclave.collector.pacs.associations import (
    AS_STORED,
    MOST_CONTEXTS,
    USUAL_CLASSES,
    Line,
    associate,
    storage_contexts,
)
from flipnb.enclave.collector.pacs.receiver import Receiver
from flipnb.enclave.collector.quarantine import Incoming

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
"""The study root query and retrieve models (PS3.4, section C.6.2)."""
_MOST_ANSWER_BYTES = 64 << 20
_MOST_CLASSES = 50
_CLASSES_AT_ONCE = MOST_CONTEXTS // len(AS_STORED)
_PENDING = (0xFF00, 0xFF01)
_IDLE_S = 10.0


class Dimse:
    """See ``Archive``."""

    def __init__(self, pacs: Pacs, folder: Path) -> None:
        self._pacs, self._folder = pacs, folder
        self._most_bytes = int(pacs.most_gigabytes * 1e9) + (1 << 20)
        self._asking: tuple[Any, Line] | None = None
        self._getting: tuple[Any, Line] | None = None
        self._classes: tuple[str, ...] = ()
        self._used = time.monotonic()
        self._incoming: Incoming | None = None
        self._numbers = count(1)
        self._receiver = Receiver.of(pacs, folder) if pacs.way == "c-move" else None

    def studies(self, question: Question) -> Iterator[StudyAnswer | Implausible]:
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = list(question.study_uids)
        asked.PatientID = question.patient or ""
        asked.AccessionNumber = question.accession or ""
        asked.StudyDate = _range(question)
        asked.NumberOfStudyRelatedInstances = None
        asked.SOPClassesInStudy = ""
        return self._find(asked, _study)

    def series(self, studies: Sequence[str]) -> Iterator[SeriesAnswer | Implausible]:
        # A list of studies at the level of series is relational (PS3.4, C.4.1.3), which not every archive answers:
        # those it leaves out are asked singly.
        answered: set[str] = set()
        for batch in [tuple(studies)] if len(studies) > 1 else []:
            try:
                for one in self._find(_of_series(batch), partial(_series, study=None)):
                    if isinstance(one, SeriesAnswer):
                        answered.add(one.study_uid)
                    yield one
            except NotGiven:
                answered = set()
        for study in studies:
            if study not in answered:
                yield from self._find(_of_series((study,)), partial(_series, study=study))

    def instances(self, study_uid: str, series_uid: str) -> Iterator[str | Implausible]:
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID, asked.SOPInstanceUID = study_uid, series_uid, ""
        return self._find(asked, lambda found: answers.uid(_text(found, "SOPInstanceUID"), "SOPInstanceUID"))

    def retrieve(self, study: StudyAnswer, series_uid: str, into: Incoming) -> None:
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES"
        asked.StudyInstanceUID = study.study_uid
        asked.SeriesInstanceUID = series_uid
        if self._receiver is None:
            self._get(asked, study.classes or USUAL_CLASSES, into)
        else:
            self._move(asked, into, self._receiver)
        if into.failed is not None:
            raise into.failed

    def close(self) -> None:
        for one in (self._asking, self._getting):
            if one is not None:
                one[1].hang_up()
        self._asking = self._getting = None

    def _broken(self) -> Away:
        for one in (self._asking, self._getting):
            if one is not None:
                one[1].drop()
        self._asking = self._getting = None
        return Away("it broke off")

    def _code(self, status: Dataset) -> int:
        """The status of an answer. Raises Away where none came."""
        if "Status" not in status:
            raise self._broken()
        self._used = time.monotonic()
        return int(status.Status)

    def _rested(self) -> None:
        """Let go of associations that lay idle: archives end them, and nothing of ours would hear of it."""
        if time.monotonic() - self._used > _IDLE_S:
            self.close()
        self._used = time.monotonic()

    def cut(self) -> None:
        for one in (self._asking, self._getting):
            if one is not None:
                one[1].cut()

    def _find(self, asked: Dataset, read: Callable[[Dataset], Any]) -> Iterator[Any]:
        if any(not str(value).isascii() for value in (asked.get("PatientID", ""), asked.get("AccessionNumber", ""))):
            asked.SpecificCharacterSet = "ISO_IR 192"
        self._rested()
        association, line = self._asked()
        line.allow(_MOST_ANSWER_BYTES)
        rows, over = 0, False
        try:
            for status, found in association.send_c_find(asked, FIND, msg_id=self._number()):
                code = self._code(status)
                over = code not in _PENDING
                if over and code:
                    raise NotGiven(f"it answers C-FIND with status 0x{code:04X}")
                if over:
                    continue
                rows += 1
                if rows > self._pacs.most_answers:
                    raise NotGiven(f"it answers with more than {self._pacs.most_answers} rows")
                yield _believed(found, read)
        finally:
            if not over:
                self._broken()  # what is still to come would be taken for the answer to the next question

    def _get(self, asked: Dataset, classes: Sequence[str], into: Incoming) -> None:
        self._rested()
        association, line = self._got(classes)
        line.allow(self._most_bytes)
        self._incoming = into
        try:
            for status, _ in association.send_c_get(asked, GET, msg_id=self._number()):
                code = self._code(status)
                if into.failed is not None:
                    self._broken()
                    raise into.failed
                if code not in _PENDING:
                    _require_given(code, status, "C-GET", _not_taken(association, classes))
        finally:
            self._incoming = None

    def _move(self, asked: Dataset, into: Incoming, receiver: Receiver) -> None:
        self._rested()
        association, line = self._asked()
        line.allow(_MOST_ANSWER_BYTES)
        with receiver.expecting(into) as number:
            for status, _ in association.send_c_move(asked, self._pacs.calling_aet, MOVE, msg_id=number):
                code = self._code(status)
                if code not in _PENDING:
                    _require_given(code, status, "C-MOVE", ())

    def _asked(self) -> tuple[Any, Line]:
        """The association for queries and C-MOVE, which retrieves nothing itself."""
        if self._asking is None or not self._asking[0].is_established:
            models = [FIND, MOVE] if self._receiver is not None else [FIND]
            self._asking = self._associated([build_context(model) for model in models], [])
        return self._asking

    def _got(self, classes: Sequence[str]) -> tuple[Any, Line]:
        """The association for C-GET, with contexts for these classes; those asked for before stay while there is room.

        128 contexts are the most of an association, and each class takes one for each transfer syntax.
        """
        if self._getting is not None and self._getting[0].is_established and {*classes} <= {*self._classes}:
            return self._getting
        if self._getting is not None and self._getting[0].is_established:
            self._getting[1].hang_up()
        kept = dict.fromkeys((*classes, *self._classes))
        self._classes = tuple(kept)[: max(_CLASSES_AT_ONCE, len(classes))]
        roles = [build_role(one, scp_role=True) for one in self._classes]
        self._getting = self._associated([build_context(GET), *storage_contexts(self._classes)], roles)
        return self._getting

    def _associated(self, contexts: list[Any], roles: list[Any]) -> tuple[Any, Line]:
        line = Line(lambda originator: self._incoming)
        line.allow(_MOST_ANSWER_BYTES)
        association = associate(self._pacs, self._folder, contexts, roles=roles, line=line)
        if not association.is_established:
            how = "rejects the association (AE titles?)" if association.is_rejected else "can't be reached"
            raise Away(f"{self._pacs.host}:{self._pacs.port} {how}")
        return association, line

    def _number(self) -> int:
        return next(self._numbers) % 65_535 + 1


def _require_given(code: int, status: Dataset, what: str, not_taken: Sequence[str]) -> None:
    """A warning is that some instances failed: their number tells. Raises NotGiven."""
    if code not in (0x0000, 0xB000):
        raise NotGiven(f"it answers {what} with status 0x{code:04X}")
    if not_taken and status.get("NumberOfFailedSuboperations"):
        raise NotGiven(f"it does not send instances of {', '.join(not_taken)[:200]}")


def _not_taken(association: Any, classes: Sequence[str]) -> list[str]:
    taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    return sorted({*classes} - taken)


def _of_series(studies: Sequence[str]) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID = list(studies)
    asked.SeriesInstanceUID = asked.Modality = asked.BodyPartExamined = ""
    asked.NumberOfSeriesRelatedInstances = None
    return asked


def _believed(found: Dataset | None, read: Callable[[Dataset], Any]) -> Any:
    if found is None:
        return Implausible("an answer can't be read")
    try:
        return read(found)
    except Implausible as error:
        return error
    except Exception as error:  # pydicom converts values when they are looked at, and what it raises is many things
        return Implausible(f"an answer can't be read ({type(error).__name__})")


def _study(found: Dataset) -> StudyAnswer:
    return answers.study_answer(partial(_text, found), _classes(found))


def _series(found: Dataset, study: str | None) -> SeriesAnswer:
    return answers.series_answer(partial(_text, found), study)


def _text(found: Dataset, keyword: str) -> str:
    value = found.get(keyword)
    if isinstance(value, MultiValue):
        raise Implausible(f"its {keyword} is not one value")
    return "" if value is None else str(value)


def _classes(found: Dataset) -> tuple[str, ...]:
    value = found.get("SOPClassesInStudy") or ()
    many = list(value) if isinstance(value, MultiValue | list) else [value] if value else []
    if len(many) > _MOST_CLASSES:
        raise Implausible(f"its SOPClassesInStudy names {len(many)} classes")
    return tuple(answers.uid(str(one), "SOPClassesInStudy") for one in many)


def _range(question: Question) -> str:
    if question.since is None and question.until is None:
        return ""
    since = question.since.strftime("%Y%m%d") if question.since else ""
    return f"{since}-{question.until.strftime('%Y%m%d') if question.until else ''}"
