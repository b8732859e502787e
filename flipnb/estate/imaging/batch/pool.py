"""Several children that each work on one file; one that dies or hangs costs its file alone."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from flipnb.estate.imaging.batch.sources import Item
from flipnb.estate.imaging.deidentify import Policy

_LOOK_S = 0.5
_LINE = 1 << 20
_DEIDENTIFIES = "flipnb.estate.imaging.batch.child"


@dataclass(frozen=True)
class Task:
    """A file, where its output goes for the time being, and what else the child is told of it."""

    item: Item
    output: Path
    more: Mapping[str, Any] = field(default_factory=dict)


class _Child:
    """A process, the task it has and until when."""

    def __init__(self, introduction: str, module: str) -> None:
        command = [sys.executable, "-m", module]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.task: Task | None = None
        self.until = 0.0
        self._heard = b""
        self._send(introduction)

    def give(self, task: Task, seconds: float) -> None:
        self.task = task
        self.until = time.monotonic() + seconds
        item = task.item
        order = {"path": str(item.path), "member": item.member, "size": item.size, "output": str(task.output)}
        self._send(json.dumps({**order, **task.more}))

    def hear(self) -> dict[str, Any] | None:
        """The answer, once its line is whole. Raises EOFError where the process is gone."""
        assert self.process.stdout is not None
        piece = self.process.stdout.read1(_LINE)  # type: ignore[attr-defined]
        self._heard += piece
        if not piece or len(self._heard) > _LINE:
            raise EOFError
        if not self._heard.endswith(b"\n"):
            return None
        line, self._heard = self._heard, b""
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone: whoever listens is told
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()


class Pool:
    """``workers`` children with one policy and key. ``slowest_s`` seconds are given to a file, and one to each MB.

    ``module`` is what a child runs.
    """

    def __init__(
        self, policy: Policy, key: bytes, *, workers: int, slowest_s: float = 300, module: str = _DEIDENTIFIES
    ) -> None:
        self._module = module
        self._introduction = json.dumps({"policy": policy.model_dump(mode="json"), "key": key.hex()})
        self._workers = workers
        self._slowest = slowest_s
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
        """Each task with its answer, as they are done. A child that died answers ``quarantined`` for its file."""
        waiting = iter(tasks)
        for first in islice(waiting, self._workers):
            self._give(self._start(), first)
        while any(child.task for child in self._children):
            for child, answer in self._heard():
                task = child.task
                assert task is not None
                child.task = None
                yield task, answer
                following = next(waiting, None)
                if following is not None:
                    self._give(child if child in self._children else self._start(), following)

    def close(self) -> None:
        """End every child, whatever it does."""
        for child in [*self._children]:
            self._remove(child)
        self._selector.close()

    def _start(self) -> _Child:
        child = _Child(self._introduction, self._module)
        self._children.append(child)
        self._selector.register(child.process.stdout or 0, selectors.EVENT_READ, child)
        return child

    def _remove(self, child: _Child) -> None:
        self._selector.unregister(child.process.stdout or 0)
        self._children.remove(child)
        child.end()

    def _give(self, child: _Child, task: Task) -> None:
        child.give(task, self._slowest + task.item.size / 1e6)

    def _heard(self) -> list[tuple[_Child, dict[str, Any]]]:
        """What children answered just now, and what is said for those that died or were too slow."""
        found = []
        for key, _ in self._selector.select(_LOOK_S):
            child: _Child = key.data
            try:
                answer = child.hear()
            except (EOFError, ValueError):
                self._remove(child)
                answer = {"state": "quarantined", "reason": "the process that read it died of it"}
            if answer is not None and child.task is not None:
                found.append((child, answer))
        now = time.monotonic()
        late = [child for child in self._children if child.task is not None and now > child.until]
        for child in late:
            if all(child is not one for one, _ in found):
                self._remove(child)
                found.append((child, {"state": "quarantined", "reason": "it took too long"}))
        return found
