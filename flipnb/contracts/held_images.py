"""What the desk says of images that are held back, and what a data controller decides about them.

All of it stays inside the enclave. ``text`` was read in an image's pixels: a patient's name, or what a stranger wrote.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.text import Line, Name

ImageDecision = Literal["release", "blank", "refuse", "withdraw"]
"""``blank`` covers boxes and releases the rest; ``withdraw`` takes back the decision before it."""
MOST_IMAGES = 200
"""On one page."""
MOST_BOXES = 1000
Box = tuple[int, int, int, int]


class HeldText(Document):
    """A text that was found in a frame (from 0), in the image's pixels: left, top, right, bottom."""

    frame: int = Field(ge=0)
    box: Box
    text: Line


class HeldImage(Document):
    """An image that is held back until a load has carried out what was decided. ``image`` is its file's SHA-256.

    ``person`` is a pseudonym, ``reasons`` are sentences without a value of the file, ``frames`` those with a picture.
    ``coverable``: covering the texts settles all reasons. ``final``: a load carries the decision out.
    """

    image: Digest
    held: Moment
    kind: Line
    person: Line
    bytes: int
    reasons: tuple[Line, ...]
    texts: tuple[HeldText, ...]
    frames: tuple[int, ...]
    coverable: bool
    decision: ImageDecision | None = None
    controller: Line | None = None
    decided: Moment | None = None
    final: bool = False


class HeldImages(Document):
    """GET /images?after=IMAGE: up to 200, the longest held first; ``waiting`` and ``decided`` are of all pages."""

    images: tuple[HeldImage, ...]
    waiting: int = Field(ge=0)
    decided: int = Field(ge=0)


class ImageMark(Document):
    """POST /images/{image}/decision: what ``controller`` decides. ``boxes`` are those to cover, in the image's pixels;
    None is every text that was found."""

    controller: Name
    decision: ImageDecision
    boxes: tuple[Box, ...] | None = Field(default=None, max_length=MOST_BOXES)


class HeldPicture(Document):
    """A frame of a held image as the enclave drew it: PNG in base64."""

    picture: str = Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")
