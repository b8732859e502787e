"""What the hub asks of an enclave. The enclave fetches tasks by long-poll and decides on its own."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from flipnb.contracts.count import SignedCount
from flipnb.contracts.document import Digest, Document, invalid
from flipnb.contracts.keys import KeyId
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Name
from flipnb.contracts.total import TotalContext, TotalSum

_WORD = re.compile(r"[a-z][a-z0-9_-]{0,39}")

SMALL_BYTES = 1 << 18
"""Weights and updates up to this size travel within the task and its answer: a request of their own costs more."""


class _Asked(Document):
    """``sequence`` rises per Trust; a task is handed out again until it is answered."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1)
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
    run_request: str


class StartTask(_Asked):
    """Quorum is there: freeze, start the kernel. ``members`` are those who take part. Answered when taken on."""

    kind: Literal["start"] = "start"
    run: RunId
    members: tuple[KeyId, ...]


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
    CountTask | RunTask | StartTask | RoundTask | TotalTask | SummedTask | StopTask, Field(discriminator="kind")
]
TASK: TypeAdapter[CountTask | RunTask | StartTask | RoundTask | TotalTask | SummedTask | StopTask] = TypeAdapter(Task)


class UnreadableTask(Document):
    """A task of a kind that this version does not know, or without what its kind is about. Answered as ``bad-task``.

    ``fault`` is the reader's own word for what is wrong with it; a ``kind`` that is no word is ``unknown``.
    """

    model_config = ConfigDict(extra="ignore")

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1)
    kind: str
    fault: str = Field(max_length=400)

    @field_validator("kind")
    @classmethod
    def _a_word(cls, value: str) -> str:
        return value if _WORD.fullmatch(value) else "unknown"


class TaskList(Document):
    """``weights`` are the bytes of small global weights that the tasks' contexts name, by SHA-256; others are fetched.

    A kernel's agent compares them with the context as it does with what it fetches.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    tasks: tuple[Task | UnreadableTask, ...]
    weights: dict[Digest, bytes] = Field(default_factory=dict)

    @field_validator("tasks", mode="before")
    @classmethod
    def _one_by_one(cls, value: Any) -> Any:
        """One task that can't be read hides none of the others."""
        return [_read(task) for task in value] if isinstance(value, list) else value


def _read(value: Any) -> Any:
    try:
        return TASK.validate_python(value)
    except ValidationError as error:
        if not isinstance(value, dict):
            raise
        return UnreadableTask.model_validate({**value, "fault": invalid(error, "The task").message[:400]})


class TaskAnswer(Document):
    """``envelope`` is the sealed reply (JSON text) where the kind has one; ``code``/``reason`` where it was refused.

    ``update`` is the content of a small update file, which the sealed reply names; a larger one was put before.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    envelope: str | None = None
    update: bytes | None = Field(default=None, max_length=SMALL_BYTES)
    code: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    reason: str | None = Field(default=None, max_length=400)
