"""The elementwise strategies: what becomes of the weights, to the bit, wherever it is worked out.

FedAvg, FedProx, FedAvgM, FedAdam, FedYogi and FedAdagrad in NumPy, without flwr, so that a hub and the enclaves that
check it get the same bits. Flower's classes (``flwr.serverapp.strategy`` 1.41) are what these are held to: five of the
six have the same bits, FedAdam the same but for one factor (``bias_correction``).

The rules of the house, which docs/protocol.md writes down:

- All numbers of a tensor are of one type T: float32, or float64 for a float64 tensor (``Tensor.update_dtype``).
- A formula is worked out from left to right as it stands here, and rounded to nearest, ties to even, after each
  operation. Only + - x ÷, the square root and comparisons are used: IEEE 754 fixes each to the bit. No power, no
  exponential, no fused multiply-add, no sum over elements: libraries differ in those from processor to processor.
- A parameter is a double. It is rounded to T once, after what is done with parameters alone (``1 - beta``) was done in
  double.
- State is of T, one number per element and name, and empty before the first round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.strategy import Strategy

Array = npt.NDArray[Any]
State = Mapping[str, Array]
Parameters = Mapping[str, float]

Rule = Callable[[Array, Array, State, Parameters, int], tuple[Array, State]]
"""(old weights, mean, state, parameters, round from 1) → (new weights, new state).

``old`` and ``mean``, the weighted mean of the Trusts' weights after training, are flat arrays of T, and so is each
array of the state. None of them is changed. The new weights are of T, of FedAdam in float64, which the caller rounds
to the declared dtype.
"""


@dataclass(frozen=True)
class Elementwise:
    """A strategy of which each element of the new weights depends on that element alone.

    ``parameters`` are all it has, with their defaults; ``told`` are those that notebooks are told as ``rnd.config``.
    """

    rule: Rule
    parameters: Parameters = field(default_factory=dict)
    told: tuple[str, ...] = ()


def fed_avg(old: Array, mean: Array, state: State, parameters: Parameters, number: int) -> tuple[Array, State]:
    """``mean``. McMahan et al., Communication-Efficient Learning of Deep Networks, 2017 (arXiv 1602.05629).

    FedProx (Li et al., 2020, arXiv 1812.06127) is the same here: its term is the notebook's (``rnd.proximal``).
    """
    return mean, {}


def fed_avg_m(old: Array, mean: Array, state: State, parameters: Parameters, number: int) -> tuple[Array, State]:
    """Server momentum. Hsu, Qi and Brown, 2019 (arXiv 1909.06335).

    g = old - mean; b = g in the first round, momentum x b + g from then on; new = old - rate x b. Without momentum b is
    g and no state is kept; with rate 1 besides, new = mean.
    """
    rate, momentum = parameters["server_learning_rate"], parameters["server_momentum"]
    if rate == 1.0 and momentum == 0.0:
        return mean, {}
    of = old.dtype.type
    gradient = old - mean
    if momentum == 0.0:
        return old - of(rate) * gradient, {}
    if "momentum_vector" in state:
        gradient = of(momentum) * state["momentum_vector"] + gradient
    return old - of(rate) * gradient, {"momentum_vector": gradient}


def fed_adam(old: Array, mean: Array, state: State, parameters: Parameters, number: int) -> tuple[Array, State]:
    """Reddi et al., Adaptive Federated Optimization, 2021 (arXiv 2003.00295), with Adam's correction of bias.

    d = mean - old; m = beta_1 x m + (1 - beta_1) x d; v = beta_2 x v + (1 - beta_2) x (d x d);
    new = old + c x m ÷ (√v + tau), c = ``bias_correction``, a double, so that c x m and what follows is in float64.
    """
    of = old.dtype.type
    difference, first = _first_moment(old, mean, state, parameters["beta_1"])
    beta = parameters["beta_2"]
    second = of(beta) * _before(state, "v_t", old) + of(1.0 - beta) * (difference * difference)
    wide = bias_correction(parameters, number) * first.astype(np.float64)
    return old + wide / (np.sqrt(second) + of(parameters["tau"])), {"m_t": first, "v_t": second}


def fed_yogi(old: Array, mean: Array, state: State, parameters: Parameters, number: int) -> tuple[Array, State]:
    """As ``fed_adam`` without correction: v = v - (1 - beta_2) x (d x d) x sign(v - d x d);
    new = old + eta x m ÷ (√v + tau)."""
    of = old.dtype.type
    difference, first = _first_moment(old, mean, state, parameters["beta_1"])
    square, before = difference * difference, _before(state, "v_t", old)
    second = before - of(1.0 - parameters["beta_2"]) * square * np.sign(before - square)
    return _moved(old, first, second, parameters), {"m_t": first, "v_t": second}


def fed_adagrad(old: Array, mean: Array, state: State, parameters: Parameters, number: int) -> tuple[Array, State]:
    """As ``fed_yogi`` with d in the place of m: v = v + d x d; new = old + eta x d ÷ (√v + tau)."""
    difference = mean - old
    second = _before(state, "v_t", old) + difference * difference
    return _moved(old, difference, second, parameters), {"v_t": second}


def bias_correction(parameters: Parameters, number: int) -> float:
    """eta x √(1 - beta_2^(round + 1)) ÷ (1 - beta_1^(round + 1)), all in double, the powers by ``power``.

    The one more in the exponent is Flower's. Its own powers may differ in their last bits, from one processor to
    another too: the factor then differs by as much more as 1 - power is smaller than 1.
    """
    second, first = power(parameters["beta_2"], number + 1), power(parameters["beta_1"], number + 1)
    return float(parameters["eta"] * np.sqrt(np.float64(1.0 - second)) / (1.0 - first))


def power(base: float, exponent: int) -> float:
    """``base`` multiplied by itself, one time after the other, from the left."""
    product = base
    for _ in range(exponent - 1):
        product *= base
    return product


def _first_moment(old: Array, mean: Array, state: State, beta: float) -> tuple[Array, Array]:
    """d, and beta x m + (1 - beta) x d."""
    of = old.dtype.type
    difference = mean - old
    return difference, of(beta) * _before(state, "m_t", old) + of(1.0 - beta) * difference


def _moved(old: Array, first: Array, second: Array, parameters: Parameters) -> Array:
    """old + eta x first ÷ (√second + tau)."""
    of = old.dtype.type
    new: Array = old + of(parameters["eta"]) * first / (np.sqrt(second) + of(parameters["tau"]))
    return new


def _before(state: State, name: str, old: Array) -> Array:
    return state[name] if name in state else np.zeros_like(old)


STRATEGIES: Mapping[str, Elementwise] = {
    "FedAvg": Elementwise(fed_avg),
    "FedProx": Elementwise(fed_avg, {"proximal_mu": 0.0}, told=("proximal_mu",)),
    "FedAvgM": Elementwise(fed_avg_m, {"server_learning_rate": 1.0, "server_momentum": 0.0}),
    "FedAdam": Elementwise(fed_adam, {"eta": 0.1, "eta_l": 0.1, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001}),
    "FedYogi": Elementwise(fed_yogi, {"eta": 0.01, "eta_l": 0.0316, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001}),
    "FedAdagrad": Elementwise(fed_adagrad, {"eta": 0.1, "eta_l": 0.1, "tau": 0.001}),
}
"""By name. ``eta_l`` is the notebook's learning rate, as Flower has it, and changes nothing here."""


def told(chosen: Strategy) -> dict[str, float]:
    """What notebooks are told of one of Flower's strategies as ``rnd.config`` in a training round, by name."""
    kind = STRATEGIES.get(chosen.name)
    return {} if kind is None else {name: {**kind.parameters, **chosen.parameters}[name] for name in kind.told}
