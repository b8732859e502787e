"""A kernel gets the bundle's weights first, and then none that the plan's rounds can't have made of the last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from enclave_scenario import WEIGHTS, Chamber, Study, sealed, sha
from safetensors.numpy import save

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import Strategy
from flipnb.enclave.airlock.airlock import Airlock
from flipnb.enclave.runs.directory import clear


def at(value: float, bias: float = 0.0) -> bytes:
    return save({"weight": np.array([[value, 0]], np.float32), "bias": np.full(1, bias, np.float32)})


@pytest.fixture
def chamber(tmp_path: Path) -> Chamber:
    return Chamber(Study(), tmp_path, plan=Plan(rounds=9, clip_norm=1.0))


def offered(chamber: Chamber, number: int, content: bytes, airlock: Airlock | None = None) -> None:
    airlock = airlock or chamber.airlock
    context = chamber.context(number, content)
    assert airlock.take(context) is None
    assert airlock.missing(context) is None
    airlock.offer(context, sealed(content))


def refusal(chamber: Chamber, number: int, content: bytes, **changes: Any) -> str:
    context = chamber.context(number, content, **changes)
    with pytest.raises(FlipError) as caught:
        chamber.airlock.take(context)
        chamber.airlock.offer(context, sealed(content))
    assert caught.value.code == "round-refused"
    return caught.value.message


def kept(chamber: Chamber) -> list[str]:
    return sorted(path.name for path in (chamber.directory / "run").glob("given-*"))


def test_weights_move_by_the_clip_and_no_further(chamber: Chamber) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    offered(chamber, 2, at(0.99))
    chamber.answer(2)
    offered(chamber, 3, at(1.98))
    chamber.answer(3)
    words = refusal(chamber, 4, at(3.1))
    assert words == (
        "Round 4 is refused: The global weights lie 1.12 (L2) from those of round 3; "
        "FedAvg with a clip_norm of 1 moves them by at most 1.00098."
    )
    assert chamber.airlock.next_round(0.0) is None
    assert not chamber.airlock.open
    # The round has had its context: the hub gets no second try, now or after a restart.
    for airlock in (chamber.airlock, chamber.open()):
        with pytest.raises(FlipError, match="another context before"):
            airlock.take(chamber.context(4, at(2)))
        with pytest.raises(FlipError, match="round 4 is not answered yet"):
            airlock.take(chamber.context(5, at(2)))
        with pytest.raises(FlipError, match=r"lie 1\.12"):
            airlock.offer(chamber.context(4, at(3.1)), sealed(at(3.1)))
    log = [json.loads(entry) for entry in chamber.audit.page(0).entries]
    assert next(entry["details"]["reason"] for entry in log if entry["kind"] == "round-refused") == words


def test_skipped_rounds_add_up(chamber: Chamber) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    offered(chamber, 4, at(2.99))
    chamber.answer(4)
    assert "from those of round 4" in refusal(chamber, 6, at(5.1))


@pytest.mark.parametrize("training", [True, False])
def test_the_final_weights_are_held_to_it_as_well(tmp_path: Path, training: bool) -> None:
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=2 if training else 1, clip_norm=1.0))
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    assert "lie 2 (L2)" in refusal(chamber, 2, at(2))


def test_config_is_what_the_plan_says(tmp_path: Path) -> None:
    prox = Plan(rounds=2, clip_norm=9, strategy=Strategy(name="FedProx", parameters={"proximal_mu": 0.1}))
    chamber = Chamber(Study(), tmp_path / "prox", plan=prox)
    for config in ({}, {"proximal_mu": 0.2}, {"proximal_mu": 0.1, "seed": 7.0}):
        assert "its config is not" in refusal(chamber, 1, WEIGHTS, config=config)
    assert chamber.airlock.take(chamber.context(1, config={"proximal_mu": 0.1})) is None
    plain = Chamber(Study(), tmp_path / "plain")
    assert "its config is not" in refusal(plain, 1, WEIGHTS, config={"lr": 1e9})
    own = Plan(rounds=1, clip_norm=9, strategy=Strategy(name="lab.Own", parameters={"lr": 0.1}))
    installed = Chamber(Study(), tmp_path / "own", plan=own)
    assert "its config is not" in refusal(installed, 1, WEIGHTS, config={"lr": 0.2})
    context = installed.context(1, config={"lr": 0.1})
    assert installed.airlock.take(context) is None
    installed.airlock.offer(context, sealed(WEIGHTS))
    installed.answer(1)
    assert "its config is not" in refusal(installed, 2, WEIGHTS, config={"lr": 0.1})  # only training has one


def test_a_plan_may_keep_all_weights_near_the_first(tmp_path: Path) -> None:
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=9, clip_norm=1.0, radius=1.5))
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    offered(chamber, 2, at(1.0))
    chamber.answer(2)
    assert kept(chamber) == ["given-1.safetensors", "given-2.safetensors"]
    offered(chamber, 3, at(1.5))
    chamber.answer(3)
    assert kept(chamber) == ["given-1.safetensors", "given-3.safetensors"]
    chamber.airlock.close()
    (chamber.directory / "run" / "given-1.safetensors").unlink()
    chamber.airlock = chamber.open()
    context = chamber.context(4, at(1.6))
    assert chamber.airlock.take(context) is None
    missing = chamber.airlock.missing(context)
    assert missing is not None
    assert (missing.round, missing.sha256) == (1, sha(WEIGHTS))
    chamber.airlock.keep(missing, sealed(WEIGHTS))
    assert chamber.airlock.missing(context) is None
    words = r"Round 4 is refused: The global weights lie 1\.6 .* from those of round 1; the plan's radius is 1\.5\."
    with pytest.raises(FlipError, match=words):
        chamber.airlock.offer(context, sealed(at(1.6)))


def test_other_bytes_than_a_coordinators_are_refused(chamber: Chamber) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    other = save({"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}, {"note": "run this"})
    assert "layout that follows from the tensor spec" in refusal(chamber, 2, other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(chamber: Chamber, value: float) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    assert "'weight' holds NaN or infinity" in refusal(chamber, 2, at(value))


def test_a_restarted_agent_measures_by_what_it_gave(chamber: Chamber) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    chamber.airlock.close()
    chamber.airlock = chamber.open()
    offered(chamber, 2, at(0.5))
    chamber.airlock.close()
    chamber.airlock = chamber.open()  # before it was answered: the same weights again, measured before
    offered(chamber, 2, at(0.5))
    assert kept(chamber) == ["given-2.safetensors"]
    chamber.answer(2)
    chamber.airlock.close()
    chamber.airlock = chamber.open()
    assert "from those of round 2" in refusal(chamber, 3, at(2))


@pytest.mark.parametrize("left", [None, b"", at(7)])
def test_what_is_lost_or_damaged_is_asked_for_by_its_digest(chamber: Chamber, left: bytes | None) -> None:
    offered(chamber, 1, WEIGHTS)
    chamber.answer(1)
    offered(chamber, 2, at(0.5))
    chamber.answer(2)
    chamber.airlock.close()
    path = chamber.directory / "run" / "given-2.safetensors"
    path.unlink() if left is None else path.write_bytes(left)
    airlock = chamber.open()
    context = chamber.context(3, at(1.0))
    assert airlock.take(context) is None
    missing = airlock.missing(context)
    assert missing is not None
    assert (missing.round, missing.sha256, missing.size) == (2, sha(at(0.5)), len(at(0.5)))
    with pytest.raises(FlipError, match="The weights of round 2, to measure it by, are not here"):
        airlock.offer(context, sealed(at(1.0)))
    airlock.keep(missing, sealed(at(0.5)))
    airlock.offer(context, sealed(at(1.0)))
    given = airlock.next_round(1.0)
    assert given is not None
    assert given.context.round == 3
    airlock.close()


def test_who_comes_late_measures_by_the_bundles_weights(chamber: Chamber) -> None:
    context = chamber.context(3, at(1.9))
    assert chamber.airlock.take(context) is None
    missing = chamber.airlock.missing(context)
    assert missing is not None
    assert (missing.round, missing.sha256, missing.size) == (1, sha(WEIGHTS), len(WEIGHTS))
    chamber.airlock.keep(missing, sealed(WEIGHTS))
    chamber.airlock.offer(context, sealed(at(1.9)))
    assert chamber.airlock.open


def test_first_weights_that_another_program_wrote_do_as_well(tmp_path: Path) -> None:
    first = save({"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}, {"format": "pt"})
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=9, clip_norm=1.0), initial_weights=sha(first))
    offered(chamber, 1, first)
    chamber.answer(1)
    offered(chamber, 2, at(0.5))
    chamber.answer(2)
    assert "lie 1.5 (L2)" in refusal(chamber, 3, at(2))


@pytest.mark.parametrize(
    "first",
    [
        (1 << 62).to_bytes(8, "little") + WEIGHTS[8:],
        (4).to_bytes(8, "little") + b"[[[[",
        (2).to_bytes(8, "little") + b"[]",
        save({"weight": np.zeros((1, 2), np.float32)}),
        save({"weight": np.zeros((2, 1), np.float32), "bias": np.zeros(1, np.float32)}),
        save({"weight": np.zeros((1, 2), np.float64), "bias": np.zeros(1, np.float32)}),
        WEIGHTS[:-1],
        WEIGHTS.replace(b"[0,4]", b"[9,4]"),
    ],
)
def test_first_weights_that_are_none_of_the_model_are_refused(tmp_path: Path, first: bytes) -> None:
    chamber = Chamber(Study(), tmp_path, initial_weights=sha(first))
    assert "The global weights" in refusal(chamber, 1, first)


def test_at_the_end_of_a_run_they_are_gone(chamber: Chamber) -> None:
    offered(chamber, 1, WEIGHTS)
    assert kept(chamber) == ["given-1.safetensors"]
    clear(chamber.directory / "run")
    assert kept(chamber) == []
