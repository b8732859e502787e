"""How far global weights can honestly lie from earlier ones: what an enclave holds its hub to.

A hub that chooses weights freely reads single people out of an honest model's updates (docs/threats.md). Whatever
Trusts answer within the plan's clip, a strategy moves the weights no further than is worked out here, of the plan
alone.

With c = ``clip_norm``, the most that one Trust's change has in L2, N the number of float elements, and n the round
whose updates are added, one round moves all float tensors together by at most (norm: L2; element: one element alone):

- FedAvg, FedProx: norm c. A weighted mean of changes lies within the ball that they lie in.
- FedAvgM: norm rate x c x (1 - momentum^n) ÷ (1 - momentum), the sum of the geometric series of what momentum keeps.
- FedAdam, FedYogi, FedAdagrad (formulas in ``arithmetic``): an element moves by factor x m ÷ (√v + tau), and |m| is
  at most R x √v. For Adam, by Cauchy and Schwarz over the changes d_j of m = Σ (1 - b1) b1^(n-j) d_j and v = Σ (1 -
  b2) b2^(n-j) d_j², R² = (1 - b1)² ÷ (1 - b2) x Σ_k (b1² ÷ b2)^k, k from 0 to n - 1. Yogi's v is at least Σ h g^(n-j)
  d_j² with g = max(2 b2 - 1, b2 ÷ 2) and h = min(1 - b2, b2 - g), as its three cases show one by one; so R² has g in
  the place of b2, and h in that of 1 - b2. Adagrad has R = 1. With S² the most that Σ v is over all elements (Adam:
  c² (1 - b2^n); Yogi: c² n (1 - b2); Adagrad: c²), element is R S ÷ (S + tau); and as t ÷ (√t + tau)² is concave, the
  norm is largest where all elements have the same share: R S ÷ (S ÷ √N + tau). Neither exceeds m's own bound ÷ tau.
  All times factor.
- FedMedian: norm c x √2. At least half of the Trusts' changes are as large as the median, element by element, so that
  Σ median² is at most 2 c². FedTrimmedAvg: as many are as large as the trimmed mean as are not cut off at one end:
  norm c ÷ √(1 - beta). Krum, MultiKrum: a weighted mean of changes, norm c.
- A strategy that the operator installed: norm c x the plan's ``reach``, for which its author vouches.

Several rounds move by the sum. To that come what rounding adds: of the fixed-point encoding, of the arithmetic of
float32, and of the cast to the declared dtypes (``Slack``), which a round does to each element by itself. A plan
may besides say how far weights may ever lie from the first (``Radius``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flipnb.contracts.plan import Plan
from flipnb.contracts.tensors import FLOATS, Dtype, Tensor, TensorSpec
from flipnb.federation.arithmetic import STRATEGIES
from flipnb.federation.encoding import coarsest, largest_magnitude

_TOLERANCE = 2.0**-10
"""For errors of second order. Besides, each round's arithmetic may be off by ``_PER_ROUND`` of its result."""
_PER_ROUND = 2.0**-20
_UNDERFLOW = 2.0**-60
"""Below this tau does not hide that squares of small changes have few bits, or none, in float32."""
_SINGLE_ROUNDINGS = 128
"""How often an element of the weights' size is rounded where Trusts' own weights are read: a trimmed mean adds 64."""

ROUNDING: Mapping[Dtype, tuple[float, float]] = {
    "float64": (2.0**-53, 2.0**-1075),
    "float32": (2.0**-24, 2.0**-150),
    "bfloat16": (2.0**-8, 2.0**-134),
    "float16": (2.0**-11, 2.0**-25),
}
"""By dtype, by how much a number moves at most where it is rounded to nearest: by so much of itself, or so much."""


@dataclass(frozen=True)
class Step:
    """What the float tensors move by at most: all of them together (L2), and one element alone."""

    norm: float
    element: float

    def __add__(self, other: Step) -> Step:
        return Step(self.norm + other.norm, self.element + other.element)

    def times(self, factor: float) -> Step:
        """So many times as far."""
        return Step(self.norm * factor, self.element * factor)


@dataclass(frozen=True)
class Slack:
    """By how much casts to a dtype may have moved one element: by ``relative`` of what it was, and by ``absolute``."""

    relative: float
    absolute: float


class Bound(Protocol):
    """How far weights may lie from earlier ones, those of round ``since``."""

    @property
    def since(self) -> int: ...

    @property
    def spec(self) -> TensorSpec: ...

    def step(self, size: float) -> Step:
        """Of the float tensors, the L2 norm of the earlier ones being ``size``.

        It is of what is left of each element's difference once its ``slack`` is taken off.
        """
        ...

    def slack(self, dtype: Dtype) -> Slack:
        """Of a float tensor's elements."""
        ...

    def integer(self, tensor: Tensor) -> int:
        """Of one element of an integer tensor."""
        ...

    def why(self, most: str) -> str:
        """That it is ``most``, and by what, for people."""
        ...


@dataclass(frozen=True)
class Radius:
    """How far the weights of any round may lie from the first, by a plan that says so."""

    radius: float
    spec: TensorSpec
    since: int = 1

    def step(self, size: float) -> Step:
        """The radius, to the bit: the coordinator works out the same from the same bytes."""
        return Step(self.radius, self.radius)

    def slack(self, dtype: Dtype) -> Slack:
        """None."""
        return Slack(0.0, 0.0)

    def integer(self, tensor: Tensor) -> int:
        """As far as integers go."""
        return 2**64

    def why(self, most: str) -> str:
        """For people."""
        return f"the plan's radius is {most}"


@dataclass(frozen=True)
class Reach:
    """How far the weights of one round may lie from those of an earlier one, ``rounds`` before it."""

    plan: Plan
    spec: TensorSpec
    since: int
    number: int

    @property
    def rounds(self) -> int:
        """How many rounds' updates lie between the two."""
        return self.number - self.since

    def step(self, size: float) -> Step:
        """All rounds' together; by ``size``, the L2 norm of the earlier float tensors, rounding counts."""
        elements = max(1, sum(tensor.elements for tensor in self._floats))
        made = Step(0.0, 0.0)
        for number in range(self.since, self.number):
            made += _step(self.plan, self._change(size + made.norm), elements, number)
        widest = max((ROUNDING[tensor.dtype][0] for tensor in self._floats), default=0.0)
        return made.times((1 + _TOLERANCE + self.number * _PER_ROUND) * (1 + widest) ** self.rounds)

    def slack(self, dtype: Dtype) -> Slack:
        """Of a float tensor's elements: one cast in each round, of what the casts before have moved already."""
        relative, absolute = ROUNDING[dtype]
        if self.plan.aggregation == "individual":
            relative += _SINGLE_ROUNDINGS * ROUNDING["float64" if dtype == "float64" else "float32"][0]
        return Slack(math.expm1(self.rounds * math.log1p(relative)), self.rounds * absolute)

    def integer(self, tensor: Tensor) -> int:
        """How far one element of an integer tensor may have moved."""
        return self.rounds * largest_magnitude(tensor, self.plan)

    def why(self, most: str) -> str:
        """For people."""
        return f"{self.plan.strategy.name} with a clip_norm of {self.plan.clip_norm:g} moves them by at most {most}"

    @property
    def _floats(self) -> list[Tensor]:
        return [tensor for tensor in self.spec.tensors if tensor.dtype in FLOATS]

    def _change(self, size: float) -> float:
        """The most that one Trust's change has in L2, as a strategy reads it: clipped, encoded and rounded.

        Added to weights of L2 norm ``size`` it is rounded to what float32 has beside them, where nothing is nearer
        than they themselves: by no more than it is.
        """
        elements = sum(tensor.elements for tensor in self._floats)
        encoded = self.plan.clip_norm * (1 + 1e-9) + math.sqrt(elements) * coarsest(self.plan) / 2
        narrow = any(tensor.update_dtype == "float32" for tensor in self._floats)
        return encoded + min(encoded, 2 * ROUNDING["float32" if narrow else "float64"][0] * size)


def _step(plan: Plan, change: float, elements: int, number: int) -> Step:
    """By one round, from the weights of round ``number`` to the next."""
    chosen = plan.strategy
    if chosen.installed:
        return Step(change, change).times(plan.reach)
    kind = STRATEGIES.get(chosen.name)
    parameters = {**(kind.parameters if kind is not None else _INDIVIDUAL), **chosen.parameters}
    return _STEPS[chosen.name](parameters, change, elements, number)


_INDIVIDUAL: Mapping[str, float] = {"beta": 0.2}
"""FedTrimmedAvg's default in Flower; others have no parameter that matters here."""

Parameters = Mapping[str, float]


def _mean(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    return Step(change, change)


def _momentum(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    return _mean(parameters, change, elements, number).times(
        parameters["server_learning_rate"] * _series(parameters["server_momentum"], number)
    )


def _adam(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    first, second = parameters["beta_1"], parameters["beta_2"]
    factor = parameters["eta"] * math.sqrt(1 - second ** (number + 1)) / (1 - first ** (number + 1))
    spread = change * math.sqrt(1 - second**number)
    ratio = _ratio(first, second, 1 - second, number)
    return _adaptive(parameters, elements, factor=factor, ratio=ratio, spread=spread, moment=change, beta=second)


def _yogi(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    first, second = parameters["beta_1"], parameters["beta_2"]
    kept = max(2 * second - 1, second / 2)
    ratio = _ratio(first, kept, min(1 - second, second - kept), number)
    spread = change * math.sqrt(number * (1 - second))
    return _adaptive(
        parameters, elements, factor=parameters["eta"], ratio=ratio, spread=spread, moment=change, beta=second
    )


def _adagrad(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    return _adaptive(parameters, elements, factor=parameters["eta"], ratio=1.0, spread=change, moment=change, beta=0.0)


def _median(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    return Step(change, change).times(math.sqrt(2))


def _trimmed(parameters: Parameters, change: float, elements: int, number: int) -> Step:
    return Step(change, change).times(1 / math.sqrt(1 - parameters["beta"]))


_STEPS: Mapping[str, Callable[[Parameters, float, int, int], Step]] = {
    "FedAvg": _mean,
    "FedProx": _mean,
    "FedAvgM": _momentum,
    "FedAdam": _adam,
    "FedYogi": _yogi,
    "FedAdagrad": _adagrad,
    "FedMedian": _median,
    "FedTrimmedAvg": _trimmed,
    "Krum": _mean,
    "MultiKrum": _mean,
}


def _ratio(first: float, second: float, share: float, number: int) -> float:
    """R: the most that |m| is, in units of √v; infinite where the newest change alone makes v."""
    if share <= 0.0 or (first > 0.0 and second <= 0.0):
        return math.inf
    series = _series(first * first / second, number) if first > 0.0 else 1.0
    return (1 - first) * math.sqrt(series / share)


def _adaptive(
    parameters: Parameters,
    elements: int,
    *,
    factor: float,
    ratio: float,
    spread: float,
    moment: float,
    beta: float,
) -> Step:
    tau = parameters["tau"]
    if tau < _UNDERFLOW:
        ratio *= math.sqrt(1 + 2 / (1 - beta))
    most = moment / tau if tau > 0.0 else math.inf
    norm = min(ratio * spread / (spread / math.sqrt(elements) + tau), most)
    return Step(factor * norm, factor * min(ratio * spread / (spread + tau), most))


def _series(base: float, terms: int) -> float:
    """1 + base + base² + …, so many terms."""
    if base == 1.0:
        return float(terms)
    try:
        return float((1 - base**terms) / (1 - base))
    except OverflowError:
        return math.inf
