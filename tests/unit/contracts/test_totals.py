"""Totals are exact: bounded integers whose sum over all Trusts is a number that JSON and float64 can hold."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flipnb.contracts.broker import AskTotal
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.problem import FlipError
from flipnb.contracts.total import DeclaredArray, TotalStep, add_units, check_steps, find_step
from flipnb.session.rounds import Rounds
from flipnb.session.total import ask_total
from flipnb.workbench.local_channel import LocalChannel


@settings(max_examples=60)
@given(
    parts=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=1, max_size=MAX_TRUSTS),
    decimals=st.integers(0, 9),
)
def test_a_sum_is_that_of_the_rounded_numbers_in_any_order(parts, decimals):
    step = TotalStep(arrays=(DeclaredArray(name="x", shape=(3,), minimum=-1e3, maximum=1e3, decimals=decimals),))
    units = [step.admit({"x": part}) for part in parts]
    total = add_units(step, units)
    assert total == add_units(step, units[::-1])
    assert all(float(value) == value and abs(value) < 2**53 for value in total["x"])
    error = len(parts) * (0.5 * 10.0**-decimals + 1e-9)
    np.testing.assert_allclose(step.restore(total)["x"], np.sum(parts, axis=0), rtol=0, atol=error)
    assert all(step.arrays[0].possible(part["x"]) for part in units)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"minimum": 1, "maximum": 1}, "no room"),
        ({"shape": (0,)}, "empty shape"),
        ({"maximum": 1e8, "decimals": 9}, "too wide"),
    ],
)
def test_an_array_without_sense_is_refused(changes, says):
    with pytest.raises(ValidationError, match=says):
        DeclaredArray(**{"name": "x", "minimum": 0, "maximum": 1, "decimals": 1, **changes})


def step(*names, round=0, final=False):
    arrays = tuple(DeclaredArray(name=name, minimum=0, maximum=9, decimals=1) for name in names)
    return TotalStep(arrays=arrays, round=round, final=final)


def test_a_step_of_the_final_evaluation_is_behind_all_rounds():
    steps = (step("a"), step("b", round=2), step("c", final=True), step("d", final=True))
    check_steps(steps, 2)
    check_steps((step("a"), step("c", final=True)), 0)
    assert [one.place for one in steps] == [0, 2, "final", "final"]
    assert "final" not in json.loads(steps[1].to_bytes()) and json.loads(steps[2].to_bytes())["final"] is True
    with pytest.raises(ValueError, match="stands last"):
        check_steps((step("c", final=True), step("a")), 2)
    with pytest.raises(ValidationError, match="not in both"):
        step("c", round=1, final=True)


def test_steps_are_in_order_and_their_names_their_own():
    steps = (step("a", "b"), step("c", round=2), step("d", round=2))
    check_steps(steps, 2)
    assert find_step(steps, ["b", "a"]) == 1
    assert find_step(steps, ["d"]) == 3
    with pytest.raises(FlipError, match=r"totals a, c"):
        find_step(steps, ["c", "a"])
    for wrong in ((step("a"), step("a")), (step("a", round=1), step("b")), (step("a", round=3),)):
        with pytest.raises(ValueError, match="totals"):
            check_steps(wrong, 2)


def test_a_recorded_rehearsal_refuses_a_total_at_another_place(tmp_path):
    """But not which of the training rounds: a rehearsal has fewer than the plan."""
    totals = (step("a"), step("b", round=40), step("c", final=True))
    outputs = (DeclaredOutput(name="loss", minimum=0, maximum=9, decimals=1),)

    def channel():
        return LocalChannel(outputs, 2, config={}, clip_norm=100.0, totals=totals, record=tmp_path)

    def refused(name):
        with pytest.raises(FlipError) as caught:
            ask_total(channel(), {name: 1})
        return caught.value.code == "wrong-place"

    assert ask_total(channel(), {"a": 2})["a"] == 2 and refused("b") and refused("c")
    for rnd in Rounds(channel(), {"w": np.zeros(1)}):
        assert refused("a")
        assert ask_total(channel(), {"b" if rnd.training else "c": 3})
        assert refused("c" if rnd.training else "b")
        rnd.report(loss=1)
    assert ask_total(channel(), {"a": 2})["a"] == 2


def test_a_rehearsal_totals_the_twin_alone():
    totals = (TotalStep(arrays=(DeclaredArray(name="x", shape=(2, 2), minimum=0, maximum=9, decimals=1),)),)
    channel = LocalChannel((), 1, config={}, clip_norm=1.0, totals=totals)
    given = np.array([[1.26, 2.0], [3.0, 4.0]])
    answer = ask_total(channel, {"x": given})["x"]
    assert answer.tolist() == [[1.3, 2.0], [3.0, 4.0]]
    with pytest.raises(FlipError, match="bounds"):
        ask_total(channel, {"x": 10 * given})
    with pytest.raises(FlipError, match="NaN"):
        ask_total(channel, {"x": np.nan * given})
    with pytest.raises(FlipError, match="not declared"):
        channel.total(AskTotal(values={"y": (1.0,)}))
