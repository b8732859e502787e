"""Which runs start now: those that wait for slots, in one order, each at once where every Trust of it has a free one.

No Trust holds a slot for a run that another has not yet accepted to start. A run whose Trusts have free slots asks them
to accept; while they answer, their slots are set aside here, not at the Trusts. One that lacks a slot somewhere keeps
its place: none behind it takes the slots that it waits for. One that lacks a Trust (its agent is away, or does not
answer) keeps nobody.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from flipnb.contracts.run import GOING_TRUST_STATES, SLOT_RELEASED
from flipnb.contracts.task import AcceptTask, StartTask
from flipnb.hub.bundles import terms_of
from flipnb.hub.configuration import HubConfiguration
from flipnb.hub.presence import Presence
from flipnb.hub.run_life import UNDECIDED, WILLING, become_part, leave_out
from flipnb.hub.runs import become, parts_of_all, tell_part
from flipnb.hub.store.tables import PartRow, RunRow, TaskRow
from flipnb.hub.tasks import ask

ACCEPT_SECONDS = 60.0
"""How long a Trust whose agent is there may take to accept; a busy one answers within seconds."""
SILENT = "silent"
"""The code of a part that has not answered for longer than that, without which there are too few."""
_AT_ONCE = 50


class RunQueue:
    """One hub's. Its methods work within the caller's transaction."""

    def __init__(self, configuration: HubConfiguration, presence: Presence) -> None:
        self._configuration, self._presence = configuration, presence

    def start_what_can(self, session: Session) -> None:
        """Take every step that follows from who is there, what is free and who has accepted."""
        queued = select(RunRow.id).where(RunRow.state == "queued")
        runs = session.scalars(queued.order_by(RunRow.quorum, RunRow.submitted, RunRow.id)).all()
        if not runs:
            return
        slots, asked = _Slots(self._presence, _taken(session)), _asked(session)
        # First of all: a run that comes back into the line before them takes nothing from those that are being asked.
        silent = _silent(session, asked)
        slots.set_aside(task.trust for run, tasks in asked.items() if run not in silent for task in tasks)
        for first in range(0, len(runs), _AT_ONCE):
            if first and slots.all_taken:
                return
            some = _rows(session, runs[first : first + _AT_ONCE])
            parts = parts_of_all(session, [run.id for run in some])
            for run in some:
                minimum = terms_of(session, run.bundle).minimum_trusts
                patience = self._configuration.gather_seconds
                _Waiting(
                    session,
                    self._presence,
                    slots,
                    run,
                    parts[run.id],
                    asked.get(run.id, ()),
                    minimum,
                    patience,
                    silent=run.id in silent,
                ).step()


def _taken(session: Session) -> Counter[str]:
    """Slots in use by Trust: parts that were started and are not over, but for those that gave theirs back."""
    going_on = select(PartRow.trust).where(
        PartRow.member,
        PartRow.state.in_(GOING_TRUST_STATES),
        or_(PartRow.state != "queued", PartRow.code.is_(None), PartRow.code != SLOT_RELEASED),
    )
    return Counter(session.scalars(going_on))


def _rows(session: Session, runs: Sequence[str]) -> list[RunRow]:
    """The rows of the runs with these ids, in their order."""
    rows = {run.id: run for run in session.scalars(select(RunRow).where(RunRow.id.in_(runs)))}
    return [rows[run] for run in runs]


def _asked(session: Session) -> Mapping[str, list[TaskRow]]:
    """What the Trusts of each run of the line were asked to accept and have not been asked anew, the first asked
    first."""
    found: defaultdict[str, list[TaskRow]] = defaultdict(list)
    line = select(RunRow.id).where(RunRow.state == "queued")
    tasks = select(TaskRow).where(TaskRow.run.in_(line), TaskRow.kind == "accept", TaskRow.state != "void")
    for task in session.scalars(tasks.order_by(TaskRow.created)):
        found[task.run or ""].append(task)
    return found


def _silent(session: Session, runs: Iterable[str]) -> set[str]:
    """Those of the runs that wait, without anybody's slots, for a Trust's answer."""
    silent = select(PartRow.run).where(PartRow.run.in_(runs), PartRow.state.in_(WILLING), PartRow.code == SILENT)
    return set(session.scalars(silent))


class _Slots:
    """What is in use or set aside at each Trust."""

    def __init__(self, presence: Presence, taken: Counter[str]) -> None:
        self._presence, self._taken = presence, taken

    def full(self, trust: str) -> bool:
        return self._taken[trust] >= self._presence.slots(trust)

    @property
    def all_taken(self) -> bool:
        """Whether no Trust that is there has a free one."""
        return all(self.full(trust) for trust in self._presence.there)

    def set_aside(self, trusts: Iterable[str]) -> None:
        self._taken.update(trusts)

    def give_back(self, trusts: Iterable[str]) -> None:
        """What was set aside for as many."""
        self._taken.subtract(trusts)


class _Waiting:
    """One run of the line, with its parts and with the tasks by which its Trusts were asked to accept."""

    def __init__(
        self,
        session: Session,
        presence: Presence,
        slots: _Slots,
        run: RunRow,
        parts: Sequence[PartRow],
        asked: Sequence[TaskRow],
        minimum: int,
        patience: float,
        *,
        silent: bool,
    ) -> None:
        self._session, self._presence, self._slots, self._run = session, presence, slots, run
        self._parts, self._asked, self._minimum, self._patience = parts, asked, minimum, patience
        self._silent = silent
        self._willing = [part for part in parts if part.state in WILLING]

    def step(self) -> None:
        if not self._asked:
            self._ask()
            return
        unanswered = {task.trust for task in self._asked if task.state == "open"}
        owing = [part for part in self._willing if part.trust in unanswered]
        if self._silent:
            if len(self._willing) - len(owing) >= self._minimum:
                self._forget(self._asked)
                self._ask()
            return
        if owing and time.time() - max(self._asked[0].created, self._presence.since) < ACCEPT_SECONDS:
            return
        self._slots.give_back(task.trust for task in self._asked)
        took = {task.trust for task in self._asked if task.state == "answered" and task.code is None}
        accepted = [part for part in self._willing if part.trust in took]
        if owing and len(accepted) < self._minimum:
            self._forget(task for task in self._asked if task.state != "open")
            for part in self._willing:
                lacking = part in owing
                self._wait(part, SILENT if lacking else "others", _SILENT if lacking else _OTHERS)
            return
        self._forget(self._asked)
        if len(accepted) >= self._minimum:
            self._start(accepted)
        else:
            self._ask()

    def _forget(self, tasks: Iterable[TaskRow]) -> None:
        """What they were asked, and have said: it holds no longer."""
        for task in tasks:
            task.state = "void"

    def _ask(self) -> None:
        there = [part for part in self._willing if self._presence.online(part.trust)]
        away = [part for part in self._willing if part not in there]
        if away and (len(there) < self._minimum or not all(self._long_away(part) for part in away)):
            for part in self._willing:
                lacking = part in away
                self._wait(part, "away" if lacking else "others", _AWAY if lacking else _OTHERS)
            return
        full = [part for part in there if self._slots.full(part.trust)]
        self._slots.set_aside(part.trust for part in there)
        for part in there:
            if full:
                lacking = part in full
                self._wait(part, "no-slot" if lacking else "others", _FULL if lacking else _OTHERS)
            else:
                self._wait(part, "accepting", "Was asked to start.")
        if not full:
            members = tuple(sorted(part.trust for part in there))
            asking = partial(AcceptTask, study=self._run.study, run=self._run.id, members=members)
            for part in there:
                ask(self._session, part.trust, asking)

    def _long_away(self, part: PartRow) -> bool:
        """Whether the others need not wait for it any more."""
        since = max(self._run.quorum or 0.0, self._presence.heard(part.trust) or self._presence.since)
        return time.time() - since >= self._patience

    def _wait(self, part: PartRow, code: str, reason: str) -> None:
        if part.state == "queued" and (part.code, part.reason) == (code, reason):
            return
        if part.state == "queued":
            part.code, part.reason = code, reason
            tell_part(self._session, self._run, part, "queued", None)
        else:
            become_part(self._session, self._run, part, "queued", code=code, reason=reason)

    def _start(self, accepted: Sequence[PartRow]) -> None:
        become(self._session, self._run, "starting")
        members = tuple(sorted(part.trust for part in accepted))
        self._slots.set_aside(members)
        for part in self._parts:
            if part in accepted:
                part.member, part.code, part.reason = True, None, None
                asking = partial(StartTask, study=self._run.study, run=self._run.id, members=members)
                ask(self._session, part.trust, asking)
            elif part.state in UNDECIDED:
                leave_out(self._session, self._run, part, "undecided", "had not decided when the run started")
            elif part.state in WILLING:
                leave_out(self._session, self._run, part, "not-accepted", "had not accepted when the run started")


_AWAY = "Its agent is away."
_FULL = "All of its slots are in use."
_OTHERS = "Has a slot, and waits for the others."
_SILENT = "Was asked to start, and does not answer."
