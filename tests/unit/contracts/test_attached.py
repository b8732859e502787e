"""What may go with a notebook: code that is what it looks like, and weights whose header was read, never more."""

from __future__ import annotations

import ast
import io
import json
import struct
import sys
import tokenize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from flipnb.contracts.attached import (
    MOST_CODE_BYTES,
    MOST_CODE_LINES,
    MOST_HEADER_BYTES,
    AttachedFile,
    kind_of,
    read_header,
    require_code,
    require_files,
)
from flipnb.contracts.problem import FlipError


def refused(call, *arguments):
    with pytest.raises(FlipError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    "name",
    ["../model.py", "/etc/passwd", "a/b.py", "model.PY", "model", "model.py\n", "módel.py", "x.pt", "x.pth", "x.pkl",
     "x.pyc", "x.so", "x.zip", "x.npz", ".py", ".safetensors", "x.safetensors.py.exe", "x y.py", "x.py.safetensors/"],
)  # fmt: skip
def test_nothing_else_goes(name):
    assert refused(kind_of, name) == "wrong-kind"


@pytest.mark.parametrize("module", [*sorted(sys.stdlib_module_names)[::40], "flipnb", "json", "class", "__init__"])
def test_no_module_takes_a_name_of_pythons_or_of_flips(module):
    file = AttachedFile(name=f"{module}.py", sha256="0" * 64, size=1)
    assert refused(require_files, [file]) == "name-clash"


def test_a_hundred_modules_are_as_long_as_can_be_read():
    files = [AttachedFile(name=f"m{n}.py", sha256="0" * 64, size=MOST_CODE_BYTES) for n in range(4)]
    require_files(files)
    more = AttachedFile(name="n.py", sha256="0" * 64, size=1)
    assert refused(require_files, [*files, more]) == "file-too-large"
    assert refused(require_files, [more.model_copy(update={"size": MOST_CODE_BYTES + 1})]) == "file-too-large"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"x = 1\r\n", "invisible-character"),
        (b"x = 1\rimport os\n", "invisible-character"),
        ("x = 1  # \u202e".encode(), "invisible-character"),
        ("\ufeffx = 1".encode(), "invisible-character"),
        ("x\u200b = 1".encode(), "invisible-character"),
        (b"x = 1\x0c\n", "invisible-character"),
        (b"x = 1\x00\n", "invisible-character"),
        (b"x = '\xff'", "not-text"),
        (b"# coding: utf-7\nx = 1", "wrong-encoding"),
        (b"#!/usr/bin/python\n# -*- coding: raw_unicode_escape -*-\n# \\u000aimport os", "wrong-encoding"),
        (b"# vim: set fileencoding=latin-1 :\n", "wrong-encoding"),
        (b"#" * (MOST_CODE_BYTES + 1), "file-too-large"),
        (b"\n" * MOST_CODE_LINES, "file-too-large"),
    ],
)
def test_code_is_what_it_looks_like(content, code):
    assert refused(require_code, content, "model.py") == code


@given(st.binary(max_size=60), st.sampled_from(["utf-7", "raw_unicode_escape", "latin-1", "cp037", "utf8", "UTF_8"]))
def test_python_reads_the_very_text_that_is_shown(tail, encoding):
    """Whatever says an encoding in a way that Python hears: where it is let through, Python decodes it as we do."""
    content = f"# -*- coding: {encoding} -*-\n".encode() + tail
    try:
        source = require_code(content, "model.py")
    except FlipError:
        return
    found, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    assert content.decode(found) == source


def test_what_hides_from_a_reader_is_refused_and_would_have_run():
    content = b"# -*- coding: raw_unicode_escape -*-\n# harmless \\u000aimport os\n"
    assert any(isinstance(node, ast.Import) for node in ast.walk(ast.parse(content)))
    assert refused(require_code, content, "model.py") == "wrong-encoding"


ARRAYS = st.dictionaries(
    st.text("abc.0_", min_size=1, max_size=8),
    st.tuples(
        st.sampled_from(["float32", "float16", "int64", "uint8", "bool"]), st.lists(st.integers(0, 3), max_size=3)
    ),
    max_size=5,
)


@given(ARRAYS)
def test_what_the_library_wrote_is_read(arrays):
    data = save({name: np.zeros(shape, dtype) for name, (dtype, shape) in arrays.items()}, {"format": "np"})
    header = read_header(io.BytesIO(data), len(data), "w.safetensors")
    assert {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in header.tensors} == arrays
    assert header.metadata == {"format": "np"}


@given(st.binary(max_size=300), st.integers(0, 40))
def test_no_bytes_do_more_than_to_be_refused(junk, cut):
    data = save({"w": np.zeros((2, 3), np.float32)})
    for content in (junk, data[:cut] + junk, data + junk, data[: len(data) - cut]):
        try:
            found = read_header(io.BytesIO(content), len(content), "w.safetensors")
        except FlipError as error:
            assert error.code == "bad-weights"
        else:
            assert sum(t.elements for t in found.tensors) <= len(content)


def weights(header, body=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(begin, end, shape=(1,), dtype="U8", **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


@pytest.mark.parametrize(
    "content",
    [
        weights({"a": entry(0, 1), "b": entry(0, 1)}, b"x"),  # the same byte twice
        weights({"a": entry(0, 1), "b": entry(2, 3)}, b"xyz"),  # a gap, where something could lie
        weights({"a": entry(0, 1)}, b"x" * 9),  # and behind the end
        weights({"a": entry(0, 4)}, b"xyza"),
        weights({"a": entry(0, 1, shape=(-1, -1))}, b"x"),
        weights({"a": entry(0, 1, shape=(10**30,) * 3)}, b"x"),
        weights({"a": entry(True, 1)}, b"x"),
        weights({"a": entry(0, 1, dtype="O")}, b"x"),
        weights({"a": entry(0, 1, code="__import__('os')")}, b"x"),
        weights({"a\u202e": entry(0, 1)}, b"x"),
        weights(b'{"a":1,"a":2}'),
        weights({"a": [0, 1]}, b"x"),
        weights([1, 2]),
        weights({"__metadata__": {"x": ["y"]}}),
        weights({"__metadata__": {"x": "\u200b"}}),
        weights({}, length=2**63),
        weights({}, length=MOST_HEADER_BYTES + 1),
        weights(b"{" + b'"a":{' * 100_000),
        b"\x80\x04\x95" + b"pickle" * 10,
        b"PK\x03\x04" + b"\0" * 60,
        b"",
    ],
)  # fmt: skip
def test_weights_that_say_anything_else_are_refused(content):
    assert refused(read_header, io.BytesIO(content), len(content), "w.safetensors") == "bad-weights"


def test_a_large_files_header_alone_is_read():
    class Counting(io.BytesIO):
        read_bytes = 0

        def read(self, size=-1):
            found = super().read(size)
            Counting.read_bytes += len(found)
            return found

    data = save({"w": np.zeros(1 << 22, np.uint8)})
    assert read_header(Counting(data), len(data), "w.safetensors").tensors[0].shape == (1 << 22,)
    assert Counting.read_bytes < 200
