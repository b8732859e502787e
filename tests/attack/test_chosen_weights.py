"""A hub that chooses weights reads a patient out of an honest model, and what of that the bound on weights leaves it.

One Trust, one agent, real kernels and an honest notebook that a controller approved; and the same against the airlock
alone, many times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chosen_weights import CENTRE, EPOCHS, RATE, SPREAD, Patients, Vector, Walk, read, right, solve, wander
from enclave_federation import Patient, fill_with, until
from enclave_scenario import SPEC, Chamber, Study, sealed, sha
from hostile_hub import Scene, opened
from safetensors.numpy import load, save

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.round import RoundContext
from flipnb.contracts.task import TaskAnswer

PRESSURE = 3004249
PATIENTS = Patients.drawn(40, seed=5)
FEMALE, MALE = 8532, 8507
DIRECTION = np.array([0.98, 0.2]) / np.hypot(0.98, 0.2)
SLOPE = 60.0
NOTEBOOK = f"""
import numpy as np
import flipnb as flip
people = flip.data().train.frame()
x = (people[["age", "pressure"]].to_numpy(float) - {CENTRE.tolist()}) / {SPREAD.tolist()}
y = (people["sex"] == {MALE}).to_numpy(float)
model = {{"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}}
for rnd in flip.rounds(model, state=[]):
    for epoch in range({EPOCHS} if rnd.training else 0):
        error = 1 / (1 + np.exp(-(x @ model["weight"][0] + model["bias"]))) - y
        model["weight"] -= {RATE} * (error @ x) / len(y)
        model["bias"] -= {RATE} * error.mean()
    rnd.report(error=float(np.abs(error).mean()) if rnd.training else 0.5)
"""


def estate(directory: Path) -> str:
    return fill_with(
        directory,
        [
            Patient(pressure, born=2000 - int(age), gender=MALE if label else FEMALE)
            for (age, pressure), label in zip(PATIENTS.rows.tolist(), PATIENTS.labels, strict=True)
        ],
    )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("chosen"), estate) as scene:
        yield scene


def content(weights: Vector) -> bytes:
    arrays = weights.astype(np.float32)
    return save({"weight": arrays[None, :2], "bias": arrays[2:]})


class TurnedHub:
    """Asks rounds of one approved run, whatever weights it likes from the second on, and reads the answers."""

    def __init__(self, scene: Scene, title: str, plan: Plan, nonce: str) -> None:
        self._scene, self.plan, self.number = scene, plan, 0
        self.bundle: Bundle = scene.bundle(
            title=title,
            plan=plan,
            notebook=FrozenNotebook(
                cells=(
                    Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
                    Cell(id="b", type="code", source=NOTEBOOK.strip()),
                )
            ),
            dataset=Dataset(
                variables=(
                    Variable(name="age", source="age"),
                    Variable(name="sex", source="sex"),
                    Variable(name="pressure", source="measurement", concept_id=PRESSURE),
                )
            ),
            split=Split(seed=1, shares=Shares(train=1)),
            outputs=(DeclaredOutput(name="error", minimum=0, maximum=1, decimals=2),),
        )
        self.run, _ = scene.put(self.bundle, nonce)
        assert scene.trust.approve(self.bundle.digest()).is_success
        assert scene.hub.ask("start", run=self.run, members=scene.study.members()).code is None
        self.change(np.zeros(3))

    def context(self, weights: Vector, **changes: Any) -> RoundContext:
        data = content(weights)
        self._scene.hub.blobs[sha(data)] = data
        return self._scene.context(self.run, self.bundle, self.number, data, **changes)

    def answer(self, weights: Vector, number: int | None = None) -> TaskAnswer:
        self.number = number or self.number + 1
        return self._scene.round(self.context(weights))

    def change(self, weights: Vector) -> Vector:
        answer = self.answer(weights)
        assert answer.update is not None, answer
        return changed(answer.update, self.plan)

    def stop(self) -> None:
        self._scene.hub.ask("stop", run=self.run)
        until(lambda: self._scene.trust.run_state(self.run) not in ("starting", "running"))


def changed(update: bytes, plan: Plan) -> Vector:
    """The change that an update file holds."""
    arrays = load(update)
    units = [
        arrays[f"update/{tensor.name}"].ravel() * 2.0 ** (int(shift) - plan.fraction_bits)
        for tensor, shift in zip(SPEC.tensors, arrays["shift"], strict=True)
    ]
    return np.concatenate(units)


def test_where_the_clip_allows_it_one_patient_is_read(scene: Scene) -> None:
    """No fault of the notebook: with a clip of 1,000 any weights are within reach. So small clips are asked for."""
    hub = TurnedHub(scene, "A clip of 1,000", Plan(rounds=100, clip_norm=1000.0), "a")
    truth = PATIENTS.furthest(DIRECTION)
    found = read(hub.change, len(PATIENTS.rows), DIRECTION, SLOPE)
    hub.stop()
    assert found is not None
    assert np.abs(found - truth).max() < 0.5, (found, truth)


def test_weights_beyond_the_clip_are_refused_from_the_first_such_round(scene: Scene) -> None:
    hub = TurnedHub(scene, "A clip of 1", Plan(rounds=100, clip_norm=1.0), "b")
    asked = SLOPE * np.append(DIRECTION, -3.2)
    answer = hub.answer(asked)
    assert (answer.code, answer.envelope, answer.update) == ("round-refused", None, None)
    assert answer.reason is not None
    assert answer.reason.startswith("Round 2 is refused: The global weights lie 201")
    assert "from those of round 1; FedAvg with a clip_norm of 1 moves them by at most 1.00098." in answer.reason
    log = [entry["details"] for entry in scene.trust.audit() if entry["kind"] == "round-refused"]
    assert [entry["reason"] for entry in log if entry["run"] == hub.run] == [answer.reason]
    # Nor by any other way to the same weights: the round has had its context, and there is none after it.
    for number in (2, 3, 60, 101):
        assert hub.answer(asked / 201, number).code == "round-refused", number
    hub.stop()


def test_what_a_notebook_is_told_is_the_plans(scene: Scene) -> None:
    hub = TurnedHub(scene, "A config of the hub's", Plan(rounds=100, clip_norm=1.0), "c")
    hub.number += 1
    refused = scene.round(hub.context(np.zeros(3), config={"epochs": 1.0}))
    assert refused.code == "round-refused"
    assert refused.reason == "The round is refused: its config is not that of the plan's strategy."
    assert hub.answer(np.zeros(3), 2).envelope is not None
    hub.stop()


def played(people: int, clip: float, rounds: int, slope: float, seed: int, radius: float = math.inf) -> bool:
    """One game of a hub that stays within the bound, against a Trust of its own."""
    patients = Patients.drawn(people, seed)
    direction = np.array([np.cos(0.2 + seed), np.sin(0.2 + seed)])
    walk = Walk(lambda weights, _: patients.change(weights, clip), clip, rounds, radius)
    return right(read(walk, people, direction, slope), patients.furthest(direction))


def test_within_the_bound_clip_times_rounds_decides() -> None:
    """The figures of docs/threats.md, which has them of more games: what is left until enclaves make the weights."""
    games = 40

    def read_in(rounds: int, *slopes: float, radius: float = math.inf) -> int:
        return max(sum(played(100, 1.0, rounds, slope, seed, radius) for seed in range(games)) for slope in slopes)

    assert read_in(10, 2, 4) == 0
    assert read_in(20, 2, 4, 6) <= games // 5
    assert read_in(100, 12, 20) >= games // 3
    assert read_in(100, 1, 2, 4, 6, 12, 20, radius=5.0) == 0


def test_within_the_bound_few_people_are_all_read_at_once() -> None:
    """By who solves the equations: no bound on weights helps, but weights that no hub has chosen do."""
    patients, people, rounds = Patients.drawn(20, seed=1), 20, 60

    def read_from(weights: Vector) -> float:
        changes = np.stack([patients.change(one, 1.0) for one in weights])
        return patients.share_read(solve(weights, changes, people, seed=1))

    assert read_from(wander(rounds, step=1.0, radius=5.0, seed=1)) > 0.5
    honest = [np.zeros(3, np.float32)]
    while len(honest) < rounds:
        honest.append((honest[-1] + patients.change(honest[-1].astype(float), 1.0)).astype(np.float32))
    assert read_from(np.array(honest, float)) < 0.35


def test_what_stays_within_the_bound_is_taken(tmp_path: Path) -> None:
    """The airlock refuses no step of that walk, skipped rounds and all: the figures are of what gets through."""
    clip, rounds, people = 1.0, 100, 30
    chamber = Chamber(Study(), tmp_path, plan=Plan(rounds=rounds, clip_norm=clip))
    patients = Patients.drawn(people, seed=3)

    def ask(weights: Vector, number: int) -> Vector:
        data = content(weights)
        context = chamber.context(number, data)
        assert chamber.airlock.take(context) is None
        assert chamber.airlock.missing(context) is None
        chamber.airlock.offer(context, sealed(data))
        change = patients.change(weights, clip)
        chamber.answer(number, (change[0], change[1], change[2]))
        return changed((chamber.directory / "run" / f"round-{number}.safetensors").read_bytes(), chamber.bundle.plan)

    ask(np.zeros(3), 1)
    walk = Walk(ask, clip, rounds)
    assert read(walk, people, np.array([1.0, 0.0]), 20.0) is not None
    assert walk.number > 60
