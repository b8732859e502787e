"""Blobs appear whole under their digest, for hub, coordinator and simulation alike."""

import errno
import hashlib
import os

import pytest

from flipnb.files.blobs import Blobs, share


@pytest.fixture
def blobs(tmp_path):
    made = Blobs(tmp_path / "blobs")
    made.make()
    return made


def test_a_file_that_is_given_is_a_second_name(tmp_path, blobs):
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for _ in range(2):
        blobs.give(file, digest)
        assert blobs.path(digest).read_bytes() == b"weights"
        assert blobs.path(digest).samefile(file)
    assert blobs.path(digest).parent.name == digest[:2]
    assert list(blobs.partial.iterdir()) == []


def test_where_a_file_system_has_no_second_names_it_is_a_copy(tmp_path, blobs, monkeypatch):
    def refused(file, name):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    blobs.give(file, "ab" * 32)
    assert blobs.path("ab" * 32).read_bytes() == b"weights"
    assert not blobs.path("ab" * 32).samefile(file)


def test_a_full_disk_leaves_no_blob_and_nothing_half(tmp_path, blobs, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    monkeypatch.setattr("flipnb.files.blobs.share", full)
    with pytest.raises(OSError, match="No space"):
        blobs.give(file, "ab" * 32)
    monkeypatch.setattr("flipnb.files.blobs.share", share)
    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        blobs.give(file, "ab" * 32)
    assert not blobs.path("ab" * 32).exists()
    assert list(blobs.partial.iterdir()) == []
