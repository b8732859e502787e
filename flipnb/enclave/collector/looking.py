"""Which study of the archive is meant, and what it consists of: ambiguity is told, never guessed away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from flipnb.enclave.collector.asking import Asking
from flipnb.enclave.collector.pacs.answers import (
    UNSAID,
    Implausible,
    Question,
    SeriesAnswer,
    StudyAnswer,
    askable,
    wrong_patient,
)
from flipnb.enclave.collector.states import State
from flipnb.enclave.collector.store import Study
from flipnb.enclave.collector.watch import Watched

BATCH = 32
"""How many studies one question is about."""


@dataclass(frozen=True)
class Found:
    """A study as the archive has it now."""

    answer: StudyAnswer
    series: tuple[SeriesAnswer, ...]


@dataclass(frozen=True)
class Otherwise:
    """What became of a study that is not to be retrieved."""

    state: State
    reason: str


@dataclass
class _Heard:
    """What was answered to one question."""

    fitting: list[StudyAnswer] = field(default_factory=list)
    strange: int = 0
    implausible: str = ""

    def take(self, question: Question, answer: StudyAnswer | Implausible) -> None:
        if isinstance(answer, Implausible):
            self.implausible = str(answer)
        elif question.fits(answer):
            self.fitting.append(answer)
        else:
            self.strange += 1


def look_up(watched: Watched, pacs: Asking, studies: Sequence[Study]) -> dict[int, Found | Otherwise]:
    """Look for studies, by their number in the store. Raises Away, NotGiven, Stopped."""
    by_uid = _by_uid(watched, [one.study_uid for one in studies if one.study_uid])
    chosen: dict[int, StudyAnswer | Otherwise] = {}
    for one in studies:
        if one.study_uid:
            heard = by_uid.get(one.study_uid) or _ask(watched, Question(study_uids=(one.study_uid,)))
        elif askable(one.accession):
            heard = _ask(watched, Question(accession=one.accession))
        else:
            chosen[one.study] = Otherwise(State.REFUSED, "its accession number can't be asked for")
            continue
        chosen[one.study] = _choose(one, heard)
    found = [answer for answer in chosen.values() if isinstance(answer, StudyAnswer)]
    series = series_of(watched, list(dict.fromkeys(answer.study_uid for answer in found)))
    return {
        number: one if isinstance(one, Otherwise) else _whole(one, series[one.study_uid], pacs)
        for number, one in chosen.items()
    }


def series_of(watched: Watched, studies: Sequence[str]) -> dict[str, tuple[SeriesAnswer, ...] | Implausible]:
    """The series of each study; Implausible where one of them is. Asked together, and singly where that is unclear."""
    together: dict[str, list[SeriesAnswer]] = {study: [] for study in studies}
    clear = True
    for one in _series(watched, studies):
        if isinstance(one, Implausible) or one.study_uid not in together:
            clear = False
        else:
            together[one.study_uid].append(one)
    found = {study: _distinct(together[study]) if clear else _alone(watched, study) for study in studies}
    return {study: _counted(watched, one) for study, one in found.items()}


def _counted(
    watched: Watched, series: tuple[SeriesAnswer, ...] | Implausible
) -> tuple[SeriesAnswer, ...] | Implausible:
    """With the number of instances where the archive did not say it: counted one by one."""
    if isinstance(series, Implausible):
        return series
    counted = []
    for one in series:
        if one.instances != UNSAID:
            counted.append(one)
            continue
        uids = set()
        with watched.waiting():
            for uid in watched.archive.instances(one.study_uid, one.series_uid):
                watched.touch()
                if isinstance(uid, Implausible):
                    return uid
                uids.add(uid)
        counted.append(replace(one, instances=len(uids)))
    return tuple(counted)


def _by_uid(watched: Watched, uids: Sequence[str]) -> dict[str, _Heard]:
    """One question for many studies (PS3.4, C.2.2.2.2). What is not answered well here is asked singly by others."""
    heard = {uid: _Heard() for uid in uids}
    for start in range(0, len(uids), BATCH):
        some = tuple(uids[start : start + BATCH])
        with watched.waiting():
            for answer in watched.archive.studies(Question(study_uids=some)):
                watched.touch()
                if isinstance(answer, StudyAnswer) and answer.study_uid in heard:
                    heard[answer.study_uid].fitting.append(answer)
    return {uid: one for uid, one in heard.items() if one.fitting}


def _ask(watched: Watched, question: Question) -> _Heard:
    heard = _Heard()
    with watched.waiting():
        for answer in watched.archive.studies(question):
            watched.touch()
            heard.take(question, answer)
    return heard


def _choose(wanted: Study, heard: _Heard) -> StudyAnswer | Otherwise:
    if heard.fitting and heard.implausible:
        return Otherwise(State.REFUSED, f"one of the archive's answers is not taken: {heard.implausible}")
    uids = {answer.study_uid for answer in heard.fitting}
    if not uids:
        strange = f"; {heard.strange} of its answers were to other questions" if heard.strange else ""
        if heard.implausible:
            return Otherwise(State.REFUSED, f"the archive's answer is not taken: {heard.implausible}{strange}")
        return Otherwise(State.NOT_FOUND, f"the archive has no such study{strange}")
    if len(uids) > 1:
        return Otherwise(State.SEVERAL_FOUND, f"{len(uids)} studies have this accession number")
    if len({answer.patient for answer in heard.fitting}) > 1:
        return Otherwise(State.REFUSED, "the archive says that it is of two patients")
    if wrong_patient(heard.fitting[0], wanted.patients):
        return Otherwise(State.REFUSED, "the archive says that it is another patient's")
    return heard.fitting[0]


def _series(watched: Watched, studies: Sequence[str]) -> Iterable[SeriesAnswer | Implausible]:
    for start in range(0, len(studies), BATCH):
        with watched.waiting():
            for one in watched.archive.series(studies[start : start + BATCH]):
                watched.touch()
                yield one


def _alone(watched: Watched, study: str) -> tuple[SeriesAnswer, ...] | Implausible:
    found = []
    for one in _series(watched, [study]):
        if isinstance(one, Implausible):
            return one
        if one.study_uid != study:
            return Implausible("a series of it is answered as another study's")
        found.append(one)
    return _distinct(found)


def _distinct(series: Iterable[SeriesAnswer]) -> tuple[SeriesAnswer, ...] | Implausible:
    known: dict[str, SeriesAnswer] = {}
    for one in series:
        if known.setdefault(one.series_uid, one) != one:
            return Implausible("a series of it is answered twice, and not alike")
    return tuple(known.values())


def _whole(answer: StudyAnswer, series: tuple[SeriesAnswer, ...] | Implausible, pacs: Asking) -> Found | Otherwise:
    if isinstance(series, Implausible):
        return Otherwise(State.REFUSED, f"the archive's answer is not taken: {series}")
    if len(series) > pacs.most_series:
        return Otherwise(State.REFUSED, f"it has {len(series)} series; at most {pacs.most_series} are allowed")
    instances = sum(one.instances for one in series)
    if instances > pacs.most_instances:
        return Otherwise(State.REFUSED, f"it has {instances} instances; at most {pacs.most_instances} are allowed")
    if not instances:
        return Otherwise(State.FAILED, "it is empty: the archive knows of no instance of it")
    return Found(answer, tuple(one for one in series if one.instances))
