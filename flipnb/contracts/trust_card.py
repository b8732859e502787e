"""A Trust's card: what a researcher may know of it before sending anything, in its own signed words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from flipnb.contracts.document import Digest, Document, Later, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.plan import MAX_INTEGER_CLIP
from flipnb.contracts.text import Name

Distribution = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$")]
"""The normalised name of a Python distribution (PEP 503)."""

Release = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]{0,59}$")]
"""The version of a distribution (PEP 440), as its lock says it."""


class BuiltEnvironment(Document):
    """An environment that the Trust built offline, and the distributions that its lock names.

    ``releases`` are the versions of those whose version the lock names; empty in the cards of earlier agents.
    """

    name: Name
    lock: Digest
    distributions: tuple[Distribution, ...] = Field(max_length=2000)
    releases: Annotated[dict[Distribution, Release], Field(max_length=2000), Later({})] = Field(default_factory=dict)


class Allowance(Document):
    """What the Trust's policy allows at all; a person still decides on every bundle.

    ``attached_bytes``: of the files beside a notebook, together; 0 at earlier agents, which take none.
    """

    per_trust_metrics: bool
    individual_updates: bool
    minimum_trusts: int
    one_trust_runs: Annotated[bool, Later(False)] = False
    minimum_train: int
    maximum_clip_norm: float
    maximum_integer_clip: Annotated[int, Later(MAX_INTEGER_CLIP)] = MAX_INTEGER_CLIP
    maximum_rounds: int
    bits_per_run: int
    attached_bytes: Annotated[int, Later(0)] = 0


class TrustCard(Document):
    """Sealed with the node key, so that a hub can't promise anything for a Trust. Nothing in it comes from a patient.

    ``data`` is when the current version of the estate was loaded; None where there is no estate yet.
    """

    version: Literal["flip/trust-card/1"] = "flip/trust-card/1"
    trust: KeyId
    made: Moment
    data: Moment | None
    gpus: int = Field(ge=0, le=1024)
    slots: int = Field(ge=1)
    environments: tuple[BuiltEnvironment, ...] = Field(max_length=64)
    allowance: Allowance


class TrustPresence(Document):
    """What the hub knows of a Trust: whether and when its agent was last heard, and its card (an envelope)."""

    trust: KeyId
    joined: bool
    online: bool
    heard: Moment | None
    card: str | None


class TrustPresences(Document):
    """GET /v1/studies/{study}/trusts"""

    trusts: tuple[TrustPresence, ...]
