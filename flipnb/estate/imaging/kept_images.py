"""Images that were decoded once, by what they were made of: the same files in the same form again cost no decoding.

An entry is named by the SHA-256 of the form and of the files' digests. ``ab/KEY.json`` says what is in ``ab/KEY.raw``,
or why there is nothing; it is written last. What was not asked for longest goes first, once there is too much.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.document import Digest, Document, canonical_bytes, sha256
from flipnb.contracts.images import Reason
from flipnb.estate.imaging.decoding import Facts, Form
from flipnb.files.tensor_file import FilePart
from flipnb.files.whole import PARTIAL, publish, write

MOST_BYTES = 100 << 30
_PASSING: frozenset[Reason] = frozenset({"crashed", "too-long", "missing-file", "damaged", "over-bytes"})
"""What may be otherwise the next time."""
_BLOCK = 1 << 20


class Kept(Document):
    """``facts`` of an image, with the SHA-256 of its pixels and labels; or the reason why it can't be used."""

    facts: Facts | None = None
    sha256: Digest | None = None
    label_sha256: Digest | None = None
    reason: Reason | None = None


class KeptImages:
    """``folder`` is of the process that freezes alone; ``most_bytes`` what it may hold."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes

    def make(self) -> None:
        """Make the folder, and remove what a killed process left half-written."""
        self._folder.mkdir(exist_ok=True, mode=0o700)
        for left in self._folder.glob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)

    @staticmethod
    def key(images: Sequence[str], labels: Sequence[str], form: Form) -> str:
        """The name of what files of these SHA-256 make in this form, in whatever order they come."""
        named = {"form": form.model_dump(mode="json"), "images": sorted(images), "labels": sorted(labels)}
        return sha256(canonical_bytes(named))

    def find(self, key: str) -> Kept | None:
        """What is kept, None where nothing is."""
        try:
            found = Kept.model_validate_json(self._said(key).read_bytes())
            if found.facts is not None:
                if self._raw(key).stat().st_size < found.facts.pixel_bytes:
                    return None
                os.utime(self._raw(key))
            os.utime(self._said(key))
        except (FileNotFoundError, ValidationError):
            return None
        return found

    def partial(self, key: str) -> Path:
        """Where to write an image's bytes before they are kept."""
        return self._folder / f"{key}{PARTIAL}"

    def keep(self, key: str, facts: Facts) -> Kept:
        """Keep what was written to ``partial``, which are the bytes of these facts."""
        partial = self.partial(key)
        pixels, labels = _digests(partial, facts.pixel_bytes)
        kept = Kept(facts=facts, sha256=pixels, label_sha256=labels if facts.label_names else None)
        self._raw(key).parent.mkdir(exist_ok=True)
        publish(partial, self._raw(key))
        self._say(key, kept)
        return kept

    def keep_reason(self, key: str, reason: Reason) -> None:
        """Keep why files make no image, unless that may pass."""
        self.partial(key).unlink(missing_ok=True)
        if reason not in _PASSING:
            self._said(key).parent.mkdir(exist_ok=True)
            self._say(key, Kept(reason=reason))

    def parts(self, key: str, facts: Facts) -> tuple[FilePart, FilePart]:
        """Where an image's pixels and its labels lie."""
        labels = facts.voxels if facts.label_names else 0
        raw = self._raw(key)
        return FilePart(raw, 0, facts.pixel_bytes), FilePart(raw, facts.pixel_bytes, labels)

    def shrink(self, but: frozenset[str] = frozenset()) -> None:
        """Remove what was not asked for longest, but not ``but``, until there is no more than there may be."""
        found = [(path.stat(), path) for path in self._folder.glob("*/*.raw")]
        held = sum(status.st_size for status, _ in found)
        for status, path in sorted(found, key=lambda one: (one[0].st_mtime_ns, one[1].name)):
            if held <= self._most:
                return
            if path.stem not in but:
                self._said(path.stem).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                held -= status.st_size

    def _say(self, key: str, kept: Kept) -> None:
        write(self._said(key), kept.model_dump_json().encode(), mode=0o600)

    def _raw(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.raw"

    def _said(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def _digests(path: Path, first: int) -> tuple[str, str]:
    """SHA-256 of the first so many bytes of a file, and of the rest."""
    found = []
    with path.open("rb") as file:
        for length in (first, None):
            digest = hashlib.sha256()
            left = length
            while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
                digest.update(block)
                left = None if left is None else left - len(block)
            found.append(digest.hexdigest())
    return found[0], found[1]
