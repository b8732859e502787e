"""Our arithmetic of the elementwise strategies beside Flower's own classes, round by round, on all kinds of numbers.

Both get the same old weights and the same mean in each round, and keep their own state. Of five strategies the bits
are the same. FedAdam's factor for the bias has powers in it, which Flower leaves to a library: there the new weights
are within 4 units in the last place (of the old or the new weight, whichever is larger). In float64 one bit of a power
is a bit of the result and more: there what the two factors differ by is added, and has a bound of its own.
"""

import inspect
import math

import numpy as np
import pytest
from flower_grid import StockGrid
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.contracts.strategy import FLOWER
from flipnb.federation.arithmetic import STRATEGIES, bias_correction, power

SAME = [name for name in STRATEGIES if name != "FedAdam"]
RANGES = {
    "eta": st.floats(1e-6, 1e3),
    "eta_l": st.floats(1e-6, 1.0),
    "beta_1": st.one_of(st.just(0.0), st.floats(0.0, 0.9999)),
    "beta_2": st.one_of(st.just(0.0), st.floats(0.0, 0.9999)),
    "tau": st.one_of(st.just(0.0), st.floats(1e-12, 1.0)),
    "proximal_mu": st.floats(0.0, 10.0),
    "server_learning_rate": st.one_of(st.just(1.0), st.floats(1e-6, 1e3)),
    "server_momentum": st.one_of(st.just(0.0), st.floats(0.0, 0.9999)),
}


class Stock:
    """Flower's class over one array."""

    def __init__(self, name, parameters):
        kind = getattr(flower, name)
        self.strategy = kind(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1, **parameters)

    def round(self, number, old, mean):
        if hasattr(self.strategy, "current_arrays"):
            self.strategy.current_arrays = None
        start = ArrayRecord({"w": Array(old)})
        (asked,) = self.strategy.configure_train(number, start, ConfigRecord(), StockGrid(1))
        content = {"arrays": ArrayRecord({"w": Array(mean)}), "metrics": MetricRecord({"num-examples": 7})}
        made, _ = self.strategy.aggregate_train(number, [Message(RecordDict(content), reply_to=asked)])
        return made["w"].numpy()


def drawn(random, size, dtype, scale):
    """Numbers about ``scale``, some of them zero, denormal, or each other's negatives."""
    made = (random.standard_normal(size) * scale).astype(dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    odd = np.array([0.0, -0.0, tiny, -tiny * 3, np.finfo(dtype).tiny, scale, -scale], dtype)
    return np.where(random.random(size) < 0.2, random.choice(odd, size), made).astype(dtype)


@st.composite
def cases(draw, names):
    name = draw(st.sampled_from(names))
    parameters = {n: draw(RANGES[n]) for n in STRATEGIES[name].parameters if draw(st.booleans())}
    scales = draw(st.lists(st.sampled_from([1e-40, 1e-20, 1e-6, 1.0, 1e6, 1e18]), min_size=2, max_size=2))
    return name, parameters, draw(st.integers(0, 2**32)), draw(st.integers(0, 67)), scales


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=150)
@given(case=cases(SAME), rounds=st.integers(1, 5))
def test_five_strategies_have_flowers_bits(dtype, case, rounds):
    name, parameters, seed, size, (scale, step) = case
    random = np.random.default_rng(seed)
    stock, kind, state = Stock(name, parameters), STRATEGIES[name], {}
    old = drawn(random, size, dtype, scale)
    with np.errstate(all="ignore"):
        for number in range(1, rounds + 1):
            mean = old + drawn(random, size, dtype, step)
            theirs = stock.round(number, old, mean)
            ours, state = kind.rule(old, mean, state, {**kind.parameters, **parameters}, number)
            assert ours.dtype == theirs.dtype == dtype
            assert ours.tobytes() == theirs.tobytes(), (name, number)
            old = np.where(np.isfinite(theirs), theirs, dtype(1))


def factor_of_flower(parameters, number):
    top = np.sqrt(1 - np.power(parameters["beta_2"], number + 1.0))
    return float(parameters["eta"] * top / (1 - np.power(parameters["beta_1"], number + 1.0)))


def allowed(parameters, number):
    """By how much of itself a factor may be off where each power is off by a bit for each of its multiplications."""
    off = 0.0
    for beta in (parameters["beta_1"], parameters["beta_2"]):
        grown = math.pow(beta, number + 1)
        off += (number + 2) * 2.0**-53 * grown / (1 - grown)
    return off + 4 * 2.0**-53


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=150)
@given(case=cases(["FedAdam"]), rounds=st.integers(1, 5))
def test_fedadam_is_within_4_units_in_the_last_place(dtype, case, rounds):
    name, parameters, seed, size, (scale, step) = case
    random = np.random.default_rng(seed)
    stock, kind, state = Stock(name, parameters), STRATEGIES[name], {}
    every = {**kind.parameters, **parameters}
    old = drawn(random, size, dtype, scale)
    with np.errstate(all="ignore"):
        for number in range(1, rounds + 1):
            mean = old + drawn(random, size, dtype, step)
            theirs = stock.round(number, old, mean).astype(dtype)
            made, state = kind.rule(old, mean, state, every, number)
            ours = made.astype(dtype)
            assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
            good = np.isfinite(ours)
            apart = np.abs(ours[good].astype(np.float64) - theirs[good])
            unit = np.spacing(np.maximum(np.abs(old[good]), np.abs(theirs[good]))).astype(np.float64)
            moved = np.abs(theirs[good].astype(np.float64) - old[good])
            factors = abs(bias_correction(every, number) / factor_of_flower(every, number) - 1)
            assert factors <= allowed(every, number)
            assert (apart <= 4 * unit + moved * (factors if dtype is np.float64 else 0.0)).all(), number
            old = np.where(good, theirs, dtype(1))


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, np.float32) for name in STRATEGIES), *((name, np.float64) for name in SAME)]
)
def test_a_hundred_rounds_by_the_defaults_stay_together(name, dtype):
    """Each goes on from its own weights here, so that what is apart could add up."""
    random = np.random.default_rng(3)
    stock, kind, state = Stock(name, {}), STRATEGIES[name], {}
    ours = theirs = random.standard_normal(501).astype(dtype)
    for number in range(1, 101):
        change = (random.standard_normal(501) * 0.1).astype(dtype)
        theirs = stock.round(number, theirs, theirs + change).astype(dtype)
        made, state = kind.rule(ours, ours + change, state, kind.parameters, number)
        ours = made.astype(dtype)
    assert np.abs(ours).max() > 0.5
    assert (np.abs(ours - theirs) <= 4 * np.spacing(np.maximum(np.abs(theirs), dtype(1)))).all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_parameters_and_defaults_are_flowers(name):
    known = inspect.signature(getattr(flower, name)).parameters
    assert {n: known[n].default for n in STRATEGIES[name].parameters} == STRATEGIES[name].parameters
    assert STRATEGIES[name].parameters.keys() == FLOWER[name].parameters.keys()
    assert {n for n, strategy in FLOWER.items() if strategy.aggregation == "sum"} == STRATEGIES.keys()


@given(base=st.floats(0.0, 1.0, exclude_max=True), exponent=st.integers(1, 2000))
def test_a_power_is_off_by_less_than_a_bit_for_each_multiplication(base, exponent):
    exact = math.pow(base, exponent)
    assert abs(power(base, exponent) - exact) <= (exponent + 1) * 2.0**-53 * exact + 1e-307
