"""Parameters, tensors, outputs, plans and the state machine of a run."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flipnb.contracts import run
from flipnb.contracts.audit import leaf_hash, tree_head
from flipnb.contracts.outputs import DeclaredOutput, admit_report
from flipnb.contracts.parameters import Parameter, check_point, grid
from flipnb.contracts.plan import MAX_TRUSTS, MAX_WEIGHT, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import Tensor, TensorSpec

SPACE = (
    Parameter(name="lr", type="float", default=0.1, minimum=0.0, maximum=1.0),
    Parameter(name="steps", type="int", default=1, choices=(1, 5)),
    Parameter(name="note", type="str", default="x"),
    Parameter(name="flag", type="bool", default=False, choices=(True, False)),
)


def test_a_point_is_filled_with_defaults_and_typed():
    assert check_point(SPACE, {"lr": 1}) == {"lr": 1.0, "steps": 1, "note": "x", "flag": False}
    assert isinstance(check_point(SPACE, {"lr": 1})["lr"], float)


@pytest.mark.parametrize(
    ("point", "code", "says"),
    [
        ({"lr": 1.5}, "out-of-bounds", "lr"),
        ({"lr": "0.1"}, "wrong-type", "lr"),
        ({"lr": True}, "wrong-type", "lr"),
        ({"lr": math.nan}, "wrong-type", "lr"),
        ({"steps": 2}, "out-of-bounds", "steps"),
        ({"steps": 1.5}, "wrong-type", "steps"),
        ({"note": "y"}, "out-of-bounds", "note"),
        ({"flag": 1}, "wrong-type", "flag"),
        ({"a=1\nimport os": 1}, "unknown-parameter", "no parameter"),
    ],
)
def test_a_value_outside_the_space_is_refused_by_name(point, code, says):
    with pytest.raises(FlipError, match=says) as caught:
        check_point(SPACE, point)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["class", "a b", "a=1\nimport os", "1a", "é", ""])
def test_a_parameter_name_is_an_identifier(name):
    with pytest.raises(ValidationError):
        Parameter(name=name, type="int", default=1)


def test_a_sweep_is_the_product_of_its_values():
    assert len(list(grid({"lr": [0.1, 0.2], "steps": [1, 5]}))) == 4


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["float32", "float64", "bfloat16", "int64"])
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_update_layout_does_not_overlap(shapes):
    tensors = tuple(Tensor(name=f"t{i}", shape=tuple(s), dtype=d) for i, (s, d) in enumerate(shapes))
    slots, size = TensorSpec(tensors=tensors).update_layout()
    end = 0
    for slot in slots:
        assert slot.offset % 64 == 0
        assert slot.offset >= end
        end = slot.offset + slot.count * (4 if slot.dtype == "float32" else 8)
    assert end <= size


@given(st.floats(min_value=1e-6, max_value=2**20))
def test_the_fixed_point_sum_cannot_overflow(clip):
    bits = Plan(rounds=1, clip_norm=clip).fraction_bits
    assert bits >= 0
    largest = Fraction(clip) * MAX_WEIGHT * MAX_TRUSTS * 2**bits + MAX_TRUSTS
    assert largest < 2**63


def test_outputs_are_admitted_by_declaration():
    declared = (DeclaredOutput(name="loss", minimum=0, maximum=10, decimals=2),)
    assert admit_report(declared, {"loss": 1.239}) == {"loss": 124}
    for report, code in [
        ({"loss": 1, "more": 2}, "undeclared-output"),
        ({}, "missing-output"),
        ({"loss": 11}, "output-out-of-bounds"),
        ({"loss": math.inf}, "not-a-number"),
        ({"loss": "1"}, "not-a-number"),
    ]:
        with pytest.raises(FlipError) as caught:
            admit_report(declared, report)
        assert caught.value.code == code
    assert declared[0].bits == 10


@pytest.mark.parametrize(
    ("weight", "whole", "share"),
    [(0, 9, "under-10"), (99, 1000, "under-10"), (1, 10, "10-to-25"), (249, 1000, "10-to-25"), (1, 4, "25-to-50"),
     (1, 2, "25-to-50"), (501, 1000, "over-50"), (7, 7, "over-50"), (2**20, 2**26, "under-10")],
)  # fmt: skip
def test_a_share_is_told_as_a_band(weight, whole, share):
    assert run.share_of(weight, whole) == share


def test_every_state_leads_to_an_end():
    for transitions in (run.RUN_TRANSITIONS, run.TRUST_TRANSITIONS):
        ends = {state for state, following in transitions.items() if not following}
        for state in transitions:
            seen, frontier = set(), {state}
            while frontier:
                seen |= frontier
                frontier = set().union(*(transitions[s] for s in frontier)) - seen
            assert seen & ends
    with pytest.raises(FlipError, match="succeeded"):
        run.advance_run("succeeded", "running")


def test_the_tree_head_is_that_of_rfc_6962():
    # Test vectors of RFC 6962's reference implementation (certificate-transparency, merkle_tree_test).
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    heads = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    leaves = [leaf_hash(bytes.fromhex(text)) for text in inputs]
    for size, head in heads.items():
        assert tree_head(leaves[:size]).hex() == head
