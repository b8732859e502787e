"""What a runner accepts, and what it can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flipnb.contracts.failure import ENCLAVE_CLASSES, ERROR_CLASSES, error_class
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.parameters import Parameter
from flipnb.enclave.runner.order import EVENT_BYTES, RUNNER_EVENT, RunnerOrder, Verdict

NOTEBOOK = FrozenNotebook(cells=(Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),))
SPACE = (Parameter(name="lr", type="float", default=0.1, minimum=0, maximum=1),)


def order(**fields: Any) -> RunnerOrder:
    return RunnerOrder(notebook=NOTEBOOK, executed=Path("executed.ipynb"), **fields)


def test_the_point_is_completed_in_the_types_of_the_space() -> None:
    assert order(space=SPACE, point={"lr": 1}).values() == {"lr": 1.0}
    assert order(space=SPACE).values() == {"lr": 0.1}


@pytest.mark.parametrize(
    "point",
    [
        {"lr=1\nimport os": 1.0},
        {"lr = 0.1\nprint": 1.0},
        {"other": 1.0},
        {"lr": 2.0},
        {"lr": "0.1"},
        {"lr": float("nan")},
        {"lr": [1.0]},
    ],
)
def test_a_hostile_point_is_refused(point: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        order(space=SPACE, point=point)


@pytest.mark.parametrize("name", ["a=1\nimport os", "class", "a b", "", "a;b", "ａ", "a" * 64])
def test_a_parameter_is_an_identifier(name: str) -> None:
    with pytest.raises(ValidationError):
        Parameter(name=name, type="int", default=1)


def test_an_order_survives_its_way_to_the_runner() -> None:
    one = order(space=SPACE, point={"lr": 0.5})
    assert RunnerOrder.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    "event",
    [
        {"event": "verdict", "outcome": "failed", "error_class": "Patient4711"},
        {"event": "verdict", "outcome": "failed"},
        {"event": "verdict", "outcome": "finished", "error_class": "ValueError"},
        {"event": "verdict", "outcome": "failed", "error_class": "ValueError", "message": "x"},
        {"event": "verdict", "outcome": "failed", "error_class": "ValueError", "line": 1 << 40},
        {"event": "cell", "index": 1, "of": 1, "state": "secret"},
        {"event": "cell", "index": 10**9, "of": 1, "state": "started"},
        {"event": "cell", "index": "1", "of": 1, "state": "started"},
        {"event": "log", "text": "x"},
    ],
)
def test_a_runner_can_say_nothing_else(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RUNNER_EVENT.validate_json(json.dumps(event), strict=True)


def test_the_longest_verdict_fits_its_packet() -> None:
    longest = Verdict(
        outcome="failed",
        error_class=max(ERROR_CLASSES, key=len),
        cell=5000,
        line=1 << 20,
        reason="output-messages",
        status=255,
    )
    assert len(longest.model_dump_json()) < EVENT_BYTES


def test_error_classes_are_a_closed_list() -> None:
    import builtins

    own = {
        name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
    }
    # IOError and EnvironmentError are other names of OSError.
    assert {getattr(builtins, name).__name__ for name in own} <= ERROR_CLASSES
    assert error_class("ValueError") == "ValueError"
    for name in ("PatientError", "", None, 3, "Value Error", *ENCLAVE_CLASSES):
        assert error_class(name) == "Exception"


def test_a_verdict_leaves_without_what_the_enclave_saw() -> None:
    verdict = Verdict(outcome="failed", error_class="OutOfMemory", cell=2, reason="memory", status=137)
    failure = verdict.failure(3)
    assert failure is not None
    assert failure.model_dump() == {"error_class": "OutOfMemory", "cell": 2, "line": None, "refusal": None, "round": 3}
    assert Verdict(outcome="stopped").failure() is None
