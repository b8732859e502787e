"""Which sessions a project's archive has, as one table that questions are answered from.

The table is asked for as a whole: filters of XNAT's own depend on its release, and on which types may be searched.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from flipnb.enclave.collector.pacs import answers
from flipnb.enclave.collector.pacs.answers import Implausible, Question, StudyAnswer
from flipnb.enclave.collector.xnat.site import NotThere, Row, Site, path_of

_COLUMNS = "ID,label,xsiType,subject_label,subject_ID,date,UID,dcmAccessionNumber"
_OLD_S = 60.0
"""After so long a table that lacks what is asked for is read anew."""


@dataclass(frozen=True)
class Session:
    """One session, in XNAT's words, not checked yet; ``id`` is XNAT's own, ``subject`` the subject's label."""

    id: str
    label: str
    subject: str
    date: str
    uid: str
    accession: str


class Sessions:
    """The sessions of ``project``, as one connection has seen them last."""

    def __init__(self, site: Site, project: str) -> None:
        self._site, self._project = site, project
        self._all: tuple[Session, ...] = ()
        self._read_at: float | None = None

    def answering(self, question: Question) -> list[StudyAnswer | Implausible]:
        """What fits the question. A study that two sessions hold is not to be believed: which is meant is not ours to
        guess. Raises Away, NotGiven."""
        self._look(again=False)
        found = self._fitting(question)
        if not found or not self._has_all(question):
            self._look(again=True)
            found = self._fitting(question)
        if not found and question.accession is not None:
            found = self._by_label(question.accession)
        held = Counter(one.uid for one in {one.id: one for one in (*self._all, *found)}.values())
        return [_answer(one, question, held[one.uid]) for one in found]

    def of_study(self, uid: str) -> Session | None:
        """The session of a study that was answered; None where there is none, or more than one."""
        self._look(again=False)
        found = [one for one in self._all if one.uid == uid]
        return found[0] if len(found) == 1 else None

    def _look(self, *, again: bool) -> None:
        if self._read_at is not None and not (again and time.monotonic() - self._read_at > _OLD_S):
            return
        path = path_of("data", "archive", "projects", self._project, "experiments")
        rows = self._site.rows(path, xsiType="xnat:imageSessionData", columns=_COLUMNS)
        self._all = tuple({row["id"]: _session(row) for row in rows if row.get("id")}.values())
        self._read_at = time.monotonic()

    def _has_all(self, question: Question) -> bool:
        return set(question.study_uids) <= {one.uid for one in self._all}

    def _fitting(self, question: Question) -> list[Session]:
        return [one for one in self._all if _fits(one, question)]

    def _by_label(self, label: str) -> list[Session]:
        """A session whose type may not be searched is in no listing, and is there by its label."""
        try:
            row = self._site.fields(path_of("data", "archive", "projects", self._project, "experiments", label))
            subject = row.get("subject_id", "")
            row["subject_label"] = self._site.fields(path_of("data", "archive", "subjects", subject)).get("label", "")
        except NotThere:
            return []
        found = _session(row)
        if found.label != label:
            return []
        self._all = (*self._all, found)
        return [found]


def _session(row: Row) -> Session:
    return Session(
        id=row.get("id", ""),
        label=row.get("label", ""),
        subject=row.get("subject_label", ""),
        date=row.get("date", ""),
        uid=row.get("uid", ""),
        accession=row.get("dcmaccessionnumber", ""),
    )


def _fits(one: Session, question: Question) -> bool:
    """By the subject's label; by accession number, or the session's label, which sites give the same; by UIDs; or by
    days alone, of which the answer is asked again."""
    if question.patient is not None:
        return one.subject == question.patient
    if question.accession is not None:
        return question.accession in (one.accession, one.label)
    return not question.study_uids or one.uid in question.study_uids


def _answer(one: Session, question: Question, held: int) -> StudyAnswer | Implausible:
    try:
        if held > 1:
            raise Implausible(f"{held} sessions of the project are this study")
        found = StudyAnswer(
            study_uid=answers.uid(one.uid, "StudyInstanceUID"),
            patient=answers.number(one.subject, "subject's label"),
            accession=question.accession or answers.number(one.accession, "accession number"),
            day=answers.day(one.date.replace("-", "")),
        )
    except Implausible as error:
        return error
    return found
