"""What the hub asks of this enclave: fetched by long-poll, and each task answered once.

A fault that may pass (a full disk, a worker that is being restarted) is tried again for some minutes, whatever else
goes wrong is not: the hub is told then that the enclave failed, without a word of how, and the audit log has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from flipnb.contracts.disk import is_full
from flipnb.contracts.problem import FlipError
from flipnb.contracts.task import (
    AcceptTask,
    CountTask,
    RoundTask,
    RunTask,
    StartTask,
    StopTask,
    SummedTask,
    Task,
    TaskAnswer,
    TaskList,
    TotalTask,
    UnreadableTask,
)
from flipnb.enclave.agent.hub_link import POLL_SECONDS, HubLink
from flipnb.enclave.agent.lanes import Lanes, Width
from flipnb.enclave.counting.counts import Counts
from flipnb.enclave.runs.outcome import ENCLAVE_FAILED
from flipnb.enclave.runs.replies import Replies
from flipnb.enclave.runs.runs import Runs
from flipnb.enclave.stores.audit import AuditLog
from flipnb.link.exchange import NotNow

_LOG = logging.getLogger("flipnb.enclave.agent.tasks")
_IDLE_S = 0.25
_LOOK_AGAIN_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0

_WIDTHS = {
    "stop": Width(64, 500),
    "run": Width(16, 200),
    "accept": Width(64, 200),
    "start": Width(64, 200),
    "round": Width(500, 100),
    "total": Width(500, 100),
    "summed": Width(64, 200),
    "count": Width(500, 100),
}
"""Rounds and totals wait for kernels, counts for their turn: these are held, not worked at."""
_UNREADABLE = Width(16, 200)

_PATIENCE_S = {"stop": 60.0, "count": 60.0}
_PATIENCE_OF_RUNS_S = 300.0
"""Seconds for which a fault that may pass is tried again: the others of a run wait for this Trust meanwhile."""


class Tasks:
    """Fetches tasks and hands each to the room that it is for.

    ``greet`` tells the hub, where it can, what it should know before it is asked.
    """

    def __init__(
        self,
        hub: HubLink,
        greet: Callable[[], Awaitable[None]],
        audit: AuditLog,
        runs: Runs,
        replies: Replies,
        counts: Counts,
    ) -> None:
        self._hub, self._greet, self._audit = hub, greet, audit
        self._runs, self._replies, self._counts = runs, replies, counts
        self._lanes: Lanes[Task | UnreadableTask] = Lanes(_WIDTHS, _UNREADABLE, self._handle)

    async def fetch(self) -> None:
        """Fetch tasks for ever."""
        after = 0
        await self._greet()
        while True:
            before = after
            try:
                found = await self._hub.tasks(after, _LOOK_AGAIN_S if self._lanes.full else POLL_SECONDS)
            except NotNow:
                # It may come back as an older copy of itself, with lower numbers.
                after = 0
                await self._hub.patiently(self._back)
                continue
            news = self._take(found)
            after = max([after, *(task.sequence for task in found.tasks)])
            if self._lanes.drained():
                after = 0  # what there was no room for is handed out again
            elif not news and after == before:
                await asyncio.sleep(_IDLE_S)

    async def _back(self) -> None:
        """Raises NotNow where the hub is not there yet."""
        await self._greet()
        await self._hub.tasks(0, _LOOK_AGAIN_S)

    def abandon(self) -> None:
        """Answer nothing more: the hub hands out again what is unanswered."""
        self._lanes.close()

    def _take(self, found: TaskList) -> bool:
        """Whether there was one that was not known."""
        if found.nameless:
            _LOG.warning("the hub handed out %s tasks without id, number or kind", found.nameless)
            self._record("", fault="The task has no id, number or kind.", times=found.nameless)
        news = False
        for task in found.tasks:
            if task.id not in self._lanes:
                weights = found.weights.get(task.context.weights) if isinstance(task, RoundTask) else None
                news = self._lanes.take(task, weights) or news
        return news

    async def _handle(self, task: Task | UnreadableTask, weights: bytes | None) -> None:
        answer = await self._answered(task, weights)
        try:
            await self._hub.patiently(partial(self._hub.answer, task.id, answer))
        except FlipError as error:
            _LOG.warning("the hub refuses the answer to task %s (%s): %s (%s)", task.id, task.kind, error, error.code)
        if isinstance(task, RoundTask):
            try:
                self._replies.delivered(task)
            except FlipError as error:  # a full disk: the report of the run's end leaves a minute later
                _LOG.warning("the answer to task %s is not marked as delivered: %s", task.id, error)

    async def _answered(self, task: Task | UnreadableTask, weights: bytes | None) -> TaskAnswer:
        """The answer, whatever happens. A fault that may pass is tried again, for a time."""
        loop = asyncio.get_running_loop()
        pause, until = _FIRST_PAUSE_S, 0.0
        while True:
            try:
                return await self._answer(task, weights)
            except Exception as error:
                until = until or loop.time() + _PATIENCE_S.get(task.kind, _PATIENCE_OF_RUNS_S)
                passing = is_full(error) or (isinstance(error, FlipError) and error.status >= 500)
                if not passing or loop.time() + pause > until:
                    _LOG.exception("task %s (%s) failed, and is not tried again", task.id, task.kind)
                    return self._failed(task, error)
                _LOG.warning("task %s (%s) failed, and is tried again: %s", task.id, task.kind, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _answer(self, task: Task | UnreadableTask, weights: bytes | None) -> TaskAnswer:
        match task:
            case CountTask():
                return await self._counts.answer(task.study, task.count)
            case RunTask():
                return await self._runs.on_run(task)
            case AcceptTask():
                return await self._runs.on_accept(task)
            case StartTask():
                return await self._runs.on_start(task)
            case RoundTask():
                return await self._replies.on_round(task, weights)
            case TotalTask():
                return await self._replies.on_total(task)
            case SummedTask():
                return await self._replies.on_summed(task)
            case StopTask():
                return await self._runs.on_stop(task)
            case UnreadableTask():
                _LOG.warning("task %s (%s) can't be read: %s", task.id, task.kind, task.fault)
                self._record("", task=task.kind, fault=task.fault)
                return TaskAnswer(code="bad-task", reason=task.fault)

    def _failed(self, task: Task | UnreadableTask, error: Exception) -> TaskAnswer:
        """The one answer to what this enclave failed at: it says nothing of how, or where. A run of it ends here."""
        code, reason = ENCLAVE_FAILED.code, ENCLAVE_FAILED.reason
        of = error.code if isinstance(error, FlipError) else type(error).__name__
        if isinstance(task, CountTask):
            self._record(task.study, task=task.kind, study=task.study, code=code, error=of)
        elif not isinstance(task, UnreadableTask):
            self._record(task.run, task=task.kind, run=task.run, code=code, error=of)
            self._runs.give_up(task.run)
        return TaskAnswer(code=code, reason=reason)

    def _record(self, about: str, *, times: int = 1, **details: str | None) -> None:
        try:
            self._audit.refusals.add("task-refused", about, times=times, **details)
        except Exception as error:
            _LOG.error("the audit log lacks a task that was refused (%s): %s", details, error)
