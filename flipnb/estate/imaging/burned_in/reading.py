"""Reading text out of a picture: rapidocr-onnxruntime, whose weights lie in its wheel; nothing is fetched."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from flipnb.estate.imaging.burned_in.frames import Grey
from flipnb.estate.imaging.burned_in.verdict import Box

_BLUR = 12
_LEAST_SPREAD = 3.0
LONGEST = 1024
"""A longer side is scaled down to this many pixels."""


class Read(NamedTuple):
    """A box in the picture's own pixels, what was read there, and how sure the reading is (0 to 1)."""

    box: Box
    text: str
    score: float


def read(picture: Grey) -> list[Read]:
    """Every text in a picture, from the top."""
    import cv2

    scale = min(1.0, LONGEST / max(picture.shape))
    small = picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = _without_anatomy(np.asarray(small, np.uint8))
    engine = _engine()
    # The detector enlarges the shorter side to this: by default 736, which costs 0.2 s for a thumbnail.
    engine.text_det.limit_side_len = max(64, min(736, min(small.shape) * _enlarged(max(small.shape))))
    found, _ = engine(np.ascontiguousarray(np.repeat(small[..., None], 3, axis=2)), use_cls=True, use_det=True)
    return [Read(_box(corners, scale, picture.shape), text, float(score)) for corners, text, score in found or ()]


def _without_anatomy(picture: Grey) -> Grey:
    """Fine structure alone, on an even grey: grey letters on grey lungs are read as white ones on black are."""
    import cv2

    grey = picture.astype(np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _BLUR)
    spread = max(float(fine.std()), _LEAST_SPREAD)
    return np.asarray(np.clip(128 + fine * (40 / spread), 0, 255), np.uint8)


def _enlarged(longest: int) -> int:
    return 2 if longest <= 384 else 1


def _box(corners: Any, scale: float, shape: tuple[int, ...]) -> Box:
    xs, ys = ([corner[axis] / scale for corner in corners] for axis in (0, 1))
    left, top = max(0, int(min(xs))), max(0, int(min(ys)))
    return left, top, min(shape[1], int(max(xs)) + 1), min(shape[0], int(max(ys)) + 1)


@cache
def _engine() -> Any:
    """One for each process, on one thread: several files are read by several processes."""
    import cv2
    from rapidocr_onnxruntime import RapidOCR

    cv2.setNumThreads(1)
    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, text_score=0.0)
