"""Headers first: which series there are of some people, requests or days, as a table that a load reads. No pixel moves.

The table is CSV with ``COLUMNS``: what a mapping's ``[[series]]`` reads, and each series' number of instances.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.looking import BATCH, series_of
from flipnb.enclave.collector.pacs.answers import Implausible, Question, StudyAnswer, askable, wrong_patient
from flipnb.enclave.collector.pacs.archive import NotGiven
from flipnb.enclave.collector.watch import Watched
from flipnb.files.whole import writing

COLUMNS = ("patient", "accession", "study_uid", "series_uid", "modality", "body_part", "study_date", "instances")
_MOST_DAYS = 36_600


@dataclass
class HeaderReport:
    """What was written, and what of the archive's answers was not, by reason."""

    studies: int = 0
    series: int = 0
    instances: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def questions(
    patients: Collection[str] = (),
    accessions: Collection[str] = (),
    since: date | None = None,
    until: date | None = None,
) -> Iterator[Question]:
    """A question for each patient or accession number, within the days; for days alone, one for each of them.

    Raises FlipError ``nothing-asked``, ``not-askable``, which names the number's place."""
    for what, numbers in (("patient", patients), ("accession number", accessions)):
        for place, one in enumerate(numbers, 1):
            if not askable(one):
                raise FlipError(
                    "not-askable",
                    f"The {what} on line {place} can't be asked for.",
                    remedy="It is empty, longer than 64 characters, or has a wildcard, a quote or a backslash.",
                )
    if patients:
        yield from (Question(patient=one, since=since, until=until) for one in patients)
    if accessions:
        yield from (Question(accession=one, since=since, until=until) for one in accessions)
    if patients or accessions:
        return
    if since is None or until is None or not 0 <= (until - since).days < _MOST_DAYS:
        raise FlipError(
            "nothing-asked",
            "Headers are asked for by patients, by accession numbers, or from one day until another.",
            remedy="Give one of them; a hundred years are the most.",
        )
    for number in range((until - since).days + 1):
        yield Question(since=since + timedelta(number), until=since + timedelta(number))


def write_headers(
    watched: Watched, asked: Sequence[Question], path: Path, patients: Collection[str] = (), *, most: int
) -> HeaderReport:
    """Ask, and write the table to ``path``, whole or not at all. Studies of nobody among ``patients``, where some are
    named, are left out and counted. Raises Away, NotGiven, Stopped; FlipError ``too-many-studies`` beyond ``most``."""
    report = HeaderReport()
    known: dict[str, str] = {}
    with writing(path, mode=0o600) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        spoiled = 0
        for question in asked:
            try:
                heard = _heard(watched, question)
            except NotGiven as error:
                spoiled += 1
                report.left_out[f"a question that the archive does not answer: {error}"] += 1
                if spoiled == len(asked):
                    raise
                continue
            answers = _taken(heard, question, patients, known, report)
            while batch := list(islice(answers, BATCH)):
                if report.studies + len(batch) > most:
                    raise FlipError("too-many-studies", f"The archive answers with more than {most} studies.")
                _write(watched, batch, rows, report)
    return report


def _heard(watched: Watched, question: Question) -> list[StudyAnswer | Implausible]:
    """All of an answer: it is bounded, and nothing else can be asked over the connection meanwhile."""
    with watched.waiting():
        answers = []
        for answer in watched.archive.studies(question):
            watched.touch()
            answers.append(answer)
    return answers


def _taken(
    heard: Sequence[StudyAnswer | Implausible],
    question: Question,
    patients: Collection[str],
    known: dict[str, str],
    report: HeaderReport,
) -> Iterator[StudyAnswer]:
    """What fits the question and was not there before."""
    for one in heard:
        if isinstance(one, Implausible):
            report.left_out[f"a study's answer is not taken: {one}"] += 1
        elif not question.fits(one):
            report.left_out["a study that was not asked for"] += 1
        elif wrong_patient(one, patients):
            report.left_out["a study of none of the patients named"] += 1
        elif one.study_uid not in known:
            known[one.study_uid] = one.patient
            yield one
        elif known[one.study_uid] != one.patient:
            report.left_out["a study of two patients"] += 1


def _write(watched: Watched, studies: Sequence[StudyAnswer], rows: Any, report: HeaderReport) -> None:
    distinct = {one.study_uid: one for one in studies}
    try:
        found = series_of(watched, list(distinct))
    except NotGiven:
        found = {uid: _one(watched, uid) for uid in distinct}
    for uid, series in found.items():
        study = distinct[uid]
        if isinstance(series, Implausible):
            report.left_out[f"a study's series are not taken: {series}"] += 1
            continue
        report.studies += 1
        for one in series:
            report.series += 1
            report.instances += one.instances
            day = study.day.isoformat() if study.day is not None else ""
            body = one.body_part
            rows.writerow([study.patient, study.accession, uid, one.series_uid, one.modality, body, day, one.instances])


def _one(watched: Watched, uid: str) -> Any:
    try:
        return series_of(watched, [uid])[uid]
    except NotGiven as error:
        return Implausible(str(error))
