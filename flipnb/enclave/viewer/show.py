"""An executed notebook as plain text and pictures that were drawn anew: nothing in it can act on who looks at it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any, Literal

from PIL import Image

from flipnb.contracts.desk import ShownCell, ShownNotebook, ShownOutput
from flipnb.contracts.text import refused_character

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG"}
_MOST_TEXT = 200_000
_MOST_PIXELS = 40_000_000
_WIDEST = 1600
Stream = Literal["stdout", "stderr", "result", "error"]


def show(run: str, notebook: bytes) -> ShownNotebook:
    """``notebook`` is nbformat 4 JSON as the runner stored it. Raises ValueError where it is no such thing."""
    cells = json.loads(notebook)["cells"]
    return ShownNotebook(run=run, cells=tuple(_cell(number, cell) for number, cell in enumerate(cells, 1)))


def _cell(number: int, cell: dict[str, Any]) -> ShownCell:
    outputs = tuple(shown for output in cell.get("outputs", ()) for shown in _outputs(output))
    return ShownCell(number=number, type=cell["cell_type"], source=harmless(_joined(cell["source"])), outputs=outputs)


def _outputs(output: dict[str, Any]) -> Iterator[ShownOutput]:
    match output.get("output_type"):
        case "stream":
            yield _text(_joined(output["text"]), "stderr" if output["name"] == "stderr" else "stdout")
        case "error":
            head = f"{output['ename']}: {output['evalue']}"
            yield _text("\n".join((*map(str, output["traceback"]), head)), "error")
        case "display_data" | "execute_result":
            for kind, value in sorted(output["data"].items()):
                yield _datum(str(kind), _joined(value))


def _datum(kind: str, value: str) -> ShownOutput:
    if kind == "text/plain":
        return _text(value, "result")
    if kind in _PICTURES:
        return _picture(kind, value)
    return ShownOutput(omitted=harmless(f"{kind}, {len(value):,} characters")[:200])


def _picture(kind: str, value: str) -> ShownOutput:
    """Decoded and drawn anew: only pixels remain. What is no such picture, or too large, is named instead."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
            data = io.BytesIO(base64.b64decode(value))
            with Image.open(data, formats=(_PICTURES[kind],)) as picture:
                drawn = picture.convert("RGBA")
        drawn.thumbnail((_WIDEST, _WIDEST * 4))
        plain = Image.new("RGB", drawn.size, "white")
        plain.paste(drawn, mask=drawn.getchannel("A"))
        out = io.BytesIO()
        plain.save(out, "PNG")
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError, Warning):
        return ShownOutput(omitted=f"{kind} that can't be drawn, {len(value):,} characters")
    width, height = plain.size
    return ShownOutput(picture=base64.b64encode(out.getvalue()).decode(), stream="result", width=width, height=height)


def _text(text: str, stream: Stream) -> ShownOutput:
    cut = text[:_MOST_TEXT]
    more = f"\n[{len(text) - len(cut):,} more characters are not shown]" if len(text) > len(cut) else ""
    return ShownOutput(text=harmless(cut) + more, stream=stream)


def harmless(text: str) -> str:
    """``text`` without terminal sequences; other control, bidirectional and invisible characters become visible."""
    plain = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    if refused_character(plain) is None:
        return plain
    return "".join("\ufffd" if refused_character(character) is not None else character for character in plain)


def _joined(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
