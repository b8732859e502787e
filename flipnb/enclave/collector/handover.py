"""What a load takes from the quarantine: studies that are whole, and the word of what became of them.

The files of a study are what an archive sent: hostile bytes, for a jailed parser alone, which also says whether they
are of the study, the series and the patient that were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flipnb.enclave.collector.quarantine import Quarantine
from flipnb.enclave.collector.states import State
from flipnb.enclave.collector.store import PullStore


@dataclass(frozen=True)
class RetrievedSeries:
    """The files of one series, as the archive had them."""

    series_uid: str
    modality: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class RetrievedStudy:
    """A study that is whole in the quarantine. ``patient`` is the number that the archive gives."""

    study: int
    study_uid: str
    accession: str
    patient: str
    series: tuple[RetrievedSeries, ...]


def retrieved(store: PullStore, quarantine: Quarantine) -> Iterator[RetrievedStudy]:
    """All studies that wait for their parser; one whose files are not there any more is failed, and told."""
    for study in store.in_state(State.RETRIEVED):
        series = tuple(
            RetrievedSeries(one.series_uid, one.modality, tuple(quarantine.files(study.study, one.number)))
            for one in store.series(study.study)
        )
        if sum(len(one.files) for one in series) != study.received:
            store.move(study.study, State.FAILED, "its files are not in the quarantine any more")
            continue
        yield RetrievedStudy(study.study, study.found_uid, study.accession, study.patient, series)


def hand_over(store: PullStore, quarantine: Quarantine, study: int, state: State, reason: str = "") -> None:
    """Say what became of a retrieved study: ``quarantined``, ``de-identified`` or ``failed``.

    Of one that is de-identified the original files are removed, after the store knows. Raises FlipError
    ``wrong-state``.
    """
    store.move(study, state, reason)
    if state is State.DEIDENTIFIED:
        quarantine.drop(study)
