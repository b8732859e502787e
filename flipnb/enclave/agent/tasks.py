"""What the hub asks of this enclave: fetched by long-poll, and each task handled until the hub has its answer."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from flipnb.contracts.problem import FlipError
from flipnb.contracts.task import (
    CountTask,
    RoundTask,
    RunTask,
    StartTask,
    StopTask,
    SummedTask,
    Task,
    TaskAnswer,
    TotalTask,
    UnreadableTask,
)
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.counting.counts import Counts
from flipnb.enclave.runs.replies import Replies
from flipnb.enclave.runs.runs import Runs
from flipnb.link.exchange import NotNow

_LOG = logging.getLogger("flipnb.enclave.agent.tasks")
_IDLE_S = 0.25
_RETRY_S = 2.0
_MOST = 500
"""Tasks that are handled at once; more are fetched when some of them are answered."""


class Tasks:
    """Fetches tasks and hands each to the room that it is for."""

    def __init__(self, hub: HubLink, runs: Runs, replies: Replies, counts: Counts) -> None:
        self._hub, self._runs, self._replies, self._counts = hub, runs, replies, counts
        self._handling: dict[str, asyncio.Task[None]] = {}

    async def fetch(self) -> None:
        """Fetch tasks for ever."""
        after = 0
        while True:
            try:
                found = await self._hub.tasks(after)
            except NotNow:
                # It may come back as an older copy of itself, with lower numbers.
                after = 0
                await self._hub.patiently(partial(self._hub.tasks, 0))
                continue
            for task in found.tasks:
                after = max(after, task.sequence)
                if task.id not in self._handling:
                    weights = found.weights.get(task.context.weights) if isinstance(task, RoundTask) else None
                    handling = asyncio.create_task(self._handle(task, weights), name=f"task-{task.kind}-{task.id[:8]}")
                    self._handling[task.id] = handling
                    handling.add_done_callback(partial(self._handled, task.id))
            if not found.tasks:
                await asyncio.sleep(_IDLE_S)
            while len(self._handling) > _MOST:
                await asyncio.sleep(_IDLE_S)

    def abandon(self) -> None:
        """Answer nothing more: the hub hands out again what is unanswered."""
        for handling in self._handling.values():
            handling.cancel()

    def _handled(self, task: str, _: asyncio.Task[None]) -> None:
        self._handling.pop(task, None)

    async def _handle(self, task: Task | UnreadableTask, weights: bytes | None) -> None:
        while True:
            try:
                answer = await self._answer(task, weights)
                await self._hub.patiently(partial(self._hub.answer, task.id, answer))
            except FlipError as error:
                _LOG.warning("task %s (%s): %s (%s)", task.id, task.kind, error, error.code)
                if error.status < 500:
                    break
            except Exception:
                _LOG.exception("task %s (%s) failed", task.id, task.kind)
            else:
                break
            await asyncio.sleep(_RETRY_S)
        if isinstance(task, RoundTask):
            self._replies.delivered(task)

    async def _answer(self, task: Task | UnreadableTask, weights: bytes | None) -> TaskAnswer:
        match task:
            case CountTask():
                return await self._counts.answer(task.study, task.count)
            case RunTask():
                return await self._runs.on_run(task)
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
                return TaskAnswer(code="bad-task", reason=task.fault)
