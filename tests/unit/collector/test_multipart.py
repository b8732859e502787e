"""A multipart body is what Python's own parser of messages makes of it, however it arrives."""

from __future__ import annotations

import io
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.enclave.collector.pacs.multipart import BrokenMultipart, Multipart, boundary_of

BOUNDARY = "b0undary"
CONTENTS = st.binary(max_size=60) | st.sampled_from(
    [b"\r\n--b0undar", b"--b0undary", b"\r\n", b"\r", b"\n--", b"\r\n--b0undar\r\n--b0undarx", b"-" * 20]
)


def body(parts: list[bytes]) -> bytes:
    pieces = [b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts]
    return b"".join(pieces) + b"--b0undary--\r\n"


def read(content: bytes, sizes: list[int]) -> list[bytes]:
    stream, left = io.BytesIO(content), iter(sizes)
    reading = Multipart(lambda most: stream.read(min(most, next(left, most))), BOUNDARY.encode(), block=64)
    return [b"".join(part) for part in reading.parts()]


@given(parts=st.lists(CONTENTS, max_size=5), sizes=st.lists(st.integers(1, 40), max_size=50))
def test_parts_in_any_pieces(parts, sizes):
    parts = [part for part in parts if b"\r\n--b0undary" not in b"\r\n" + part]
    assert read(body(parts), sizes) == parts if parts else True
    if parts:
        head = b'Content-Type: multipart/related; boundary="b0undary"\r\n\r\n'
        theirs = message_from_bytes(head + body(parts), policy=policy.HTTP).get_payload()
        assert len(theirs) == len(parts)


@given(parts=st.lists(CONTENTS, min_size=1, max_size=3), cut=st.integers(1, 200))
def test_a_body_that_ends_early_is_told(parts, cut):
    parts = [part for part in parts if b"\r\n--b0undary" not in b"\r\n" + part] or [b"x"]
    whole = body(parts)
    short = whole[: -min(cut, len(whole)) - 3]
    with pytest.raises(BrokenMultipart):
        read(short, [])


def test_whoever_skips_a_part_is_at_the_next():
    stream = io.BytesIO(body([b"one" * 100, b"two"]))
    reading = Multipart(stream.read, BOUNDARY.encode(), block=16)
    assert [next(part)[:1] for part in reading.parts()] == [b"o", b"t"]


@pytest.mark.parametrize(
    "told",
    [
        "application/json",
        "multipart/related",
        "multipart/mixed; boundary=a",
        f"multipart/related; boundary={'a' * 300}",
    ],
)
def test_what_is_no_related_parts(told):
    with pytest.raises(BrokenMultipart):
        boundary_of(told)


def test_a_header_without_end_is_not_read_for_ever():
    def endless(most: int) -> bytes:
        return b"a" * most

    stream = io.BytesIO(b"--b0undary\r\n")
    with pytest.raises(BrokenMultipart, match="header"):
        list(Multipart(lambda most: stream.read(most) or endless(most), BOUNDARY.encode()).parts())
