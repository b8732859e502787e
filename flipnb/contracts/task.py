"""What the hub asks of an enclave. The enclave fetches tasks by long-poll and decides on its own."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from flipnb.contracts.count import SignedCount
from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.round import RoundContext
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Name
from flipnb.contracts.total import TotalContext, TotalSum

SMALL_BYTES = 1 << 18
"""Weights and updates up to this size travel within the task and its answer: a request of their own costs more."""

TaskKind = Literal["count", "run", "start", "round", "total", "summed", "stop"]


class Task(Document):
    """``sequence`` rises per Trust; a task is handed out again until it is answered.

    count → ``count`` is set; answered with a sealed CountReply.
    run   → ``run_request`` is set (envelope, JSON text); the bundle is at ``/v1/bundles/{digest}``. Answered when the
            agent has it on disk; approval, refusal and decline follow as TrustReports.
    start → quorum is there: freeze, start the kernel. ``members`` are those who take part. Answered when taken on.
    round → ``context`` is set; answered with a sealed RoundReply.
    total → ``total`` is set; answered with a sealed TotalReply once the notebook has called ``flip.total``.
    summed → ``summed`` is set: the sum of a total, for the kernel. Answered when the agent has it on disk.
    stop  → end the run's kernel. Answered when it is gone.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1)
    kind: TaskKind
    study: Name
    run: RunId | None = None
    count: SignedCount | None = None
    run_request: str | None = None
    members: tuple[KeyId, ...] = ()
    context: RoundContext | None = None
    total: TotalContext | None = None
    summed: TotalSum | None = None


class TaskList(Document):
    """``weights`` are the bytes of small global weights that the tasks' contexts name, by SHA-256; others are fetched.

    A kernel's agent compares them with the context as it does with what it fetches.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    tasks: tuple[Task, ...]
    weights: dict[Digest, bytes] = Field(default_factory=dict)


class TaskAnswer(Document):
    """``envelope`` is the sealed reply (JSON text) where the kind has one; ``code``/``reason`` where it was refused.

    ``update`` is the content of a small update file, which the sealed reply names; a larger one was put before.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    envelope: str | None = None
    update: bytes | None = Field(default=None, max_length=SMALL_BYTES)
    code: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,60}$")
    reason: str | None = Field(default=None, max_length=400)
