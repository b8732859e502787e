"""A zip that is read while it comes gives what Python's own zipfile gives, however it was written and cut."""

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.enclave.collector.xnat.unzip import BrokenZip, HostileName, Unzip, is_inside


class Unseekable(io.RawIOBase):
    """So that zipfile writes sizes after the content, as XNAT does."""

    def __init__(self):
        self.written = bytearray()

    def writable(self):
        return True

    def write(self, piece):
        self.written += piece
        return len(piece)


def zipped(files, *, method=zipfile.ZIP_DEFLATED, seekable=True):
    stream = io.BytesIO() if seekable else Unseekable()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return stream.getvalue() if seekable else bytes(stream.written)


def cut(content, sizes):
    place = 0
    for size in sizes:
        yield content[place : place + size]
        place += size
    yield content[place:]


def unzipped(content, sizes=()):
    return {name: b"".join(pieces) for name, pieces in Unzip(cut(content, sizes)).files()}


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1)
paths = st.lists(names.filter(lambda one: one not in (".", "..")), min_size=1, max_size=3).map("/".join)
contents = st.binary(max_size=2000) | st.integers(0, 600_000).map(lambda size: b"ab" * size)


@given(
    st.dictionaries(paths, contents, max_size=4),
    st.lists(st.integers(0, 5000), max_size=6),
    st.booleans(),
)
def test_it_gives_what_was_packed(files, sizes, seekable):
    assert unzipped(zipped(files, seekable=seekable), sizes) == files


@given(st.dictionaries(paths, contents, max_size=3), st.lists(st.integers(0, 300), max_size=6))
def test_it_gives_what_was_stored(files, sizes):
    assert unzipped(zipped(files, method=zipfile.ZIP_STORED), sizes) == files


def test_a_file_of_zip64_and_a_folder():
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.mkdir("a")
        info = zipfile.ZipInfo("a/big")
        info.compress_type = zipfile.ZIP_DEFLATED
        with made.open(info, "w", force_zip64=True) as file:
            file.write(b"x" * 70_000)
    assert unzipped(bytes(stream.written)) == {"a/big": b"x" * 70_000}


def test_an_empty_zip_has_no_files():
    assert unzipped(zipped({})) == {}


@given(st.dictionaries(paths, st.binary(min_size=1, max_size=500), min_size=1, max_size=3), st.data())
def test_what_is_cut_off_or_turned_is_never_given_as_whole(files, data):
    whole = zipped(files, seekable=data.draw(st.booleans()))
    place = data.draw(st.integers(0, len(whole) - 1))
    turned = bytearray(whole)
    turned[place] ^= 1 << data.draw(st.integers(0, 7))
    for broken in (whole[:place], bytes(turned)):
        try:
            told = unzipped(broken)
        except (BrokenZip, HostileName):
            continue
        # What is in the central directory, a time or a flag that means nothing may be turned; no content is.
        assert set(told.values()) <= set(files.values())


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//x", "a\\..\\x", "a/./x", "..", "x\n", "C:\\x"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    content = zipped({"a" * len(name.encode()): b"1"}).replace(b"a" * len(name.encode()), name.encode())
    assert not is_inside(name)
    with pytest.raises(HostileName):
        unzipped(content)


def test_a_bomb_comes_in_small_pieces():
    bomb = zipped({"zeros": bytes(64 << 20)})
    assert len(bomb) < 1 << 17
    for _, pieces in Unzip(iter([bomb])).files():
        sizes = [len(piece) for piece in pieces]
    assert (max(sizes) <= 1 << 18, sum(sizes)) == (True, 64 << 20)


def test_what_is_encrypted_or_packed_otherwise_is_refused():
    plain = bytearray(zipped({"a": b"1"}))
    encrypted = bytes(plain[:6] + struct.pack("<H", 1) + plain[8:])
    for content in (
        encrypted,
        zipped({"a": b"1" * 99}, method=zipfile.ZIP_BZIP2),
        b"PK\x03\x04",
        b"<html>no zip</html>",
    ):
        with pytest.raises(BrokenZip):
            unzipped(content)
