"""What a hub asks is read task by task: one that this version can't read hides none of the others."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.count import SignedCount
from flipnb.contracts.problem import FlipError
from flipnb.contracts.round import RoundContext
from flipnb.contracts.task import (
    TASK,
    CountTask,
    RoundTask,
    RunTask,
    StartTask,
    StopTask,
    SummedTask,
    TotalTask,
    UnreadableTask,
    read_tasks,
)
from flipnb.contracts.total import TotalContext, TotalSum

RUN, KEY, DIGEST = "a" * 32, "b" * 64, "c" * 64
CONTEXT = RoundContext(
    run=RUN, bundle=DIGEST, round=1, of=2, training=True, weights=DIGEST, weights_size=8, tensors=DIGEST, members=(KEY,)
)
TOTAL = TotalContext(run=RUN, bundle=DIGEST, step=1, members=(KEY,))
TASKS = (
    CountTask(id="0" * 32, sequence=1, study="heart", count=SignedCount(certificate="{}", request="{}")),
    RunTask(id="1" * 32, sequence=2, study="heart", run=RUN, run_request="{}"),
    StartTask(id="2" * 32, sequence=3, study="heart", run=RUN, members=(KEY,)),
    RoundTask(id="3" * 32, sequence=4, study="heart", run=RUN, context=CONTEXT),
    TotalTask(id="4" * 32, sequence=5, study="heart", run=RUN, total=TOTAL),
    SummedTask(
        id="5" * 32,
        sequence=6,
        study="heart",
        run=RUN,
        summed=TotalSum(context=TOTAL, members=(KEY,), values={"n": (1,)}),
    ),
    StopTask(id="6" * 32, sequence=7, study="heart", run=RUN),
)
OF_A_KIND = {
    "run": None,
    "count": None,
    "run_request": None,
    "members": [],
    "context": None,
    "total": None,
    "summed": None,
}
"""What an earlier hub wrote into each task, and what is in its queue still."""


def listed(*tasks):
    return read_tasks(json.dumps({"tasks": tasks}).encode()).tasks


def plain(task):
    return json.loads(task.model_dump_json())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_task_is_read_as_its_kind_and_as_an_earlier_hub_wrote_it(task):
    assert TASK.validate_json(task.model_dump_json()) == task
    assert listed(plain(task)) == (task,)
    assert listed(OF_A_KIND | plain(task)) == (task,)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_a_task_without_what_it_is_about_or_with_another_kinds_is_unreadable(task):
    for field in plain(task).keys() - {"id", "sequence", "kind"}:
        left = {name: said for name, said in plain(task).items() if name != field}
        (found,) = listed(left)
        assert isinstance(found, UnreadableTask)
        assert (found.id, found.sequence, found.kind) == (task.id, task.sequence, task.kind)
        assert field in found.fault
    (found,) = listed(plain(task) | {"more": 1})
    assert isinstance(found, UnreadableTask)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(
    kind=st.from_regex(r"\A[a-z][a-z-]{0,39}\Z"),
    said=st.dictionaries(st.sampled_from([*OF_A_KIND, "study", "fault", "more"]), ANYTHING),
    place=st.integers(0, len(TASKS)),
)
def test_what_a_newer_hub_asks_hides_none_of_the_others(kind, said, place):
    strange = {"study": "heart"} | said | {"id": "f" * 32, "sequence": 99, "kind": kind}
    tasks = [plain(task) for task in TASKS]
    found = listed(*tasks[:place], strange, *tasks[place:])
    assert found[:place] + found[place + 1 :] == TASKS
    assert (found[place].id, found[place].kind) == ("f" * 32, kind)


@given(kind=st.text().filter(lambda kind: kind not in [task.kind for task in TASKS]))
def test_a_kind_that_is_no_word_hides_none_of_the_others_either(kind):
    """A newer hub's names, and a hub that lies."""
    found = listed({"id": "f" * 32, "sequence": 1, "kind": kind, "study": "heart"}, plain(TASKS[0]))
    assert isinstance(found[0], UnreadableTask)
    assert found[0].kind in (kind, "unknown")
    assert (found[0].kind.isascii(), len(found[0].kind) <= 40, found[1]) == (True, True, TASKS[0])


@pytest.mark.parametrize(
    "nameless",
    [{"kind": "stop", "sequence": 1}, {"id": "f" * 32, "sequence": 1}, {"id": "f" * 32, "kind": "stop"}, [], None, "x"],
)
def test_what_has_no_id_number_or_kind_hides_none_of_the_others(nameless):
    found = read_tasks(json.dumps({"tasks": [plain(TASKS[0]), nameless, plain(TASKS[6])]}).encode())
    assert found.tasks == (TASKS[0], TASKS[6])
    assert found.nameless == 1


def test_millions_of_faults_cost_little_more_than_their_bytes():
    """Each fault was an error of its own: 17 s and 4.4 GB for three million."""
    start = json.dumps(plain(TASKS[2]) | {"members": [1]}).replace("[1]", "[" + "1," * 3_000_000 + "1]")
    many = "[" + "{}," * 1_000_000 + "{}]"
    for body in (f'{{"tasks":[{start}]}}', f'{{"tasks":{many}}}', f'{{"tasks":[{start[:-1]},"x":{many}}}]}}'):
        began = time.process_time()
        found = read_tasks(body.encode())
        assert time.process_time() - began < 3
        assert len(found.tasks) + found.nameless <= 1000


def test_a_task_with_more_values_than_any_holds_is_unreadable():
    (found,) = listed(plain(TASKS[2]) | {"members": [KEY] * 50_000})
    assert isinstance(found, UnreadableTask)
    assert "20000 values" in found.fault


def test_small_weights_come_along_and_what_is_none_is_left_out():
    along = {DIGEST: base64.urlsafe_b64encode(b"weights").decode(), "x": 1, "y": "é", "z": "A" * (1 << 20)}
    assert read_tasks(json.dumps({"tasks": [], "weights": along}).encode()).weights == {DIGEST: b"weights"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tasks":{}}', b'{"tasks":1}', b"{" * 100_000, b"\xff"])
def test_what_is_no_list_of_tasks_is_refused(body):
    with pytest.raises(FlipError):
        read_tasks(body)


def test_a_name_that_no_text_can_hold_is_told_of_all_the_same():
    (found,) = listed(plain(TASKS[6]) | {"\ud800": 1})
    assert isinstance(found, UnreadableTask)
    assert found.model_dump_json()
