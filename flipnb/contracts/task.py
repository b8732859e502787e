"""What the hub asks of an enclave. The enclave fetches tasks by long-poll and decides on its own.

A list of tasks is read one by one, each within bounds that are looked at before anything is validated: what a hub may
send to deafen an enclave costs little more than its bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from flipnb.contracts.count import REQUEST_BYTES, SignedCount
from flipnb.contracts.document import Document, invalid, load_json
from flipnb.contracts.keys import KeyId
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Name, as_line
from flipnb.contracts.total import TotalContext, TotalSum

_WORD = re.compile(r"[a-z][a-z0-9_-]{0,39}")

SMALL_BYTES = 1 << 18
"""Weights and updates up to this size travel within the task and its answer: a request of their own costs more."""


LIST_BYTES = 16 << 20
"""The most that a list of tasks may hold: a hub puts tasks of 8 MiB together into one, and 16 small weights."""

_MOST_TASKS = 1000
_MOST_WEIGHTS = 64
_MOST_VALUES = 20_000
"""JSON values in one task. The sum of a total has at most 2,000 numbers, and a reason for each Trust left out."""

_LARGEST_SEQUENCE = 2**53


class _Asked(Document):
    """``sequence`` rises per Trust; a task is handed out again until it is answered."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1, le=_LARGEST_SEQUENCE)
    study: Name

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        """Earlier hubs wrote the fields of all kinds into each task, empty where they are another kind's."""
        if not isinstance(value, dict):
            return value
        return {name: said for name, said in value.items() if said is not None and said != []}


class CountTask(_Asked):
    """Answered with a sealed CountReply."""

    kind: Literal["count"] = "count"
    count: SignedCount


class RunTask(_Asked):
    """``run_request`` is an envelope (JSON text); the bundle is at ``/v1/bundles/{digest}``. Answered when the agent
    has it on disk; approval, refusal and decline follow as TrustReports."""

    kind: Literal["run"] = "run"
    run: RunId
    run_request: str = Field(max_length=REQUEST_BYTES)


class AcceptTask(_Asked):
    """Every Trust of the run has a free slot: may it start now, with ``members``? Answered when it may; nothing is
    started, and no slot is held, before all have answered."""

    kind: Literal["accept"] = "accept"
    run: RunId
    members: tuple[KeyId, ...] = Field(max_length=MAX_TRUSTS)


class StartTask(_Asked):
    """All have accepted: freeze, start the kernel. ``members`` are those who take part. Answered when taken on."""

    kind: Literal["start"] = "start"
    run: RunId
    members: tuple[KeyId, ...] = Field(max_length=MAX_TRUSTS)


class RoundTask(_Asked):
    """Answered with a sealed RoundReply, once the kernel has trained."""

    kind: Literal["round"] = "round"
    run: RunId
    context: RoundContext


class TotalTask(_Asked):
    """Answered with a sealed TotalReply, once the notebook has called ``flip.total``."""

    kind: Literal["total"] = "total"
    run: RunId
    total: TotalContext


class SummedTask(_Asked):
    """The sum of a total, for the kernel. Answered when the agent has it."""

    kind: Literal["summed"] = "summed"
    run: RunId
    summed: TotalSum


class StopTask(_Asked):
    """End the run's kernel. Answered when it is gone."""

    kind: Literal["stop"] = "stop"
    run: RunId


Task = Annotated[
    CountTask | RunTask | AcceptTask | StartTask | RoundTask | TotalTask | SummedTask | StopTask,
    Field(discriminator="kind"),
]
TASK: TypeAdapter[CountTask | RunTask | AcceptTask | StartTask | RoundTask | TotalTask | SummedTask | StopTask] = (
    TypeAdapter(Task)
)


class UnreadableTask(Document):
    """A task of a kind that this version does not know, or without what its kind is about. Answered as ``bad-task``.

    ``fault`` is the reader's own word for what is wrong with it; a ``kind`` that is no word is ``unknown``.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1, le=_LARGEST_SEQUENCE)
    kind: str
    fault: str = Field(max_length=400)

    @field_validator("kind")
    @classmethod
    def _a_word(cls, value: str) -> str:
        return value if _WORD.fullmatch(value) else "unknown"


@dataclass(frozen=True)
class TaskList:
    """What a hub answers: the tasks that can be answered, ``nameless`` others that can't, since they have no id, number
    or kind, and ``weights``: the bytes of small global weights that the tasks' contexts name, by SHA-256, unverified.

    Of more than 1,000 tasks the others are read when they are handed out again.
    """

    tasks: tuple[Task | UnreadableTask, ...]
    weights: Mapping[str, bytes]
    nameless: int = 0


def read_tasks(body: bytes) -> TaskList:
    """The list of tasks in a hub's answer. One that can't be read hides none of the others.

    Raises FlipError ``document-too-large`` beyond ``LIST_BYTES``, ``not-json``, ``invalid-document`` where it is no
    list of tasks at all.
    """
    if len(body) > LIST_BYTES:
        raise FlipError("document-too-large", f"The list of tasks has more than {LIST_BYTES} bytes.")
    value = load_json(body, "The list of tasks")
    listed = value.get("tasks") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise FlipError("invalid-document", "The hub's answer is no list of tasks.")
    found = [_read(task) for task in listed[:_MOST_TASKS]]
    readable = tuple(task for task in found if task is not None)
    return TaskList(readable, _weights(value.get("weights")), len(found) - len(readable))


def _read(value: Any) -> Task | UnreadableTask | None:
    """None where there is nothing by which it could be answered."""
    if not isinstance(value, dict):
        return None
    if _values(value, _MOST_VALUES) > _MOST_VALUES:
        return _unreadable(value, f"The task holds more than {_MOST_VALUES} values.")
    try:
        return TASK.validate_python(value)
    except ValidationError as error:
        return _unreadable(value, invalid(error, "The task").message)
    except (ArithmeticError, LookupError, TypeError, RecursionError) as error:
        return _unreadable(value, f"The task can't be read: {type(error).__name__}.")


def _unreadable(value: dict[str, Any], fault: str) -> UnreadableTask | None:
    named = {name: value.get(name) for name in ("id", "sequence", "kind")}
    try:
        return UnreadableTask.model_validate({**named, "fault": as_line(fault)})
    except ValidationError:
        return None


def _values(value: Any, most: int) -> int:
    """How many values and names there are within ``value``; no more are counted than one beyond ``most``."""
    found, within = 0, [value]
    while within and found <= most:
        part = within.pop()
        if isinstance(part, dict | list):
            found += len(part)
            if found <= most:
                within += part.values() if isinstance(part, dict) else part
    return found


def _weights(value: Any) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if not isinstance(value, dict):
        return found
    for digest, text in list(value.items())[:_MOST_WEIGHTS]:
        if isinstance(text, str) and len(text) <= 2 * SMALL_BYTES:
            try:
                content = base64.urlsafe_b64decode(text)
            except (binascii.Error, ValueError):
                continue
            if len(content) <= SMALL_BYTES:
                found[digest] = content
    return found


class TaskAnswer(Document):
    """``envelope`` is the sealed reply (JSON text) where the kind has one; ``code``/``reason`` where it was refused.

    ``update`` is the content of a small update file, which the sealed reply names; a larger one was put before.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    envelope: str | None = None
    update: bytes | None = Field(default=None, max_length=SMALL_BYTES)
    code: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    reason: str | None = Field(default=None, max_length=400)
