"""What a data controller is told, in words, before they approve: everything that a run lets out of the enclave."""

from __future__ import annotations

from collections.abc import Sequence

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import WEIGHTS, Channel
from flipnb.contracts.policy import Policy
from flipnb.contracts.total import place_words
from flipnb.federation.reach import Reach


def caution(bundle: Bundle, policy: Policy) -> str:
    """What no check of weights can prevent, after what a run of one Trust means where the bundle asks for it."""
    alone = (
        "This run may have this Trust alone: its totals and numbers are then this Trust's own, added to nobody's. "
        if policy.least_trusts(bundle) == 1
        else ""
    )
    return alone + (
        "Approved code can write what it reads into the weights (240,000 bits in one round of 10,000 weights were "
        f"shown); what limits it is that you approve the code itself, the clip of {bundle.plan.clip_norm:g}, the "
        f"{policy.minimum_train} people in train that a run needs at least, and, once it comes, the secure sum that "
        "hides one Trust's weights among all."
    )


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
        f"norm of {plan.clip_norm:g} {how}. The hub can see it."
        if plan.rounds
        else "Nothing is trained: no weights leave.",
        f"With {'each of them' if plan.rounds else 'the evaluation'}: the number of people in train, validation and "
        f"test, each at most {plan.weight_cap:,}, as the weights of the average. The hub can see them; the study is "
        "shown this Trust's share of all people in train as one of four bands.",
    ]
    if bundle.dataset.images:
        lines.append(
            "Once: of each set of images, which share of those found here could be used, as one of four bands, or that "
            f"fewer than {policy.counts.threshold} people have one. The study is shown it."
        )
    if bundle.tensors.integers:
        elements = sum(tensor.elements for tensor in bundle.tensors.integers)
        lines.insert(
            1,
            f"Of these weights {elements:,} are whole numbers (counters, indices), no part of the norm: each changes "
            f"by at most {plan.integer_clip:,}.",
        )
    lines += _chosen_weights(bundle)
    whose = "this Trust's own, and in the average" if per_trust_metrics else "in the average over the Trusts"
    summed = "summed with the other Trusts'"
    if policy.least_trusts(bundle) == 1:
        lines.insert(0, "This run may have this Trust alone. What is averaged or summed below is then its own number.")
        summed = "summed with the other Trusts', where others take part: else this Trust's own"
    lines += [
        f"In each round and once more at the end: the number {output.name} over {output.over}, between "
        f"{output.minimum:g} and {output.maximum:g}, {output.decimals} decimals, {whose}."
        for output in bundle.outputs
    ]
    if plan.consensus is not None:
        value = f"; the {plan.consensus.measure} itself, 4 decimals, too" if per_trust_metrics else ""
        lines.append(f"In each training round: a vote, 0 or 1, whether this Trust's model agrees with all{value}.")
    lines += [
        f"Once, {place_words(step.place)}: the array {array.name}, "
        f"{array.elements:,} numbers between {array.minimum:g} and {array.maximum:g}, {array.decimals} decimals, "
        f"{summed}. The hub can see it."
        for step in bundle.totals
        for array in step.arrays
    ]
    epochs = f", eighths of {plan.epochs} epochs" if plan.epochs is not None else ""
    memory = (
        ", the most memory so far in eighths of its limit, and of a GPU in eighths of that" if policy.memory_use else ""
    )
    lines.append(
        f"Progress, every {policy.progress_seconds:g} s at most: cell, round, seconds{epochs}{memory}. "
        "Of an error: its class out of a fixed list, cell and line."
    )
    lines.append("How many more runs of this bundle the approvals here cover: the study is told that number.")
    lines += bundle.choosable.told(rounds=plan.rounds, folds=bundle.split.folds)
    return tuple(lines)


def _chosen_weights(bundle: Bundle) -> list[str]:
    """What a hub that chooses weights can make a model tell is bounded by how far and how often they may move."""
    plan = bundle.plan
    if plan.rounds == 0:
        return []
    once = Reach(plan, bundle.tensors, plan.rounds, plan.rounds + 1).step(0.0).norm
    near = f", and none further than {plan.radius:g} from the first" if plan.radius is not None else ""
    return [
        "The hub gives each round's weights, and a hub that cheats could choose them so that the changes tell of "
        "single people, the more the fewer they are. Refused are weights further than "
        f"{once:.4g} (L2) from the last{near}, in each of {plan.rounds} rounds: the smaller the clip and the fewer the "
        "rounds, the less it learns."
    ]


def bits_told(found: Sequence[Channel], policy: Policy) -> str:
    """In words, what the channels beside the weights can tell, and what of it counts against the policy."""
    counted = sum(channel.bits for channel in found if channel.counted)
    others = sum(channel.bits for channel in found if not channel.counted and channel.name != WEIGHTS)
    return (
        f"Declared numbers: {counted:,} bits in a run at most, of the {policy.bits_per_run:,} that your policy allows. "
        f"By when and how things happen, beside them: {others:,} bits at most, which the policy's grids of "
        f"{policy.progress_seconds:g} s and {policy.reply_seconds:g} s bound, and which do not count against that."
    )
