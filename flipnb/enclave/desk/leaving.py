"""What a data controller is told, in words, before they approve: everything that a run lets out of the enclave."""

from __future__ import annotations

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.policy import Policy


def what_leaves(bundle: Bundle, policy: Policy) -> tuple[str, ...]:
    """In words, everything that a run of the bundle lets out of the enclave."""
    plan, per_trust_metrics = bundle.plan, policy.per_trust_metrics
    how = (
        "and multiplied by the number of people in train, summed with the other Trusts'"
        if plan.aggregation == "sum"
        else "by itself: this bundle does not add the Trusts' updates"
    )
    lines = [
        f"In each of {plan.rounds} rounds: the change of {bundle.tensors.elements:,} model weights, clipped to an L2 "
        f"norm of {plan.clip_norm:g} {how}. The hub can see it.",
        "With each of them: the number of people in train, validation and test, each at most "
        f"{plan.weight_cap:,}, as the weights of the average. The hub can see them; the study is shown this Trust's "
        "share of all people in train as one of four bands.",
    ]
    if bundle.tensors.integers:
        elements = sum(tensor.elements for tensor in bundle.tensors.integers)
        lines.insert(
            1,
            f"Of these weights {elements:,} are whole numbers (counters, indices), no part of the norm: each changes "
            f"by at most {plan.integer_clip:,}.",
        )
    whose = "this Trust's own, and in the average" if per_trust_metrics else "in the average over the Trusts"
    lines += [
        f"In each round and once more at the end: the number {output.name} over {output.over}, between "
        f"{output.minimum:g} and {output.maximum:g}, {output.decimals} decimals, {whose}."
        for output in bundle.outputs
    ]
    if plan.consensus is not None:
        value = f"; the {plan.consensus.measure} itself, 4 decimals, too" if per_trust_metrics else ""
        lines.append(f"In each training round: a vote, 0 or 1, whether this Trust's model agrees with all{value}.")
    lines += [
        f"Once, {f'in round {step.round}' if step.round else 'before the first round'}: the array {array.name}, "
        f"{array.elements:,} numbers between {array.minimum:g} and {array.maximum:g}, {array.decimals} decimals, "
        "summed with the other Trusts'. The hub can see it."
        for step in bundle.totals
        for array in step.arrays
    ]
    memory = (
        ", the most memory so far in eighths of its limit, and of a GPU in eighths of that" if policy.memory_use else ""
    )
    lines.append(
        f"Progress: cell, round, epoch, seconds{memory}. Of an error: its class out of a fixed list, cell and line."
    )
    return tuple(lines)
