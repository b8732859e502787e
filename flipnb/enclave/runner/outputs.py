"""What of a kernel's messages is kept in the executed notebook: known shapes, built anew, up to a limit."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode

KEPT_TYPES = frozenset(
    {
        "text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml",
        "application/json",
    }
)  # fmt: skip
CUT_NOTICE = "[further output was not kept: the limit of stored output is reached]\n"


class KeptOutputs:
    """Outputs up to ``limit`` bytes of text over a whole notebook; what comes later leaves one notice a cell."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def add(self, outputs: list[NotebookNode], message: dict[str, Any]) -> None:
        """Append what ``message`` shows to ``outputs``; clear them on ``clear_output``; ignore any other kind.

        Widgets (comm messages) and updates of earlier displays are not kept: they would let one cell rewrite
        another's outputs.
        """
        kind, content = message.get("msg_type"), message.get("content")
        if not isinstance(content, dict):
            return
        if kind == "clear_output":
            outputs.clear()
            return
        output = _output(kind, content)
        if output is None:
            return
        size = _size(output)
        if size > self._left:
            self._left = 0
            output = _new("stream", name="stderr", text=CUT_NOTICE)
            if outputs and outputs[-1] == output:
                return
        else:
            self._left -= size
        last = outputs[-1] if outputs else None
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            outputs.append(output)


def _output(kind: object, content: dict[str, Any]) -> NotebookNode | None:
    if kind == "stream":
        name, text = content.get("name"), content.get("text")
        if name in ("stdout", "stderr") and isinstance(text, str):
            return _new("stream", name=name, text=text)
    elif kind in ("display_data", "execute_result"):
        data = content.get("data")
        if isinstance(data, dict):
            kept = {name: value for name, value in data.items() if name in KEPT_TYPES and isinstance(value, str)}
            # As display_data: an execute_result has a counter, which would be the kernel's to choose.
            return _new("display_data", data=kept) if kept else None
    elif kind == "error":
        return _new(
            "error",
            ename=_text(content.get("ename"), 200),
            evalue=_text(content.get("evalue"), 4000),
            traceback=_text_lines(content.get("traceback")),
        )
    return None


def _new(kind: str, **fields: Any) -> NotebookNode:
    # Not nbformat's own maker, which validates each output against a JSON schema: a millisecond each, and the shapes
    # here are right by construction.
    if kind == "display_data":
        fields = {"data": NotebookNode(fields["data"]), "metadata": NotebookNode()}  # type: ignore[no-untyped-call]
    return NotebookNode(output_type=kind, **fields)  # type: ignore[no-untyped-call]


def _size(output: NotebookNode) -> int:
    if output.output_type == "stream":
        return len(output.text)
    if output.output_type == "error":
        return sum(map(len, output.traceback)) + len(output.evalue)
    return sum(len(name) + len(value) for name, value in output.data.items())


def _text(value: object, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _text_lines(value: object) -> list[str]:
    return [_text(line, 20_000) for line in value[:200]] if isinstance(value, list) else []
