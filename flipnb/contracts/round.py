"""One round: its context, which an enclave answers once, and the reply."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Identifier


class RoundContext(Document):
    """What a round is about. Rounds count from 1 to ``of``; the one after the last training round evaluates the final
    weights: round ``of + 1``, or an earlier one where the bundle's consensus was reached.

    ``weights`` is the SHA-256 of the global weights (safetensors), ``tensors`` the digest of the tensor spec,
    ``members`` everyone who is asked in this round, sorted. ``config`` is the strategy's, for the notebook.
    """

    version: Literal["flip/round/1"] = "flip/round/1"
    run: RunId
    bundle: Digest
    round: int = Field(ge=1)
    of: int = Field(ge=0)
    training: bool
    weights: Digest
    weights_size: int = Field(ge=1)
    tensors: Digest
    members: tuple[KeyId, ...] = Field(min_length=1, max_length=MAX_TRUSTS)
    config: dict[Identifier, float] = Field(default_factory=dict)


class RoundReply(Document):
    """Sealed with the Trust's node key. It repeats the whole context, so that Trusts can compare what each was given.

    ``update`` names a safetensors file of integers (federation.update_layout): ``update/NAME`` (fixed-point change)
    and ``shift``, only in training rounds; ``metric/NAME`` (units of the last decimal, times the people of the part it
    is over); ``people/train``, ``people/validation``, ``people/test``; in training rounds of a plan with a consensus
    ``consensus/votes`` and ``consensus/voters`` (0 or 1).
    ``metrics`` and ``agreement`` are this Trust's own numbers, there only where its policy lets them out.
    """

    version: Literal["flip/round-reply/1"] = "flip/round-reply/1"
    trust: KeyId
    context: RoundContext
    update: Digest
    update_size: int = Field(ge=1)
    metrics: dict[Identifier, float] | None = None
    agreement: float | None = None
