"""The picture of a frame that a controller decides by: drawn here, with a box around each text, as a small PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from flipnb.estate.imaging.burned_in.frames import decode, shown
from flipnb.estate.imaging.burned_in.verdict import Box

LONGEST = 1280
MOST_BYTES = 4 << 20


def picture(file: Path, frame: int, boxes: Sequence[Box] = (), *, covered: bool = False) -> bytes:
    """A frame of a DICOM file as PNG, at most 1,280 pixels and 4 MiB, its longer side scaled down where it must be.

    ``boxes`` in the frame's own pixels are outlined in white within black, so that they are seen on any grey;
    ``covered`` fills them as blanking would. To be called where hostile bytes may be decoded. Raises Undecodable.
    """
    from PIL import Image, ImageDraw

    grey = shown(*decode(file, frame))
    drawn = Image.fromarray(grey)
    scale = min(1.0, LONGEST / max(drawn.size))
    if scale < 1:
        drawn = drawn.resize((max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))))
    pen = ImageDraw.Draw(drawn)
    for left, top, right, bottom in boxes:
        corners = (left * scale, top * scale, max(left, right - 1) * scale, max(top, bottom - 1) * scale)
        if covered:
            pen.rectangle(corners, fill=0)
        else:
            x0, y0, x1, y1 = corners
            pen.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=0, width=3)
            pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=255)
    return _small(drawn)


def _small(drawn: object) -> bytes:
    from PIL import Image

    assert isinstance(drawn, Image.Image)
    while True:
        file = io.BytesIO()
        drawn.save(file, "PNG")
        if file.tell() <= MOST_BYTES or max(drawn.size) <= 64:
            return file.getvalue()
        drawn = drawn.resize((max(1, drawn.width // 2), max(1, drawn.height // 2)))
