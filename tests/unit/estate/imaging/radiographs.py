"""Pictures with and without text: phantoms of a chest, or real radiographs where public data are at hand."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from scanned_pair import original, saved

Grey = NDArray[np.uint8]
TEXTS = (
    "OKAFOR NNEKA",
    "12/03/1961",
    "NHS 943 476 5919",
    "QUILL^MARY",
    "RXH1234567",
    "DOB 03.05.62",
    "Dr Bhattacharya",
)


def phantom(size: int, seed: int) -> Grey:
    """Two dark lungs between ribs and a heart, blurred and noisy: (size, size), uint8."""
    random_numbers = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    picture = 150 + 40 * np.sin(6 * y + random_numbers.uniform(0, 3))
    for centre in (0.3, 0.7):
        lung = ((x - centre) / 0.16) ** 2 + ((y - 0.45) / 0.3) ** 2
        picture -= 95 / (1 + np.exp(12 * (lung - 1)))
    picture += 14 * np.sin(40 * y + 14 * (x - 0.5) ** 2) * (np.abs(x - 0.5) > 0.1)
    picture += 55 * np.exp(-(((x - 0.55) / 0.13) ** 2) - ((y - 0.65) / 0.15) ** 2)
    picture += random_numbers.normal(0, 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def radiograph(image: Grey, size: int, seed: int) -> Grey:
    """A small radiograph enlarged, with noise."""
    large = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC), float)
    large = large + np.random.default_rng(seed).normal(0, 4, large.shape)
    return np.clip(large, 0, 255).astype(np.uint8)


def burnt(picture: Grey, text: str, pixels: int, place: random.Random) -> Grey:
    """The picture with ``text``, its capitals ``pixels`` high, in whichever of white and black stands out there."""
    font = ImageFont.load_default(size=pixels * 1.35)
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    left, _, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = place.randint(4, max(4, picture.shape[1] - int(right - left) - 6))
    y = place.choice([4, picture.shape[0] - int(bottom) - 6, place.randint(4, picture.shape[0] - int(bottom) - 6)])
    behind = picture[y : y + int(bottom), x : x + int(right - left)]
    pen.text((x, y), text, fill=235 if behind.mean() < 150 else 10, font=font)
    return np.asarray(drawn)


def file_of(picture: np.ndarray, folder: Path, name: str = "image.dcm", **attributes: object) -> Path:
    """A radiograph's file with these pixels, (rows, columns), (frames, rows, columns) or (rows, columns, 3)."""
    colours = picture.ndim == 3 and picture.shape[-1] == 3
    ds = original(Rows=picture.shape[-3 if colours else -2], Columns=picture.shape[-2 if colours else -1])
    ds.BitsAllocated = ds.BitsStored = picture.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    if colours:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    elif picture.ndim == 3:
        ds.NumberOfFrames = picture.shape[0]
    ds.PixelRepresentation = int(picture.dtype.kind == "i")
    ds.PixelData = picture.tobytes()
    ds["PixelData"].VR = "OB" if picture.itemsize == 1 else "OW"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    file = folder / name
    file.write_bytes(saved(ds))
    assert dcmread(file).Rows
    return file
