"""The record of a run: what a reader needs to know to believe or repeat it, without any output of the notebook."""

from __future__ import annotations

from pydantic import Field

from flipnb.contracts.bundle import Environment
from flipnb.contracts.choices import Choices
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.images import FrozenShare
from flipnb.contracts.keys import KeyId
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.run import EstateVersion, RoundSummary, RunId, RunState
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.text import Identifier, Line, Name


class RunRecord(Document):
    """A run from its submission to its final weights, as the hub knows it.

    ``point`` are the parameters' values, ``choices`` what else it chose within the bundle's space, ``cohort`` is the
    definition's SHA-256, ``members`` the Trusts that took part, by key. ``consensus`` is the plan's rule of when to
    end, None without one. ``seconds`` are the lengths of its stages: waiting, starting, running, total. ``versions``
    are the hub's Python and packages. Weights are SHA-256 of safetensors files. ``notebook`` and ``telling`` as in
    ``RunView``; ``estates`` are the versions of their estates on which the Trusts ran, in their own words, ``images``
    how much of each set of images each of them could use.
    """

    run: RunId
    study: Name
    title: Line
    notebook: Line = ""
    bundle: Digest
    membership: Digest
    researcher: KeyId
    cohort: Digest
    environment: Environment
    strategy: Strategy | None = None
    point: dict[Identifier, Scalar]
    telling: tuple[Identifier, ...] = ()
    choices: Choices = Choices()
    consensus: Consensus | None = None
    state: RunState
    reason: str | None = None
    submitted: Moment
    started: Moment | None = None
    finished: Moment | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    members: dict[KeyId, Name] = Field(default_factory=dict)
    estates: dict[KeyId, EstateVersion] = Field(default_factory=dict)
    images: dict[KeyId, dict[Identifier, FrozenShare]] = Field(default_factory=dict)
    rounds: tuple[RoundSummary, ...] = ()
    initial_weights: Digest
    final_weights: Digest | None = None
