"""A pull: looks for studies, retrieves them over several connections, and keeps on disk what became of each.

It may be killed at any moment: what is whole in the quarantine and noted in the store stays, the rest is asked for
again. A study that goes wrong is named and passed by; a full disk or an archive that is away ends the pull where it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flipnb.contracts.disk import CODE as DISK_FULL
from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import AnyArchive
from flipnb.enclave.collector.looking import BATCH, Found, look_up
from flipnb.enclave.collector.pace import Pace, is_open, opens_at
from flipnb.enclave.collector.pacs.answers import StudyAnswer
from flipnb.enclave.collector.pacs.archive import Archive, Away, NotGiven, connected
from flipnb.enclave.collector.quarantine import DiskFull, Incoming, Quarantine, Refused, Stopped
from flipnb.enclave.collector.states import PullState, State
from flipnb.enclave.collector.store import PullStore, Series, Study
from flipnb.enclave.collector.watch import Watched

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.25
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_GROUP, _GROUP_BYTES, _GROUP_S = 16, 64 << 20, 1.0
"""Studies that are synced and noted together, or fewer: after so many bytes, and so many seconds."""
_GIVES_UP_AFTER = 4
"""How many times its patience an archive may be away."""


@dataclass(frozen=True)
class _Kept:
    """What is in the folder of a series, neither synced nor noted yet."""

    number: int
    received: int
    bytes: int


@dataclass
class _Try:
    """An attempt at a study: what came, and what it is to be; by the counts, where that is not said."""

    study: int
    kept: list[_Kept] = field(default_factory=list)
    state: State | None = None
    reason: str = ""


class Puller:
    """One pull at work. ``stop`` may be called from any thread, a signal's handler, too."""

    def __init__(
        self,
        store: PullStore,
        quarantine: Quarantine,
        pacs: AnyArchive,
        folder: Path,
        pull: int,
        *,
        connect: Callable[[AnyArchive, Path], Archive] = connected,
    ) -> None:
        self._store, self._quarantine, self._pacs, self._pull = store, quarantine, pacs, pull
        self._workers = [Watched(connect(pacs, folder), pacs.patience_s) for _ in range(pacs.connections)]
        self._pace = Pace(pacs.studies_per_minute, pacs.megabytes_per_second * 1e6, wait=self._sleep)
        self._claiming = threading.Lock()
        self._claimed: set[int] = set()
        self._stopping = threading.Event()
        self._ended: tuple[PullState, str] | None = None
        self._answered = time.monotonic()

    def stop(self) -> None:
        """End after what is being written; all that is whole stays."""
        self._end(PullState.STOPPED, "")

    def run(self) -> PullState:
        """Work until nothing is left to do, or something ends it. Raises FlipError ``unknown-pull``."""
        self._store.pull(self._pull)
        self._store.recover()
        self._quarantine.sweep()
        self._store.set_pull(self._pull, PullState.RUNNING)
        threads = [
            threading.Thread(target=self._work, args=(watched,), name=f"connection-{number}", daemon=True)
            for number, watched in enumerate(self._workers)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(_LOOK_S)
            for watched in self._workers:
                watched.look()
            if not self._stopping.is_set() and self._store.is_to_stop(self._pull):
                self.stop()
        state, reason = self._ended or (PullState.DONE, "")
        self._store.set_pull(self._pull, state, reason)
        return state

    def _end(self, state: PullState, reason: str) -> None:
        if self._ended is None:
            self._ended = state, reason
        self._stopping.set()
        for watched in self._workers:
            watched.stop()

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _work(self, watched: Watched) -> None:
        pause = _SHORTEST_PAUSE_S
        try:
            while True:
                self._wait_for_hours()
                if not (batch := self._claim()):
                    return
                try:
                    self._batch(watched, batch)
                    pause = _SHORTEST_PAUSE_S
                    self._answered = time.monotonic()
                except Away as error:
                    self._wait_for_archive(pause, str(error))
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
                finally:
                    self._store.give_back([study.study for study in batch])
                    with self._claiming:
                        self._claimed -= {study.study for study in batch}
        except Stopped:
            return
        except DiskFull:
            self._end(PullState.DISK_FULL, "Make room, and start it again: it goes on where it was.")
        except FlipError as error:
            full = error.code == DISK_FULL
            self._end(PullState.DISK_FULL if full else PullState.STOPPED, str(error))
        except Exception as error:
            _LOG.exception("a connection ended")
            self._end(PullState.STOPPED, f"{type(error).__name__}: the collector's log says more.")
        finally:
            watched.archive.close()

    def _claim(self) -> list[Study]:
        with self._claiming:
            batch = self._store.claim(self._pull, BATCH, self._claimed)
            self._claimed |= {study.study for study in batch}
        return batch

    def _wait_for_hours(self) -> None:
        waited = False
        while not is_open(self._pacs.hours, now := datetime.now()):
            if not waited:
                at = opens_at(self._pacs.hours, now)
                self._store.set_pull(self._pull, PullState.WAITING, f"until {at:%Y-%m-%d %H:%M}")
            waited = True
            self._sleep(_LOOK_S)
        if waited:
            self._store.set_pull(self._pull, PullState.RUNNING)
        if self._stopping.is_set():
            raise Stopped

    def _wait_for_archive(self, pause: float, why: str) -> None:
        away_s = time.monotonic() - self._answered
        if away_s > _GIVES_UP_AFTER * self._pacs.patience_s:
            self._end(PullState.AWAY, why)
            raise Stopped
        _LOG.warning("the archive is away", extra={"reason": why})
        self._store.set_pull(self._pull, PullState.AWAY, why)
        self._sleep(pause)
        self._store.set_pull(self._pull, PullState.RUNNING)

    def _batch(self, watched: Watched, batch: list[Study]) -> None:
        """Raises Away, Stopped, DiskFull."""
        found = self._look(watched, batch)
        for start in range(0, len(found), _GROUP):
            self._group(watched, found[start : start + _GROUP])

    def _group(self, watched: Watched, studies: list[Study]) -> None:
        """Retrieve some studies; what came is synced and noted together, for each sync and commit takes its time.

        Those whose turn does not come are let off. Raises Away, Stopped, DiskFull.
        """
        self._store.begin_retrieving([study.study for study in studies])
        tried: list[_Try] = []
        since = time.monotonic()
        left = [study.study for study in studies]
        try:
            for study in studies:
                self._wait_for_hours()
                self._pace.study()
                self._require_room()
                tried.append(one := _Try(study.study))
                left.remove(study.study)
                try:
                    self._retrieve(watched, study, one)
                except (Away, Stopped, DiskFull, FlipError):
                    raise
                except Exception as error:
                    _LOG.exception("a study failed", extra={"study": study.study})
                    watched.archive.close()
                    one.state, one.reason = State.FAILED, f"the collector failed ({type(error).__name__})"
                size = sum(kept.bytes for one in tried for kept in one.kept)
                if size > _GROUP_BYTES or time.monotonic() - since > _GROUP_S:
                    self._settle(tried)
                    since = time.monotonic()
        finally:
            self._store.let_off(left)
            self._settle(tried)

    def _settle(self, tried: list[_Try]) -> None:
        """What attempts came to, noted when it is on disk. Raises DiskFull, and then nobody is to blame."""
        try:
            self._quarantine.sync(self._quarantine.series(one.study, kept.number) for one in tried for kept in one.kept)
        except BaseException:
            self._store.let_off([one.study for one in tried])
            tried.clear()
            raise
        with self._store.together():
            for one in tried:
                for kept in one.kept:
                    self._store.series_received(one.study, kept.number, kept.received, kept.bytes)
                if one.state == State.WANTED:
                    self._store.let_off([one.study])
                elif one.state is not None:
                    self._store.move(one.study, one.state, one.reason)
                else:
                    self._judge(one.study, one.reason)
        tried.clear()

    def _look(self, watched: Watched, batch: list[Study]) -> list[Study]:
        """Those of a batch that are to be retrieved. What spoils a question for many is looked for singly."""
        try:
            looked = look_up(watched, self._pacs, batch)
        except NotGiven as error:
            if len(batch) > 1:
                return [found for study in batch for found in self._look(watched, [study])]
            with self._store.together():
                self._spoiled(batch[0], str(error))
            return []
        with self._store.together():
            for number, what in looked.items():
                if isinstance(what, Found):
                    self._store.found(number, what.answer, what.series)
                else:
                    self._store.move(number, what.state, what.reason)
        return [self._store.study(number) for number, what in looked.items() if isinstance(what, Found)]

    def _spoiled(self, study: Study, reason: str) -> None:
        """The archive answers other questions, and not that about this study."""
        self._store.move(study.study, State.FAILED, f"the archive can't be asked for it: {reason}")

    def _retrieve(self, watched: Watched, study: Study, one: _Try) -> None:
        """What of it is kept, and what is to be said, in ``one``. Raises Away, Stopped, DiskFull."""
        answer = StudyAnswer(study.found_uid, study.patient, study.accession, None, classes=study.classes)
        try:
            for series in self._store.series(study.study):
                if not series.whole:
                    try:
                        self._series(watched, study, answer, series, one.kept)
                    except NotGiven as error:
                        one.reason = str(error)
        except Refused as error:
            self._quarantine.drop(study.study)
            one.kept = [_Kept(series.number, 0, 0) for series in self._store.series(study.study)]
            one.state, one.reason = State.REFUSED, str(error)
        except (Stopped, DiskFull):
            one.state = State.WANTED
            raise
        except Away as error:
            one.reason = str(error)
            raise

    def _series(self, watched: Watched, study: Study, answer: StudyAnswer, series: Series, kept: list[_Kept]) -> None:
        """Raises NotGiven, Refused, Away, Stopped, DiskFull; what was kept of it is in ``kept`` all the same."""
        place = self._quarantine.series(study.study, series.number)
        most = int(self._pacs.most_gigabytes * 1e9) - study.bytes - sum(one.bytes for one in kept)
        with Incoming(place, most_bytes=most, most_files=self._pacs.most_instances, check=self._pace.bytes) as incoming:
            try:
                with watched.waiting(incoming):
                    watched.archive.retrieve(answer, series.series_uid, incoming)
            finally:
                # Of what broke off, too: it is part of an answer, and the next attempt may bring less.
                if incoming.received > series.received and incoming.failed is None:
                    incoming.keep()
                    kept.append(_Kept(series.number, incoming.received, incoming.bytes))

    def _judge(self, number: int, reason: str) -> None:
        """Whole, once more, or as much as there is."""
        study, series = self._store.study(number), self._store.series(number)
        if all(one.whole for one in series) and study.received >= study.expected:
            self._store.move(number, State.RETRIEVED)
            return
        lacking = sum(not one.whole for one in series)
        said = f"{study.received} of {study.expected} instances, {lacking} of {len(series)} series not whole"
        told = f"{said}: {reason}" if reason else said
        if study.attempts < self._pacs.attempts:
            self._store.move(number, State.WANTED, told)
        else:
            self._store.move(number, State.PARTIAL if study.received else State.FAILED, told)

    def _require_room(self) -> None:
        if self._quarantine.free_bytes() < self._pacs.keep_free_gigabytes * 1e9:
            raise DiskFull
