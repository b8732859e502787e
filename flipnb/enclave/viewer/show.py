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

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG"}
_MOST_TEXT = 200_000
_MOST_PIXELS = 40_000_000
_ALL = {"outputs": 20_000, "the last": 1, "characters": 10_000_000, "pixels": 200_000_000, "drawn": 40_000_000}
"""What one notebook may have shown: of the minute that a look may take, and of the 128 MiB that it may say.

Pixels are those of the pictures as they come (some 20 million take a second), ``drawn`` the bytes of those made anew.
"""
_WIDEST = 1600
Stream = Literal["stdout", "stderr", "result", "error"]


def show(run: str, notebook: bytes) -> ShownNotebook:
    """``notebook`` is nbformat 4 JSON as the runner stored it. Raises ValueError where it is no such thing."""
    cells = json.loads(notebook)["cells"]
    room = _Room()
    return ShownNotebook(run=run, cells=tuple(_cell(number, cell, room) for number, cell in enumerate(cells, 1)))


class _Room:
    """What one notebook may still have drawn and said, so that much in one place hides nothing elsewhere."""

    def __init__(self) -> None:
        self._left = dict(_ALL)

    def take(self, kind: str, number: int) -> bool:
        """Whether there was room for so many more."""
        if number > self._left[kind]:
            return False
        self._left[kind] -= number
        return True


def _cell(number: int, cell: dict[str, Any], room: _Room) -> ShownCell:
    shown = tuple(found for output in cell.get("outputs", ()) for found in _bounded(output, room))
    return ShownCell(number=number, type=cell["cell_type"], source=harmless(_joined(cell["source"])), outputs=shown)


def _bounded(output: Any, room: _Room) -> Iterator[ShownOutput]:
    """An output as far as there is room; one that can't be read is named, and hides none of the others."""
    try:
        for shown in _outputs(output, room):
            if room.take("outputs", 1):
                yield shown
            elif room.take("the last", 1):
                yield ShownOutput(omitted="more outputs, which are not shown: those before them are many")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        yield ShownOutput(omitted="an output that is none")


def _outputs(output: dict[str, Any], room: _Room) -> Iterator[ShownOutput]:
    match output.get("output_type"):
        case "stream":
            yield _text(_joined(output["text"]), "stderr" if output["name"] == "stderr" else "stdout", room)
        case "error":
            head = f"{output['ename']}: {output['evalue']}"
            yield _text("\n".join((*map(str, output["traceback"]), head)), "error", room)
        case "display_data" | "execute_result":
            for kind, value in sorted(output["data"].items()):
                yield _datum(str(kind), _joined(value), room)


def _datum(kind: str, value: str, room: _Room) -> ShownOutput:
    if kind == "text/plain":
        return _text(value, "result", room)
    if kind in _PICTURES:
        return _picture(kind, value, room)
    return ShownOutput(omitted=harmless(f"{kind}, {len(value):,} characters")[:200])


def _picture(kind: str, value: str, room: _Room) -> ShownOutput:
    """Decoded and drawn anew: only pixels remain. What is no such picture, or too large, is named instead."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
            data = io.BytesIO(base64.b64decode(value))
            with Image.open(data, formats=(_PICTURES[kind],)) as picture:
                if not room.take("pixels", picture.width * picture.height):
                    return ShownOutput(omitted=f"{kind}, {len(value):,} characters: the pictures before it are many")
                drawn = picture.convert("RGBA")
        drawn.thumbnail((_WIDEST, _WIDEST * 4))
        plain = Image.new("RGB", drawn.size, "white")
        plain.paste(drawn, mask=drawn.getchannel("A"))
        out = io.BytesIO()
        plain.save(out, "PNG")
    except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError, Warning):
        return ShownOutput(omitted=f"{kind} that can't be drawn, {len(value):,} characters")
    if not room.take("drawn", out.tell()):
        return ShownOutput(omitted=f"{kind}, {len(value):,} characters: the pictures before it are many")
    width, height = plain.size
    return ShownOutput(picture=base64.b64encode(out.getvalue()).decode(), stream="result", width=width, height=height)


def _text(text: str, stream: Stream, room: _Room) -> ShownOutput:
    cut = text[:_MOST_TEXT]
    if not room.take("characters", len(cut)):
        return ShownOutput(omitted=f"{stream}, {len(text):,} characters: the texts before it are many")
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
