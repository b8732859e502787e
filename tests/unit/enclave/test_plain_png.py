"""A browser is given the pixels of a picture and nothing else, whatever a worker drew."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from flipnb.contracts.problem import FlipError
from flipnb.enclave.desk.plain_png import plain_png


def drawn(pixels: np.ndarray) -> bytes:
    file, beside = io.BytesIO(), PngImagePlugin.PngInfo()
    beside.add_text("Comment", "OKAFOR", zip=True)
    beside.add_itxt("XML:com.adobe.xmp", "<svg onload='alert(1)'/>")
    Image.fromarray(pixels).save(file, "PNG", pnginfo=beside)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("shape", [(7, 5), (300, 2), (6, 4, 3)])
def test_the_pixels_stay_and_nothing_else(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    plain = plain_png(drawn(pixels) + b"<script>after the end</script>")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(plain))), pixels)
    assert not any(word in plain for word in (b"svg", b"tEXt", b"iTXt", b"zTXt", b"script"))
    assert plain_png(plain) == plain


@given(st.data())
def test_what_is_damaged_is_refused_or_as_it_was(data: st.DataObject) -> None:
    whole = drawn(np.full((8, 8), 9, np.uint8))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    for png in (changed, whole[:at]):
        try:
            assert plain_png(png) == plain_png(whole)
        except FlipError as refused:
            assert refused.code == "not-a-picture"


@pytest.mark.parametrize(
    "header",
    [(5000, 2, 8, 0), (0, 2, 8, 0), (2, 2, 16, 0), (2, 2, 8, 3), (2, 2, 8, 6)],
    ids=["wide", "empty", "deep", "palette", "alpha"],
)
def test_what_flip_does_not_draw_is_refused(header: tuple[int, ...]) -> None:
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    for more in (chunk(b"IDAT", b"") + chunk(b"IEND", b""), chunk(b"PLTE", b"\0\0\0") + chunk(b"IEND", b"")):
        with pytest.raises(FlipError, match="not shown"):
            plain_png(png + more)
