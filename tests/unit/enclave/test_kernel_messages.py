"""What is read from a kernel's tracebacks and outputs, which are whatever it likes."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from nbformat.validator import validate

from flipnb.enclave.runner.meter import Meter, OutputLimitReached
from flipnb.enclave.runner.outputs import CUT_NOTICE, KeptOutputs
from flipnb.enclave.runner.place import failing_line

SOURCE = "a\nb\nc\nd"
CAUSE = "The above exception was the direct cause of the following exception:"


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        (["ValueError", "Cell In[2], line 3\n  1 a", "Cell In[1], line 1, in f()"], 3),
        (["\x1b[31mCell \x1b[39mIn[2], line 4\n"], 4),
        (["  Cell In[7], line 2\n    y = = 2"], 2),
        (["Cell In[2], line 1\n", f"\n{CAUSE}\n", "Cell In[2], line 4\n"], 4),
        (["Cell In[2], line 5\n"], None),
        (["Cell In[2], line 0\n"], None),
        (["Cell In[2], line 99999999999999999999\n"], None),
        (["nothing"], None),
        ([3, None, {}], None),
        ("Cell In[2], line 1", None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_failing_line(traceback: Any, line: int | None) -> None:
    assert failing_line(traceback, SOURCE) == line


def test_a_huge_traceback_is_read_in_bounded_time() -> None:
    assert failing_line([f"{CAUSE}\n" * 10**6, "Cell In[1], line 2\n"], SOURCE) == 2


def message(kind: Any, content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "content": content}


HOSTILE = [
    message("stream", {"name": "stdout", "text": 5}),
    message("stream", {"name": "../../x", "text": "a"}),
    message("display_data", {"data": {"application/javascript": "alert(1)"}}),
    message("display_data", {"data": {"text/plain": {"deep": []}}}),
    message("execute_result", {"data": [1], "execution_count": {"secret": 1}}),
    message("comm_open", {"comm_id": "x", "data": {}}),
    message("update_display_data", {"data": {"text/plain": "x"}, "transient": {"display_id": "1"}}),
    message("stream", None),
    message(None, {}),
    message(["stream"], {}),
    {},
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_unknown_shapes_leave_nothing(hostile: dict[str, Any]) -> None:
    outputs: list[Any] = []
    KeptOutputs(1000).add(outputs, hostile)
    assert outputs == []


def test_what_is_kept_is_a_valid_notebook() -> None:
    cell = new_code_cell("x")
    kept = KeptOutputs(10_000)
    for text in ("a", "b"):
        kept.add(cell.outputs, message("stream", {"name": "stdout", "text": text}))
    kept.add(cell.outputs, message("execute_result", {"data": {"text/plain": "1", "x/y": "2"}, "execution_count": 99}))
    kept.add(cell.outputs, message("error", {"ename": 5, "evalue": "e" * 10**6, "traceback": ["a", 3]}))
    validate(new_notebook(cells=[cell]))
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data", "error"]
    assert cell.outputs[0].text == "ab"
    assert cell.outputs[1].data == {"text/plain": "1"}


def test_stored_outputs_are_cut_with_one_notice() -> None:
    outputs: list[Any] = []
    kept = KeptOutputs(10)
    for _ in range(100):
        kept.add(outputs, message("stream", {"name": "stdout", "text": "123456"}))
    assert [output.text for output in outputs] == ["123456", CUT_NOTICE]


def test_the_meter_stops_at_bytes_and_at_messages() -> None:
    by_bytes, by_messages = Meter(100, 1000), Meter(100, 3)
    by_bytes.count(100)
    with pytest.raises(OutputLimitReached):
        by_bytes.count(1)
    assert by_bytes.exceeded == "output-bytes"
    for _ in range(3):
        by_messages.count(1)
    with pytest.raises(OutputLimitReached):
        by_messages.count(1)
    assert by_messages.exceeded == "output-messages"
