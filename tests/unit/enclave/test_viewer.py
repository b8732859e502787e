"""A hostile executed notebook becomes text and pixels."""

import base64
import io
import json

import pytest
from PIL import Image

from flipnb.enclave.viewer.show import harmless, show

RUN = "a" * 32


def picture(kind="PNG", size=(3, 2), comment=b""):
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return base64.b64encode(out.getvalue() + comment).decode()


def outputs(*found):
    cell = {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": list(found)}
    (shown,) = show(RUN, json.dumps({"cells": [cell]}).encode()).cells
    assert shown.source == "x = 1\nx"
    return shown.outputs


def display(**data):
    return {"output_type": "display_data", "data": {name.replace("_", "/", 1): value for name, value in data.items()}}


def test_text_keeps_its_words_and_loses_its_powers():
    (found,) = outputs(
        {"output_type": "stream", "name": "stderr", "text": "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link"}
    )
    assert (found.stream, found.text) == ("stderr", "red link")
    assert harmless("a\u202eb\u200bc\x00d") == "a\ufffdb\ufffdc\ufffdd"


def test_pictures_are_drawn_anew():
    hidden = b"<script>alert(1)</script>"
    (found,) = outputs(display(image_png=picture(comment=hidden)))
    data = base64.b64decode(found.picture)
    assert hidden not in data
    assert (found.width, found.height) == (3, 2)
    with Image.open(io.BytesIO(data)) as again:
        assert again.getpixel((0, 0)) == (255, 0, 0)
    (jpeg,) = outputs(display(image_jpeg=picture("JPEG")))
    assert base64.b64decode(jpeg.picture).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "data",
    [
        {"text_html": "<img src=http://evil/x onerror=alert(1)>"},
        {"image_svg+xml": "<svg onload=alert(1)/>"},
        {"text_markdown": "![x](http://evil/x)"},
        {"application_json": "{}"},
        {"image_png": base64.b64encode(b"not a picture").decode()},
        {"image_png": "%%%"},
        {"image_png": picture("JPEG")},  # another parser than its type promises
    ],
)
def test_all_else_is_named_and_not_shown(data):
    (found,) = outputs(display(**data))
    assert found.text is None
    assert found.picture is None
    assert found.omitted.startswith(next(iter(data)).replace("_", "/", 1))
    assert "evil" not in found.omitted


def test_a_decompression_bomb_is_not_drawn():
    (found,) = outputs(display(image_png=picture(size=(9000, 9000))))
    assert found.omitted


def test_large_pictures_and_texts_are_cut():
    (drawn,) = outputs(display(image_png=picture(size=(3200, 100))))
    assert (drawn.width, drawn.height) == (1600, 50)
    (text,) = outputs({"output_type": "stream", "name": "stdout", "text": "x" * 300_000})
    assert text.text.endswith("[100,000 more characters are not shown]")


def test_an_error_shows_its_traceback_as_text():
    (found,) = outputs({"output_type": "error", "ename": "E", "evalue": "bad", "traceback": ["\x1b[0;31mline\x1b[0m"]})
    assert (found.stream, found.text) == ("error", "line\nE: bad")


def test_what_is_no_output_hides_none_of_the_others():
    said = {"output_type": "stream", "name": "stdout", "text": "seen"}
    odd = [{"output_type": "stream"}, {"output_type": "error"}, {"output_type": "display_data", "data": 1}, 5]
    found = outputs(*odd, said)
    assert [output.omitted for output in found[:-1]] == ["an output that is none"] * 4
    assert found[-1].text == "seen"


def test_many_pictures_texts_and_outputs_end_and_hide_nothing_after_them():
    """60 pictures of 39 million pixels, 400 KB in all, took more than the minute: the whole notebook was not shown."""
    large = display(image_png=picture(size=(6000, 6000)))
    said = {"output_type": "stream", "name": "stdout", "text": "seen"}
    found = outputs(*[large] * 8, said)
    assert [output.picture is not None for output in found] == [True] * 5 + [False] * 4
    assert found[7].omitted.startswith("image/png")
    assert found[8].text == "seen"
    (*_, text, small) = outputs(*[said | {"text": "x" * 200_000}] * 60, said)
    assert text.omitted.startswith("stdout, 200,000 characters")
    assert small.text == "seen" or small.omitted
    many = outputs(*[said] * 30_000)
    assert len(many) == 20_001
    assert many[-1].omitted.startswith("more outputs")


def test_an_unfinished_terminal_sequence_hides_no_line():
    assert harmless("a\x1b]0; title\nstolen rows") == "a\nstolen rows"
