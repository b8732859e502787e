"""The record of a run: what a reader needs to know to believe or repeat it, without any output of the notebook."""

from __future__ import annotations

from pydantic import Field

from flipnb.contracts.bundle import Environment
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.run import RoundSummary, RunId, RunState
from flipnb.contracts.text import Identifier, Line, Name


class RunRecord(Document):
    run: RunId
    study: Name
    title: Line
    bundle: Digest
    membership: Digest
    researcher: KeyId
    cohort: Digest
    environment: Environment
    point: dict[Identifier, Scalar]
    state: RunState
    reason: str | None = None
    submitted: Moment
    started: Moment | None = None
    finished: Moment | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    members: dict[KeyId, Name] = Field(default_factory=dict)
    rounds: tuple[RoundSummary, ...] = ()
    initial_weights: Digest
    final_weights: Digest | None = None
