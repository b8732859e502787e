"""Declared numbers: bounded at declaration, rounded within their bounds, and the same to who sends and who checks."""

import json
import math
from decimal import Decimal

import pytest
from enclave_scenario import Study
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import WEIGHTS, channels, step_bits
from flipnb.contracts.document import canonical_bytes, parse
from flipnb.contracts.outputs import MAX_UNITS, DeclaredOutput, admit_report
from flipnb.contracts.parameters import MAX_INTEGER, Parameter
from flipnb.contracts.plan import MAX_TRUSTS, MAX_WEIGHT, Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import FLOWER
from flipnb.contracts.tensors import STORED
from flipnb.contracts.total import MAX_UNITS as MAX_TOTAL
from flipnb.contracts.total import DeclaredArray, TotalStep, add_units
from flipnb.enclave.desk.leaving import bits_told, what_leaves
from flipnb.workbench.plan_file import read_plan

STUDY = Study()
ANY = st.floats(allow_nan=False, allow_infinity=False)
BOUND = st.one_of(st.floats(-6e4, 6e4), st.integers(-(10**6), 10**6).map(lambda n: n / 1000))
BOUNDS = st.tuples(BOUND, BOUND).map(sorted)


def output(**changes):
    return DeclaredOutput(**{"name": "loss", "minimum": 0, "maximum": 1, "decimals": 2, **changes})


def declared(kind, minimum, maximum, decimals):
    """One that stands, or none where the bounds are refused by name."""
    try:
        return kind(name="loss", minimum=minimum, maximum=maximum, decimals=decimals)
    except ValidationError as error:
        assert "loss" in str(error)
        return None


@settings(max_examples=400)
@given(bounds=BOUNDS, decimals=st.integers(0, 6), share=st.floats(0, 1), people=st.integers(1, MAX_WEIGHT))
def test_every_number_within_bounds_is_admitted_and_what_is_sent_of_it_is_accepted(bounds, decimals, share, people):
    low, high = bounds
    one = declared(DeclaredOutput, low, high, decimals)
    assume(one is not None)
    value = min(max(low + share * (high - low), low), high)
    units = one.admit(value)
    exact = Decimal(units).scaleb(-decimals)
    assert Decimal(repr(one.minimum)) <= exact <= Decimal(repr(one.maximum))
    assert abs(units) <= MAX_UNITS
    # Off by half a unit at most, or by one where the nearest is beyond a bound.
    assert abs(units - value * 10.0**decimals) <= 1 + 1e-6
    assert one.units.holds(units)
    assert one.units.holds(units * people, people)
    assert one.possible(one.units.number(units))
    assert math.ceil(math.log2(one.units.high - one.units.low + 1)) == one.bits <= 38


@settings(max_examples=200)
@given(bounds=BOUNDS, decimals=st.integers(0, 9), shares=st.lists(st.floats(0, 1), min_size=1, max_size=MAX_TRUSTS))
def test_totals_of_numbers_within_bounds_are_possible_and_exact(bounds, decimals, shares):
    low, high = bounds
    one = declared(DeclaredArray, low, high, decimals)
    assume(one is not None)
    step = TotalStep(arrays=(one,))
    parts = [step.admit({"loss": (min(max(low + share * (high - low), low), high),)}) for share in shares]
    assert all(one.possible(part["loss"]) for part in parts)
    total = add_units(step, parts)
    assert one.possible(total["loss"], len(parts))
    assert abs(total["loss"][0]) <= MAX_TOTAL * MAX_TRUSTS < 2**53
    assert canonical_bytes(list(total["loss"]))
    assert one.bits >= 0


@pytest.mark.parametrize(
    ("minimum", "maximum", "decimals", "value", "units"),
    [
        (0, 0.15, 1, 0.15, 1),  # 0.2, the nearest, is above the maximum
        (0.25, 1, 1, 0.25, 3),
        (-0.15, 0.15, 1, -0.15, -1),
        (0, 0.3, 1, 0.3, 3),  # though 0.3 as a double is below three tenths
        (0, 1.1, 1, 1.1, 11),
        (0, 0.07, 2, 0.07, 7),
        (0, 2**36, 0, 2**36, 2**36),
        (-(2**36), 0, 0, -(2**36), -(2**36)),
        (0, 68719.476736, 6, 68719.476736, 2**36),
        (0.5, 1.5, 0, 0.5, 1),
        (0.5, 1.5, 0, 1.5, 1),
    ],
)
def test_a_number_is_rounded_within_its_bounds(minimum, maximum, decimals, value, units):
    one = output(minimum=minimum, maximum=maximum, decimals=decimals)
    assert admit_report((one,), {"loss": value}) == {"loss": units}
    assert one.possible(one.units.number(units))


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), True, None, "1", [1]])
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(FlipError, match="loss") as caught:
        output().admit(value)
    assert caught.value.code == "not-a-number"
    with pytest.raises(FlipError, match="loss"):
        DeclaredArray(name="loss", minimum=0, maximum=1, decimals=1).admit([value])


@pytest.mark.parametrize("number", [0.155, 1.01, -0.01, 1e308])
def test_a_number_of_one_trust_off_its_grid_is_impossible(number):
    assert not output().possible(number)
    assert output().possible(0.15)


WIDE = [
    (-1e308, 1e308, 0),
    (0, 1e308, 6),
    (-1e308, 0, 0),
    (0, 2**36 + 1, 0),
    (0, 68719.476737, 6),
    (-1.7976931348623157e308, 1.7976931348623157e308, 6),
]


@pytest.mark.parametrize(("minimum", "maximum", "decimals"), WIDE)
def test_bounds_too_wide_are_refused_as_invalid_by_name_and_with_what_to_do(minimum, maximum, decimals):
    wide = {"name": "loss", "minimum": minimum, "maximum": maximum, "decimals": decimals, "over": "train"}
    content = json.loads(STUDY.bundle().to_bytes())
    content["outputs"] = [wide]
    with pytest.raises(FlipError) as caught:
        parse(Bundle, canonical_bytes(content), "The bundle")
    assert caught.value.code == "invalid-document"
    assert "output loss" in caught.value.message
    assert "narrower bounds or fewer decimals" in caught.value.message


@pytest.mark.parametrize(("minimum", "maximum"), [(-1e308, 1e308), (0, 1e308), (0, 70368.744178)])
def test_a_plan_file_with_totals_too_wide_is_refused_by_name(minimum, maximum, tmp_path):
    content = json.loads(STUDY.bundle().to_bytes())
    array = {"name": "sums", "shape": [2], "minimum": minimum, "maximum": maximum, "decimals": 9}
    plan = {name: content[name] for name in ("title", "dataset", "split", "plan", "outputs")}
    file = tmp_path / "n.flip.json"
    file.write_text(json.dumps({**plan, "cohort": "c.json", "totals": [{"arrays": [array]}]}))
    with pytest.raises(FlipError, match="array sums has bounds too wide") as caught:
        read_plan(file)
    assert caught.value.code == "invalid-document"


@pytest.mark.parametrize(
    ("minimum", "maximum", "decimals", "says"),
    [
        (1, 1, 2, "no room"),
        (1, 0, 2, "no room"),
        (0.11, 0.14, 1, "no number of 1 decimals"),
        (1e-9, 2e-9, 6, "no number"),
    ],
)
def test_bounds_that_leave_no_number_are_refused(minimum, maximum, decimals, says):
    with pytest.raises(ValidationError, match=f"output loss has {says}"):
        output(minimum=minimum, maximum=maximum, decimals=decimals)


@pytest.mark.parametrize("value", [10**400, 1e308, 2**53 + 1, 0.5])
def test_a_parameter_is_an_integer_that_json_can_hold(value):
    with pytest.raises(ValidationError, match="n is a int"):
        Parameter(name="n", type="int", default=value)
    assert Parameter(name="n", type="int", default=MAX_INTEGER).default == MAX_INTEGER


def test_a_parameter_beyond_every_double_is_refused():
    free = Parameter(name="x", type="float", default=1.0, minimum=-1e308, maximum=1e308)
    with pytest.raises(FlipError) as caught:
        free.check(10**400)
    assert caught.value.code == "wrong-type"


NUMBERS = st.one_of(ANY, st.integers(-(2**53), 2**53))
SHAPES = st.lists(st.integers(0, 2**53), max_size=16)


@st.composite
def bundles(draw):
    """Bundles as JSON data whose numbers are anything that JSON can say."""
    content = json.loads(STUDY.bundle().to_bytes())
    name = draw(st.sampled_from(sorted(FLOWER)))
    parameters = {key: draw(NUMBERS) for key in FLOWER[name].parameters if draw(st.booleans())}
    consensus = {"measure": "agreement", "threshold": draw(NUMBERS), "rounds": 2}
    low, high = draw(NUMBERS), draw(NUMBERS)
    bounds = {"minimum": low, "maximum": high, "decimals": draw(st.integers(0, 9))}
    array = {"name": "s", "shape": draw(st.lists(st.integers(1, 2**53), max_size=8)), **bounds}
    tensor = {"name": "w", "dtype": draw(st.sampled_from(sorted(STORED))), "shape": draw(SHAPES)}
    kind = draw(st.sampled_from(["int", "float"]))
    parameter = {
        "name": "lr",
        "type": kind,
        "default": draw(NUMBERS),
        "minimum": draw(NUMBERS),
        "maximum": draw(NUMBERS),
    }
    return content | {
        "plan": {
            **content["plan"],
            "rounds": draw(st.integers(0, 100_000) | NUMBERS),
            "clip_norm": draw(st.floats(0, 2**20) | NUMBERS),
            "integer_clip": draw(st.integers(0, 2**20 - 1)),
            "weight_cap": draw(st.integers(1, 2**20 - 1)),
            "aggregation": FLOWER[name].aggregation,
            "strategy": {"name": name, "parameters": parameters},
            "consensus": consensus if draw(st.booleans()) else None,
        },
        "split": {**content["split"], "shares": {"train": 2, "validation": 1, "test": draw(st.integers(0, 1000))}},
        "outputs": [{"name": "loss", "over": "train", **bounds}],
        "totals": [{"round": 0, "arrays": [array]}] if draw(st.booleans()) else [],
        "tensors": {"tensors": [tensor]},
        "parameters": [{**parameter, "choices": [], "help": ""}],
    }


@settings(max_examples=300)
@given(bundles())
def test_a_bundle_that_is_valid_never_fails_for_its_numbers(content):
    try:
        data = canonical_bytes(content)
        bundle = parse(Bundle, data, "The bundle")
    except FlipError as error:
        assert error.code in {"invalid-document", "not-json"}, error
        return
    assert bundle.report_bits >= 0
    assert bundle.agreement_bits >= 0
    assert 0 <= bundle.plan.fraction_bits <= 36
    assert bundle.tensors.weight_bytes() >= 0
    assert bundle.tensors.update_layout()
    assert what_leaves(bundle, Policy())
    told = channels(bundle, Policy(memory_use=True, per_trust_metrics=True))
    assert bits_told(told, Policy())
    assert sum(channel.bits for channel in told if channel.counted) == bundle.report_bits + bundle.agreement_bits
    try:
        Policy().refuse_bundle(bundle)
    except FlipError as error:
        assert error.code == "policy-refuses"
    for one in bundle.outputs:
        assert one.units.holds(one.admit(one.minimum))
        assert one.units.holds(one.admit(one.maximum))
    for parameter in bundle.parameters:
        assert parameter.check(parameter.default) == parameter.default


def test_a_sum_of_reports_fits_an_int64():
    assert MAX_UNITS * MAX_WEIGHT * MAX_TRUSTS == 2**62


@pytest.mark.parametrize(("steps", "ticks"), [(2001, 2001), (2001, 10**6), (5000, 9000), (3000, 10**7), (10**6, 2001)])
def test_the_bound_of_many_steps_is_little_more_than_their_number(steps, ticks):
    exact = (math.comb(ticks + steps, steps) - 1).bit_length()
    assert exact <= step_bits(steps, ticks) <= exact + 12


@pytest.mark.parametrize(
    ("dtype", "clip", "bits"), [("int64", 1000, 11), ("bool", 1000, 2), ("int64", 0, 0), ("uint8", 9, 5)]
)
def test_an_integer_carries_what_its_clip_has(dtype, clip, bits):
    tensors = {"tensors": [{"name": "seen", "shape": [10], "dtype": dtype}]}
    bundle = STUDY.bundle(tensors=tensors, plan=Plan(rounds=3, clip_norm=1e-3, integer_clip=clip))
    weights = next(channel for channel in channels(bundle, Policy()) if channel.name == WEIGHTS)
    assert weights.bits == 3 * (10 * bits + 3)


def test_integer_tensors_are_within_the_policy():
    counter = {"tensors": [{"name": "seen", "shape": [], "dtype": "int64"}]}
    strict = Policy(maximum_integer_clip=1000)
    strict.refuse_bundle(STUDY.bundle())  # which has none
    for clip, refused in ((1000, False), (1001, True)):
        bundle = STUDY.bundle(tensors=counter, plan=Plan(rounds=1, clip_norm=1e-3, integer_clip=clip))
        if not refused:
            strict.refuse_bundle(bundle)
            assert any("each changes by at most 1,000" in line for line in what_leaves(bundle, strict))
            continue
        with pytest.raises(FlipError, match="integer_clip 1001 is above 1000"):
            strict.refuse_bundle(bundle)
