"""How a run is trained and combined."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from flipnb.contracts.consensus import Consensus
from flipnb.contracts.document import Document, Later
from flipnb.contracts.strategy import Aggregation, Strategy

MAX_TRUSTS = 64
MAX_WEIGHT = 2**20
MAX_INTEGER_CLIP = 2**20
INTEGERS_REMEDY = "Raise the plan's integer_clip, or let the tensor stay here: flip.rounds(model, exclude=…)."


class Plan(Document):
    """The rounds of a run; with a ``consensus`` it may end before the last of them.

    ``clip_norm`` bounds the L2 norm of one Trust's change of the weights in one round; it fixes the fixed-point
    scale as well, so that every enclave encodes alike. ``round_seconds`` is how long one Trust may take for
    one round at most, ``start_seconds`` how much longer for the first, in which kernels start, ``run_seconds`` how
    long a run may take in all. Once rounds have shown how long they take, the deadline is learned from them and may
    be earlier than ``round_seconds``, but no earlier than ``patience_seconds``.

    ``epochs`` is how many epochs the notebook trains within one round: ``rnd.progress(epoch)`` is told in eighths of
    them, and not at all where none are declared.
    ``weight_cap`` bounds the number of people with which one Trust's part counts, in the mean of the weights and in
    averages: how many there are is that Trust's word alone. ``integer_clip`` bounds by how much an element of an
    integer tensor (a counter, an index) may change in one round; those tensors are no part of the L2 norm.
    ``reach`` is for a strategy that the hub's operator installed, alone: by how many times ``clip_norm`` (L2) one
    round may move the global weights. Of Flower's it is known. ``radius`` is how far (L2, float tensors) the global
    weights may ever lie from the initial ones, where it is given: a run whose weights leave it fails.
    """

    rounds: int = Field(ge=0, le=100_000)
    strategy: Strategy = Strategy()
    aggregation: Aggregation = "sum"
    consensus: Consensus | None = None
    clip_norm: float = Field(gt=0, le=2**20)
    integer_clip: Annotated[int, Later(MAX_INTEGER_CLIP)] = Field(default=MAX_INTEGER_CLIP, ge=0, le=MAX_INTEGER_CLIP)
    epochs: Annotated[int | None, Later(None)] = Field(default=None, ge=1, le=1_000_000)
    weight_cap: Annotated[int, Later(MAX_WEIGHT)] = Field(default=MAX_WEIGHT, ge=1, le=MAX_WEIGHT)
    reach: Annotated[float, Later(1.0)] = Field(default=1.0, gt=0, le=2**20)
    radius: Annotated[float | None, Later(None)] = Field(default=None, gt=0, le=2.0**40)
    round_seconds: int = Field(default=600, ge=1, le=7 * 86_400)
    patience_seconds: int = Field(default=120, ge=1, le=7 * 86_400)
    start_seconds: int = Field(default=600, ge=0, le=86_400)
    run_seconds: int = Field(default=86_400, ge=1, le=90 * 86_400)

    @model_validator(mode="after")
    def _strategy_fits(self) -> Plan:
        self.strategy.refuse_aggregation(self.aggregation)
        if self.reach != 1.0 and not self.strategy.installed:
            raise ValueError(f"reach is for installed strategies; that of {self.strategy.name} is known")
        return self

    @property
    def fraction_bits(self) -> int:
        """Binary places f of the fixed-point encoding.

        |weight · change| ≤ 2^20 · clip_norm, and at most 64 Trusts are added, so that with
        f = 62 - 20 - 6 - ceil(log2(clip_norm)) the sum stays below 2^62 and can't overflow an int64
        (federation.encoding has the error). A smaller ``weight_cap`` changes nothing of it: float32 gains nothing.
        """
        return 62 - 20 - 6 - max(0, math.ceil(math.log2(self.clip_norm)))
