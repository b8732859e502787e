"""The layout of an update file: which entries a Trust's answer of one round has, and in what order.

It follows from the bundle alone, so that a reader compares the header's bytes with those it expects, and parses nothing
that a Trust sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from flipnb.contracts.consensus import Ballot
from flipnb.contracts.outputs import DeclaredOutput, Part
from flipnb.contracts.plan import Plan
from flipnb.contracts.tensors import TensorSpec
from flipnb.federation.safetensors_file import Entry, library_order

PARTS: tuple[Part, ...] = ("train", "validation", "test")
UPDATE, METRIC, PEOPLE, BALLOT, SHIFT = "update/", "metric/", "people/", "consensus/", "shift"


def has_ballot(plan: Plan, *, training: bool) -> bool:
    """Whether a Trust votes in a round: a training round of a plan with a consensus rule."""
    return training and plan.consensus is not None


def update_entries(spec: TensorSpec, plan: Plan, outputs: Sequence[DeclaredOutput], *, training: bool) -> list[Entry]:
    """``update/NAME`` in the tensor's shape and ``wire_dtype``, ``shift`` (uint8 per tensor, in the spec's order), both
    in training rounds only; ``metric/NAME``, ``people/PART`` and ``consensus/NAME``, int64 of shape [1]."""
    entries: list[Entry] = []
    if training:
        entries += [(f"{UPDATE}{tensor.name}", tensor.shape, tensor.wire_dtype) for tensor in spec.tensors]
        entries.append((SHIFT, (len(spec.tensors),), "uint8"))
    numbers = [f"{METRIC}{output.name}" for output in outputs] + [f"{PEOPLE}{part}" for part in PARTS]
    if has_ballot(plan, training=training):
        numbers += [f"{BALLOT}{name}" for name in Ballot.model_fields]
    return library_order(entries + [(name, (1,), "int64") for name in numbers])
