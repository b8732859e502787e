"""Cheap looks at an image's header: whether its pixels must be read for text at all, and how many of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Need = Literal["none", "every-frame-of-a-scene", "slices"]

# By their standard these classes hold labels, doses, maps or geometry, which no console draws its text into.
_NO_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation holds labels",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map holds labels",
    "1.2.840.10008.5.1.4.1.1.481.2": "a dose grid holds doses",
    "1.2.840.10008.5.1.4.1.1.66.1": "a registration holds no picture",
    "1.2.840.10008.5.1.4.1.1.66.3": "a registration holds no picture",
}
# Reconstructed slices come in hundreds and get no text but as a screenshot, which these classes are not.
_SLICES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.2.2",
        "1.2.840.10008.5.1.4.1.1.4",
        "1.2.840.10008.5.1.4.1.1.4.1",
        "1.2.840.10008.5.1.4.1.1.4.4",
        "1.2.840.10008.5.1.4.1.1.128",
        "1.2.840.10008.5.1.4.1.1.130",
        "1.2.840.10008.5.1.4.1.1.128.1",
        "1.2.840.10008.5.1.4.1.1.30",
    }
)
_SCREENS = frozenset(
    {
        (480, 640),
        (576, 768),
        (600, 800),
        (768, 1024),
        (864, 1152),
        (900, 1440),
        (1024, 1280),
        (1080, 1920),
        (1200, 1600),
    }
)
_SCREENSHOT = frozenset({"SECONDARY", "SCREEN SAVE", "SCREENSHOT", "SCREEN_SAVE", "LOCALIZER", "REPORT", "DOSE_INFO"})
# Of a person's outside: without a word to the contrary, a face (PS3.15 113101)
_PHOTOGRAPHS = frozenset({"1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.77.1.4.1"})
_SMALLEST = 16
_MOST_PIXELS = 128 << 20


@dataclass(frozen=True)
class Gate:
    """Whether and how to look, and why. ``declared``: the header itself says that there is something to be seen."""

    need: Need
    reason: str
    declared: bool = False
    unreadable: bool = False


def gate(header: Dataset) -> Gate:
    """What the header asks for. BurnedInAnnotation NO is believed by nobody: consoles write it beside their text."""
    rows, columns = number(header, "Rows"), number(header, "Columns")
    if not rows or not columns:
        return Gate("none", "the file holds no picture")
    if rows * columns * max(1, number(header, "SamplesPerPixel")) > _MOST_PIXELS:
        return Gate("none", f"{rows} × {columns} pixels are more than one picture has", unreadable=True)
    if _says(header, "BurnedInAnnotation"):
        return Gate("every-frame-of-a-scene", "its header says that text is burned in", declared=True)
    if _says(header, "RecognizableVisualFeatures"):
        return Gate("every-frame-of-a-scene", "its header says that a person can be recognised", declared=True)
    sop_class = str(header.get("SOPClassUID", ""))
    if sop_class in _PHOTOGRAPHS and str(header.get("RecognizableVisualFeatures", "")).strip().upper() != "NO":
        return Gate("every-frame-of-a-scene", "a photograph may show a face", declared=True)
    if sop_class in _NO_PICTURES:
        return Gate("none", _NO_PICTURES[sop_class])
    if min(rows, columns) < _SMALLEST:
        return Gate("none", "it is too small for letters")
    if sop_class in _SLICES and not _captured(header, rows, columns):
        return Gate("slices", "slices of a scanner")
    return Gate("every-frame-of-a-scene", "every picture of its kind is read")


def _captured(header: Dataset, rows: int, columns: int) -> bool:
    """Whether what calls itself a slice looks like a picture of a screen."""
    kinds = {str(kind).upper() for kind in _many(header.get("ImageType"))}
    return (
        bool(kinds & _SCREENSHOT)
        or "ConversionType" in header
        or number(header, "SamplesPerPixel") > 1
        or (rows, columns) in _SCREENS
    )


def _says(header: Dataset, keyword: str) -> bool:
    return str(header.get(keyword, "")).strip().upper() == "YES"


def _many(value: object) -> list[object]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def number(header: Dataset, keyword: str) -> int:
    """An attribute's whole number, 0 where there is none or it is none."""
    try:
        return max(0, int(header.get(keyword) or 0))
    except (TypeError, ValueError, OverflowError):
        return 0
