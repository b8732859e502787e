"""What leaves an enclave, channel by channel, as rows of a table: how often, what, and at most how many bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flipnb.contracts.brief import Leaving
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import DEATHS_IN_A_RUN, WEIGHTS, Channel
from flipnb.contracts.policy import Policy
from flipnb.contracts.total import place_words
from flipnb.wording.training import array_words, output_words
from flipnb.wording.values import many, number

_NAMES = {
    "cells": "progress", "epochs": "epochs", "memory": "memory", "gpu": "memory of a GPU", "replies": "reply times",
    "deaths": "deaths of kernels", "end": "errors and the end", "votes": "votes", "agreements": "agreements",
}  # fmt: skip


def leaving_rows(bundle: Bundle, policy: Policy, channels: Sequence[Channel]) -> tuple[Leaving, ...]:
    """The rows of ``channels``, whose bits are in all those of ``channels``."""
    return tuple(row for channel in channels for row in _rows(bundle, policy, channel))


def _rows(bundle: Bundle, policy: Policy, channel: Channel) -> Iterator[Leaving]:
    rounds = bundle.plan.rounds
    if channel.name == WEIGHTS:
        whose = "summed with the other Trusts'" if bundle.plan.aggregation == "sum" else "by themselves"
        what = f"{many(bundle.tensors.elements, 'number')}, clipped at {number(bundle.plan.clip_norm)}, {whose}"
        yield Leaving(name=WEIGHTS, times=many(rounds, "time"), what=what, bits=channel.bits, counted=False)
    elif channel.name == "numbers":
        whose = "this Trust's own, and the average" if policy.per_trust_metrics else "in the average over the Trusts"
        whose += _or_alone(bundle, policy)
        for output in bundle.outputs:
            yield Leaving(
                name=output.name,
                times=many(rounds + 1, "time"),
                what=f"{output_words(output)}, {whose}",
                bits=(rounds + 1) * output.bits,
                counted=True,
            )
    elif channel.name == "totals":
        for step in bundle.totals:
            when = f"once, {place_words(step.place)}"
            for array in step.arrays:
                what = f"{array_words(array)}, summed with the other Trusts'{_or_alone(bundle, policy)}"
                yield Leaving(name=array.name, times=when, what=what, bits=array.bits, counted=True)
    else:
        yield Leaving(
            name=_NAMES.get(channel.name, channel.name),
            times=_times(bundle, policy, channel.name),
            what=channel.what,
            bits=channel.bits,
            counted=channel.counted,
        )


def _or_alone(bundle: Bundle, policy: Policy) -> str:
    return " (this Trust's own where it is alone)" if policy.least_trusts(bundle) == 1 else ""


def _times(bundle: Bundle, policy: Policy, name: str) -> str:
    if name in ("votes", "agreements"):
        return many(bundle.plan.rounds, "time")
    if name == "end":
        return "once"
    if name == "deaths":
        return f"{many(DEATHS_IN_A_RUN - 1, 'time')} at most"
    return f"every {number(policy.reply_seconds if name == 'replies' else policy.progress_seconds)} s at most"
