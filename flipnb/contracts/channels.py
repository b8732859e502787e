"""How much one run can tell its hub, channel by channel, in bits: what leaves, and when it leaves.

The bound of a channel is log2 of the number of different things that somebody at the hub can see there, whatever the
notebook does; what is one of N things carries at most log2 N bits (Shannon, 1948). Bits that leave by *when* something
is told are counted like this: a value that only rises, in ``steps`` steps, looked at on ``ticks`` ticks, is one of
C(ticks + steps, steps) sequences (as many as ways to put ``steps`` stones into ``ticks`` + 1 boxes).

``KERNELS`` and the grids are kept by the enclave (``enclave.runs``); how long a run may take, by the enclave's clock,
is its plan's ``run_seconds``. Nothing here counts on the hub, which could let a round last as long as it likes. How
many executions of a bundle are left is told, too: a controller chose it, no notebook can change it, so that it has no
bits.
"""

from __future__ import annotations

import math
from collections import Counter

from pydantic import Field

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import Document
from flipnb.contracts.failure import ERROR_CLASSES, REFUSALS
from flipnb.contracts.policy import Policy
from flipnb.contracts.tensors import FLOATS, Tensor
from flipnb.contracts.total import Place

DEATHS_IN_A_RUN = 12
"""A kernel that dies so often is not started again (``enclave.runs.deaths``)."""
EIGHTHS = 8
_COUNTED_STEPS = 2000
WEIGHTS = "weights"
_ENDINGS = 32
"""Codes with which a Trust's part can end otherwise than by an error in its notebook, generously."""


class Channel(Document):
    """One way in which a run can tell something, at most ``bits`` of it in all; ``counted``: against the policy's
    ``bits_per_run``."""

    name: str
    bits: int = Field(ge=0)
    what: str
    counted: bool = False


def step_bits(steps: int, ticks: int) -> int:
    """Bits of a value that only rises, in ``steps`` steps at most, told on ``ticks`` ticks: ceil(log2 C(t + s, s)).

    Of many steps a bound that is little more, n H(s / n) with n = t + s and H the entropy of one toss (Cover and
    Thomas, Elements of Information Theory, 11.1): 100,000 rounds would take seconds to count, and whoever asks waits.
    """
    if min(steps, ticks) <= _COUNTED_STEPS:
        return _bits(math.comb(ticks + steps, steps))
    whole = ticks + steps
    return math.ceil(steps * math.log2(whole / steps) + ticks * math.log2(whole / ticks)) + 1


def channels(bundle: Bundle, policy: Policy) -> tuple[Channel, ...]:
    """Every way in which one run of ``bundle`` can tell its hub something under ``policy``, the weights first."""
    found = [_weights(bundle), *_declared(bundle, policy), _cells(bundle, policy), *_epochs(bundle, policy)]
    found += [*_memory(bundle, policy), _replies(bundle, policy), _deaths(bundle, policy), _end(bundle, policy)]
    return (*found, _estate())


def _bits(number: int) -> int:
    """ceil(log2 ``number``), exactly."""
    return (number - 1).bit_length()


def _ticks(bundle: Bundle, policy: Policy) -> int:
    return math.ceil(bundle.plan.run_seconds / policy.progress_seconds)


def _points(bundle: Bundle, policy: Policy) -> int:
    return math.ceil(bundle.plan.run_seconds / policy.reply_seconds)


def _lines(bundle: Bundle) -> list[int]:
    """How many lines each code cell has."""
    return [cell.source.count("\n") + 1 for cell in bundle.notebook.cells if cell.type == "code"]


def _weights(bundle: Bundle) -> Channel:
    rounds, clip = bundle.plan.rounds, bundle.plan.integer_clip
    widths = [tensor.elements * _width(tensor, clip) + 3 for tensor in bundle.tensors.tensors]
    return Channel(
        name=WEIGHTS,
        bits=rounds * sum(widths),
        what=f"the changes of {bundle.tensors.elements:,} model weights in {rounds} rounds, 32 or 64 bits each, "
        "integers as many as the plan's integer_clip has",
    )


def _width(tensor: Tensor, integer_clip: int) -> int:
    """Bits of one element's change."""
    if tensor.dtype in FLOATS:
        return 32 if tensor.wire_dtype == "int32" else 64
    return _bits(2 * tensor.largest_change(integer_clip) + 1)


def _declared(bundle: Bundle, policy: Policy) -> list[Channel]:
    plan, rounds = bundle.plan, bundle.plan.rounds
    numbers = (rounds + 1) * sum(output.bits for output in bundle.outputs)
    names = ", ".join(output.name for output in bundle.outputs)
    alone = "; this Trust's own numbers where it is alone" if policy.least_trusts(bundle) == 1 else ""
    found = [
        Channel(name="numbers", bits=numbers, what=f"{names}, in {rounds + 1} reports{alone}", counted=True),
    ]
    totals = [array for step in bundle.totals for array in step.arrays]
    if totals:
        names = ", ".join(array.name for array in totals)
        bits = sum(array.bits for array in totals)
        found.append(Channel(name="totals", bits=bits, what=f"the arrays {names}, once each{alone}", counted=True))
    if plan.consensus is not None:
        found.append(Channel(name="votes", bits=rounds, what=f"a vote, 0 or 1, in {rounds} rounds", counted=True))
        if policy.per_trust_metrics:
            what = f"the {plan.consensus.measure} itself, 4 decimals, in {rounds} rounds"
            found.append(Channel(name="agreements", bits=bundle.agreement_bits, what=what, counted=True))
    return found


def _cells(bundle: Bundle, policy: Policy) -> Channel:
    """A run's cell only rises, over all of its kernels. The first round begins when the notebook asks for it, every
    other when its weights are there, which the hub decides."""
    ticks, cells = _ticks(bundle, policy), len(_lines(bundle))
    return Channel(
        name="cells",
        bits=step_bits(cells, ticks) + step_bits(1, ticks),
        what=f"when each of {cells} code cells, and the first round, begins on a grid of {policy.progress_seconds:g} s",
    )


def _epochs(bundle: Bundle, policy: Policy) -> list[Channel]:
    """Rounds share the run's ticks; log2 C(t + s, s) is concave in t, so that equal shares carry most."""
    plan = bundle.plan
    if plan.epochs is None:
        return []
    rounds, steps = plan.rounds + 1, min(EIGHTHS, plan.epochs)
    return [
        Channel(
            name="epochs",
            bits=rounds * step_bits(steps, math.ceil(_ticks(bundle, policy) / rounds)),
            what=f"when each eighth of {plan.epochs} epochs is done, in {rounds} rounds, on the same grid",
        )
    ]


def _memory(bundle: Bundle, policy: Policy) -> list[Channel]:
    if not policy.memory_use:
        return []
    bits = step_bits(EIGHTHS, _ticks(bundle, policy))
    return [
        Channel(name="memory", bits=bits, what="when the most memory so far reaches each eighth of its limit"),
        Channel(name="gpu", bits=bits, what="when the most memory of a GPU so far reaches each eighth of that GPU's"),
    ]


def _replies(bundle: Bundle, policy: Policy) -> Channel:
    """One round and total after the other, each with a wait of its own, all of them within the run.

    Which they are is told as well. Of the totals that stand in one place a notebook asks as many as it likes, in any
    order; those of a round before or after the round's own answer.
    """
    replies = bundle.plan.rounds + 1 + len(bundle.totals)
    orders = math.prod(
        _orders(number, place) for place, number in Counter(step.place for step in bundle.totals).items()
    )
    return Channel(
        name="replies",
        bits=step_bits(replies, _points(bundle, policy) + 1) + _bits(orders),
        what=f"when each of {replies} answers to a round or a total leaves, and in which order, on a grid of "
        f"{policy.reply_seconds:g} s",
    )


def _orders(totals: int, place: Place) -> int:
    """How many sequences so many totals of one place can make, with the answer of the round that they stand in."""
    return sum(math.perm(totals, asked) * (asked + 1 if place else 1) for asked in range(totals + 1))


def _deaths(bundle: Bundle, policy: Policy) -> Channel:
    """Which cell each kernel died in, when, and when the one after it wants the round's weights again.

    So does the one after a kernel that gave its slot back while it waited for a total.
    """
    deaths, cells = DEATHS_IN_A_RUN - 1, len(_lines(bundle))
    where = _bits((cells + 1) ** deaths)
    again = step_bits(deaths + len(bundle.totals), _points(bundle, policy) + 1)
    when = step_bits(deaths, _ticks(bundle, policy) + 1) + again
    return Channel(
        name="deaths",
        bits=where + when,
        what=f"in which cell, and when, a kernel dies that is started anew, {deaths} times at most",
    )


def _end(bundle: Bundle, policy: Policy) -> Channel:
    """Class, cell, line and refusal of a failure, or another ending; and when. A notebook may have left before."""
    places = 1 + sum(1 + lines for lines in _lines(bundle))
    ways = _ENDINGS + len(ERROR_CLASSES) * places * (len(REFUSALS) + 1)
    return Channel(
        name="end",
        bits=_bits(2 * ways) + step_bits(1, _ticks(bundle, policy)),
        what="how and when the run's part ends: an error's class, cell and line, and what was refused last",
    )


def _estate() -> Channel:
    """It is told before the notebook's kernel starts, and is the same whatever the notebook does."""
    return Channel(
        name="estate",
        bits=0,
        what="whether this run is on the same version of the estate as the study's other runs; no notebook has a part "
        "in it",
    )
