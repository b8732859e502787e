"""What shows in the picture: overlays, curves, icons, and letters that are burned into the pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from dicom_cases.answer_key import Action, CaseFile, Fate
from dicom_cases.headers import case, image
from dicom_cases.people import ELEANOR
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

_SIDE = 512


def cases() -> Iterator[CaseFile]:
    yield from _overlays()
    yield from _burned_in()
    yield from _clean()


def written(pixels: np.ndarray, text: str, at: tuple[int, int], height: int, bright: int) -> tuple[int, int, int, int]:
    """Draws a text into 8-bit pixels in place; returns the box of its ink ``x0 y0 x1 y1``."""
    canvas = Image.new("L", (pixels.shape[1], pixels.shape[0]))
    ImageDraw.Draw(canvas).text(at, text, fill=255, font=ImageFont.load_default(height))
    ink = np.asarray(canvas) > 96
    pixels[ink] = bright
    rows, columns = np.where(ink)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _overlays() -> Iterator[CaseFile]:
    bits = np.zeros((64, 64), np.uint8)
    written(bits, "WHITCOMBE", (1, 20), 10, 1)
    for number, group in enumerate((0x6000, 0x6002, 0x601E)):
        ds = image(study=750 + number)
        for low, vr, value in (
            (0x0010, "US", 64),
            (0x0011, "US", 64),
            (0x0022, "LO", "Name of Whitcombe"),
            (0x0040, "CS", "G"),
            (0x0050, "SS", [1, 1]),
            (0x0100, "US", 1),
            (0x0102, "US", 0),
            (0x1500, "LO", "Mrs Whitcombe"),
            (0x4000, "LT", "Eleanor Whitcombe 00451873"),
            (0x3000, "OW", np.packbits(bits, bitorder="little").tobytes()),
        ):
            ds.add_new((group, low), vr, value)
        made = case(f"overlay_{group:04X}.dcm", ds).held(Fate.ANY)
        yield made.add(Action.TEXT_REMOVED, f"{group:04X}4000", "Eleanor Whitcombe")
    ds = image(study=755)
    for low, vr, value in (
        (0x0005, "US", 1),
        (0x0010, "US", 2),
        (0x0020, "CS", "TACT"),
        (0x0022, "LO", "ECG of Whitcombe"),
        (0x0103, "US", 0),
        (0x2500, "LO", "Whitcombe"),
        (0x3000, "OW", "Whitcombe 00451873".encode("utf-16-le")),
    ):
        ds.add_new((0x5000, low), vr, value)
    yield case("curve_5000.dcm", ds).gone("ECG of", where="50000022")
    ds = image(study=756)
    icon = Dataset()
    icon.Rows = icon.Columns = 64
    icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.PixelRepresentation = 1, "MONOCHROME2", 0
    icon.BitsAllocated = icon.BitsStored = 8
    icon.HighBit = 7
    small = np.zeros((64, 64), np.uint8)
    written(small, "WHITCOMBE", (1, 20), 10, 255)
    icon.add_new(0x7FE00010, "OW", small.tobytes())
    ds.IconImageSequence = [icon]
    made = case("icon_with_text.dcm", ds)
    yield made.add(Action.TEXT_REMOVED, "00880200[0].7FE00010", str(small.tobytes()))


def _radiograph(study: int, modality: str = "CR", frames: int = 1, instance: int = 1) -> tuple[Dataset, np.ndarray]:
    ds = image(modality=modality, study=study, instance=instance, size=_SIDE, frames=frames)
    pixels = np.frombuffer(ds[0x7FE00010].value, np.uint8).reshape(frames, _SIDE, _SIDE).copy()
    return ds, pixels


def _burned_in() -> Iterator[CaseFile]:
    texts = ("WHITCOMBE ELEANOR", "00451873  12/04/1948", "Nidderdale Royal Infirmary")
    for number, (modality, height, bright, text, flag) in enumerate(
        (
            ("CR", 24, 250, texts[0], "NO"),
            ("CR", 16, 230, texts[1], "NO"),
            ("CR", 40, 255, texts[0], None),
            ("US", 18, 240, texts[2], "NO"),
            ("US", 14, 255, texts[0], "YES"),
            ("SC", 28, 200, texts[1], "NO"),
        )
    ):
        ds, pixels = _radiograph(770 + number, modality)
        box = written(pixels[0], text, (24, 30), height, bright)
        ds[0x7FE00010].value = pixels.tobytes()
        if flag:
            ds.BurnedInAnnotation = flag
        made = case(f"burned_in_{modality}_{height}_{flag}.dcm", ds).held()
        yield made.add(Action.PIXELS_HIDDEN, "7FE00010", " ".join(map(str, (0, *box))))
    ds, pixels = _radiograph(780, "USM", frames=4)
    box = written(pixels[0], texts[0], (40, 400), 24, 250)
    for frame in pixels[1:]:
        written(frame, texts[0], (40, 400), 24, 250)
    ds[0x7FE00010].value = pixels.tobytes()
    yield (case("burned_in_clip.dcm", ds).held().add(Action.PIXELS_HIDDEN, "7FE00010", " ".join(map(str, (3, *box)))))
    ds, pixels = _radiograph(781, "CR")
    dark = 255 - pixels
    box = written(dark[0], texts[0], (24, 30), 24, 5)
    ds[0x7FE00010].value, ds.PhotometricInterpretation = dark.tobytes(), "MONOCHROME1"
    yield (
        case("burned_in_inverted.dcm", ds).held().add(Action.PIXELS_HIDDEN, "7FE00010", " ".join(map(str, (0, *box))))
    )
    # Twelve bits around a narrow window: the letters show to whoever looks through it, and to nobody else.
    ds, pixels = _radiograph(782, "CR")
    wide = pixels[0].astype(np.uint16) + 20_000
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    box = written(mask, texts[0], (24, 30), 24, 255)
    wide[mask > 0] += 90
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.WindowCenter, ds.WindowWidth = 15, "20100", "220"
    ds[0x7FE00010].value = wide.tobytes()
    yield (case("burned_in_16_bit.dcm", ds).held().add(Action.PIXELS_HIDDEN, "7FE00010", " ".join(map(str, (0, *box)))))


def _clean() -> Iterator[CaseFile]:
    """A radiograph with a marker of its side, and one without a letter: both are to be released."""
    for number, marker in enumerate(("L", "R", "AP")):
        ds, pixels = _radiograph(790 + number)
        written(pixels[0], marker, (430, 30), 40, 250)
        ds[0x7FE00010].value = pixels.tobytes()
        yield case(f"marker_{marker}.dcm", ds, ELEANOR)
    for number in range(4):
        ds, _ = _radiograph(795 + number, instance=number + 1)
        yield case(f"clean_radiograph_{number}.dcm", ds, ELEANOR)
