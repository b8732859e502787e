"""The process that reads a source's images for a load: first their headers, then each through release.

As ``batch.child``, with what a load needs beside: whose the file is, and how the image was made.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.batch.child import answered, serve, told
from flipnb.estate.imaging.burned_in.blanking import blank
from flipnb.estate.imaging.burned_in.picture import picture
from flipnb.estate.imaging.burned_in.verdict import Box
from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy
from flipnb.estate.imaging.loading.headers import read_features, read_header
from flipnb.estate.imaging.release import Outcome, release

_PICTURES = 12
MODULE = "flipnb.estate.imaging.loading.child"


def main() -> None:
    """Answer until standard input ends."""
    first, orders, say = serve()
    deidentifier = Deidentifier(Policy.model_validate(first["policy"]), Keys(bytes.fromhex(first["key"])))
    for order in orders:
        say(answered(order, _asked(order, deidentifier)))


def _asked(order: dict[str, Any], deidentifier: Deidentifier) -> Any:
    if order["ask"] == "header":
        return lambda source, _: _header(source)
    return lambda source, output: _released(source, output, deidentifier, order)


def _header(source: Path) -> dict[str, Any]:
    try:
        return {"state": "read", "header": read_header(source)}
    except OSError:
        raise
    except Exception as error:  # pydicom raises what it likes on hostile bytes
        reason = str(error) if type(error) is ValueError else f"its header can't be read ({type(error).__name__})"
        return {"state": "refused", "reason": reason[:200]}


def _released(source: Path, output: Path, deidentifier: Deidentifier, order: dict[str, Any]) -> dict[str, Any]:
    outcome = release(source, output, deidentifier, person=order["person"].encode() or None)
    answer = told(outcome)
    if outcome.state == "quarantined":
        answer |= _as_decided(output, outcome, order) if order["decision"] else _shown(source, output, outcome)
    if answer["state"] == "released":
        try:
            answer["features"] = read_features(output)
        except OSError:
            raise
        except Exception as error:
            return {**answer, "state": "quarantined", "reason": f"its output can't be read ({type(error).__name__})"}
    return answer


def _as_decided(output: Path, outcome: Outcome, order: dict[str, Any]) -> dict[str, Any]:
    """What a controller decided of an image that was held back: covered where that was the decision, and released.

    Covering text does nothing about what the second look found.
    """
    if not output.exists() or (order["decision"] == "blank" and outcome.survivors):
        return {}
    if order["decision"] == "blank":
        covered = output.with_suffix(".covered")
        try:
            blank(output, [tuple(box) for box in order["boxes"]], covered)
        except FlipError as error:
            return {"reason": error.message}
        covered.replace(output)
    return {"state": "released", "reason": ""}


def _shown(source: Path, output: Path, outcome: Outcome) -> dict[str, Any]:
    """Why an image is held back, and pictures of the frames by which to decide."""
    boxes: dict[int, list[Box]] = {}
    for text in outcome.texts:
        boxes.setdefault(text.frame, []).append(text.box)
    pictures = {}
    for frame, around in sorted((boxes or {0: []}).items())[:_PICTURES]:
        path = output.with_suffix(f".{frame}.png")
        drawn = _drawn(source, frame, around)
        if drawn is not None:
            path.write_bytes(drawn)
            pictures[frame] = str(path)
    reasons = [asdict(one) for one in outcome.survivors] or [{"where": "pixels", "kind": outcome.reason}]
    return {"reasons": reasons, "texts": [asdict(one) for one in outcome.texts], "pictures": pictures}


def _drawn(source: Path, frame: int, boxes: list[Box]) -> bytes | None:
    """A frame's picture; None where it can't be drawn: then one decides without."""
    try:
        return picture(source, frame, boxes)
    except Exception:  # pydicom and its decoders raise what they like
        return None


if __name__ == "__main__":
    main()
