"""Ways by which a hub and a notebook together had a finer clock, or one that nobody counted, found on 2026-12-01."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from enclave_federation import NOTEBOOK, until
from hostile_hub import Scene, opened

from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.plan import Plan
from flipnb.contracts.total import DeclaredArray, TotalContext, TotalStep, TotalSum

pytestmark = pytest.mark.timeout(180)

GRID_S = 3.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("clocks"), reply_seconds=GRID_S) as scene:
        yield scene


def start(scene: Scene, nonce: str, source: str, **changes: Any) -> tuple[str, Any]:
    cells = (
        Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
        Cell(id="b", type="code", source=source.strip()),
    )
    bundle = scene.bundle(title=f"Clock {nonce}", notebook=FrozenNotebook(cells=cells), **changes)
    run, _ = scene.put(bundle, nonce)
    assert scene.trust.approve(bundle.digest()).is_success
    assert scene.hub.ask("start", run=run, members=scene.study.members()).code is None
    return run, bundle


def ask_at_intervals(scene: Scene, number: int, pause: float, **fields: Any) -> list[float]:
    """The same thing asked by several tasks, one after the other; when each was answered."""
    first = len(scene.hub.tasks)
    for place in range(number):
        plain = {"id": f"{first:016x}{place:016x}", "sequence": first + place + 1, "study": "heart"}
        scene.hub.tasks.append(plain | fields)
        time.sleep(pause)
    tasks = [task["id"] for task in scene.hub.tasks[first:]]
    until(lambda: all(task in scene.hub.answered for task in tasks), 60)
    return [scene.hub.answered[task] for task in tasks]


TOTALLING = NOTEBOOK.replace("PLACE", "pass").replace("for rnd", 'flip.total({"sums": [1.0, 2.0]})\nfor rnd', 1)
SUMS = TotalStep(arrays=(DeclaredArray(name="sums", shape=(2,), minimum=-10, maximum=10, decimals=1),))


def test_many_tasks_for_one_answer_are_no_finer_grid(scene: Scene) -> None:
    """Each had a grid of its own, from its own arrival: with thirty of them, one of a thirtieth."""
    run, bundle = start(scene, "1", TOTALLING, totals=(SUMS,))
    members = scene.study.members()
    context = TotalContext(run=run, bundle=bundle.digest(), step=1, members=members)
    answered = ask_at_intervals(
        scene, 4, 0.6, kind="total", run=run, total=context.model_dump(mode="json")
    )  # within one step of the grid: the kernel starts meanwhile
    assert max(answered) - min(answered) < 1.0
    result = TotalSum(context=context, members=members, values={"sums": (20, 40)})
    assert scene.hub.ask("summed", run=run, summed=result).code is None
    round_1 = scene.context(run, bundle, 1).model_dump(mode="json")
    answered = ask_at_intervals(scene, 4, 0.6, kind="round", run=run, context=round_1)
    phases = {round(moment % GRID_S / GRID_S * 5) % 5 for moment in answered}
    assert len(phases) <= 2, answered
    scene.hub.ask("stop", run=run)


OPENED_AGAIN = """
import os, time
import numpy as np
import flipnb as flip
from flipnb.contracts.problem import FlipError
model = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
rounds = flip.rounds(model, state=[])
channel = rounds.channel
for rnd in rounds:
    rnd.report(loss=0.5, accuracy=0.75)
    if rnd.number == 1:
        for _ in range(3):
            time.sleep(0.5)
            try:
                channel.open(rounds._model)
            except FlipError:
                pass
        channel._socket.send(rounds._prepare(rnd, leave=False).to_bytes())
        channel._socket.close()  # at once: where the answer goes out meanwhile, it would be given round 2 already
        time.sleep(9)
        channel.__init__(os.environ["FLIP_BROKER"])
        rounds._submit = lambda current: channel.open(rounds._model)
    elif rnd.number == 2:
        del rounds._submit
"""


def progress(scene: Scene, run: str, number: int) -> bool:
    told = [said["progress"] for said in list(scene.hub.reports) if said["run"] == run and said.get("progress")]
    return any(one["round"] == number for one in told)


def test_a_notebook_chooses_neither_when_weights_are_fetched_nor_when_a_round_begins(scene: Scene) -> None:
    """It opened the same round again and again, and the hub saw the weights fetched each time: a bit by each point of
    the grid, none of them counted. And it hung up, and came back for the next round when it liked."""
    run, bundle = start(scene, "2", OPENED_AGAIN, plan=Plan(rounds=2, clip_norm=10.0))
    fetched = len(scene.hub.fetched)
    assert scene.round(scene.context(run, bundle, 1)).code is None
    assert len(scene.hub.fetched) - fetched == 1
    asked = time.monotonic()
    first = len(scene.hub.tasks)
    scene.hub.tasks.append(
        {"id": f"{first:032x}", "sequence": first + 1, "study": "heart", "kind": "round", "run": run}
        | {"context": scene.context(run, bundle, 2).model_dump(mode="json")}
    )
    until(lambda: progress(scene, run, 2))
    assert time.monotonic() - asked < 6.0
    until(lambda: f"{first:032x}" in scene.hub.answered)
    last = scene.round(scene.context(run, bundle, 3))
    assert last.code is None, [said for said in scene.hub.reports if said["run"] == run]
    until(lambda: scene.trust.run_state(run) == "finished")


SLOW = NOTEBOOK.replace("PLACE", "__import__('time').sleep(8)")


def test_asking_for_another_round_again_and_again_is_no_finer_clock(scene: Scene) -> None:
    """The next round is refused as long as this one is not answered: who asked every 0.1 s knew when that was."""
    run, bundle = start(scene, "3", SLOW, plan=Plan(rounds=2, clip_norm=10.0))
    first = len(scene.hub.tasks)
    plain = {"study": "heart", "kind": "round", "run": run}
    round_1 = scene.context(run, bundle, 1).model_dump(mode="json")
    scene.hub.tasks.append(plain | {"id": f"{first:032x}", "sequence": first + 1, "context": round_1})
    time.sleep(1)
    round_2 = scene.context(run, bundle, 2).model_dump(mode="json")
    asked: dict[str, float] = {}
    until(lambda: scene.trust.run_state(run) == "running")
    while f"{first:032x}" not in scene.hub.answered:
        number = len(scene.hub.tasks)
        asked[f"{number:032x}"] = time.monotonic()
        scene.hub.tasks.append(plain | {"id": f"{number:032x}", "sequence": number + 1, "context": round_2})
        time.sleep(0.3)
    answered = scene.hub.answered[f"{first:032x}"]
    time.sleep(GRID_S + 0.5)
    refused = [at for task, at in asked.items() if task in scene.hub.answers]
    assert {scene.hub.answers[task].code for task in asked if task in scene.hub.answers} == {"round-refused"}
    # Whoever asked since the last point of the grid waits for the next round, also before this one was answered.
    assert max(refused) < answered - GRID_S + 1.0
    scene.hub.ask("stop", run=run)
