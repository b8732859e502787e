"""What a look at a picture's pixels for burned-in text ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Box = tuple[int, int, int, int]
"""Pixels of the image: left, top, right, bottom; right and bottom are outside."""

State = Literal["clean", "text", "unread", "not-needed"]


@dataclass(frozen=True)
class FoundText:
    """Text that was found in a frame (from 0). ``text`` is what was read, perhaps wrongly; ``score`` is 0 to 1.

    ``text`` may be a patient's name: it is for the controller's eyes, never for a log.
    """

    frame: int
    box: Box
    text: str
    score: float


@dataclass(frozen=True)
class Verdict:
    """``clean`` and ``not-needed`` may be released as far as pixels go; ``text`` and ``unread`` are held back.

    ``reason`` says why, without a value of the file.
    """

    state: State
    texts: tuple[FoundText, ...] = ()
    reason: str = ""

    @property
    def held(self) -> bool:
        """Whether a person has to look at the image before it may leave."""
        return self.state in ("text", "unread")
