"""Freezing images: each is decoded once, by a process that may die of it, and lies then beside the cohort's tables.

What can't be used is left out and counted by reason: one bad study never ends the freezing of the others.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.frozen import IMAGES, IMAGES_COLUMNS, images_file
from flipnb.contracts.images import ImageCount, ImageSet, LeftOut, Reason
from flipnb.estate.imaging.archive import Archive
from flipnb.estate.imaging.decoder import Decoder
from flipnb.estate.imaging.decoding import Form
from flipnb.estate.imaging.geometry import Unusable
from flipnb.estate.imaging.kept_images import Kept, KeptImages
from flipnb.estate.imaging.selection import Found, select
from flipnb.files.tensor_file import FilePart, PiecedTensor, write_tensors

if TYPE_CHECKING:
    import duckdb

_BLOCK = 1 << 20


@dataclass(frozen=True)
class ImageStores:
    """What images are made of and with: the estate's archive, what was decoded before, and who decodes."""

    archive: Archive
    kept: KeptImages
    decoder: Decoder


@dataclass(frozen=True)
class _Frozen:
    """An image that is ready, with its name among those that are kept."""

    found: Found
    key: str
    kept: Kept


@dataclass
class _Family:
    """Images of one type and shape, which share a tensor; ``number`` is its place."""

    number: int
    images: list[_Frozen] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str]:
        """Of its tensors of pixels and of labels."""
        return f"image.{self.number}", f"label.{self.number}"


def freeze_images(
    target: duckdb.DuckDBPyConnection, sets: Sequence[ImageSet], folder: Path, stores: ImageStores
) -> tuple[ImageCount, ...]:
    """Fill the table ``images`` and write each set's file of pixels into ``folder``; what became of each set.

    ``target`` has the estate version attached as ``estate``, and the temporary table ``member``. Raises OSError where
    the disk is full.
    """
    stores.kept.make()
    counts, rows, used = [], [], set[str]()
    for images in sets:
        frozen, left_out, found = _decode_all(select(target, images), images, stores)
        rows += _write_set(images, frozen, folder, stores.kept)
        used |= {one.key for one in frozen}
        counts.append(
            ImageCount(
                name=images.name,
                found=found,
                frozen=len(frozen),
                people=len({one.found.person for one in frozen}),
                train=len({one.found.person for one in frozen if one.found.split == "train"}),
                left_out=tuple(LeftOut(reason=reason, images=n) for reason, n in sorted(left_out.items())),
            )
        )
    _insert(target, rows)
    stores.kept.shrink(frozenset(used))
    return tuple(counts)


def _decode_all(
    wanted: Iterable[Found], images: ImageSet, stores: ImageStores
) -> tuple[list[_Frozen], Counter[Reason], int]:
    """Those that can be used within the set's bytes, how many can't by reason, and how many there were."""
    form = Form.of(images)
    frozen: list[_Frozen] = []
    left_out: Counter[Reason] = Counter()
    room, found = images.most_bytes, 0
    for one in wanted:
        found += 1
        try:
            if room <= 0:
                raise Unusable("over-bytes")
            ready = _decoded(one, form, stores)
            assert ready.kept.facts is not None
            size = sum(part.length for part in stores.kept.parts(ready.key, ready.kept.facts))
            if size > room:
                room = 0  # who comes later must not be let in for being smaller
                raise Unusable("over-bytes")
        except Unusable as unusable:
            left_out[unusable.reason] += 1
            continue
        room -= size
        frozen.append(ready)
    return frozen, left_out, found


def _decoded(found: Found, form: Form, stores: ImageStores) -> _Frozen:
    """An image, out of what is kept or decoded now. Raises Unusable."""
    if found.contoured:
        raise Unusable("rtstruct")
    if form.labels and not found.labels:
        raise Unusable("labels-missing")
    key = stores.kept.key(found.files, found.labels, form)
    kept = stores.kept.find(key)
    if kept is None:
        kept = _decode(key, found, form, stores)
    if kept.reason is not None:
        raise Unusable(kept.reason)
    return _Frozen(found, key, kept)


def _decode(key: str, found: Found, form: Form, stores: ImageStores) -> Kept:
    target = stores.kept.partial(key)
    target.unlink(missing_ok=True)
    try:
        with ExitStack() as stack:
            images = [_opened(sha256, stores.archive, stack) for sha256 in found.files]
            labels = [_opened(sha256, stores.archive, stack) for sha256 in found.labels]
            facts = stores.decoder.decode(images, labels, form, target)
    except Unusable as unusable:
        stores.kept.keep_reason(key, unusable.reason)
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return stores.kept.keep(key, facts)


def _opened(sha256: str, archive: Archive, stack: ExitStack) -> int:
    """A file of the archive, open and whole. Raises Unusable ``missing-file``, ``damaged``."""
    try:
        handle = os.open(archive.path(sha256), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        raise Unusable("missing-file") from None
    stack.callback(os.close, handle)
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(handle, _BLOCK, offset):
        digest.update(block)
        offset += len(block)
    if digest.hexdigest() != sha256:
        raise Unusable("damaged")
    return handle


def _write_set(images: ImageSet, frozen: Sequence[_Frozen], folder: Path, kept: KeptImages) -> list[dict[str, Any]]:
    """The file of a set's pixels, a tensor for each type and shape; a row of the table for each image."""
    families: dict[tuple[str, tuple[int, ...]], _Family] = {}
    placed: list[tuple[_Frozen, _Family, int]] = []
    for one in frozen:
        assert one.kept.facts is not None
        family = families.setdefault((one.kept.facts.dtype, one.kept.facts.shape), _Family(len(families)))
        placed.append((one, family, len(family.images)))
        family.images.append(one)
    tensors: dict[str, PiecedTensor] = {}
    for (dtype, shape), family in families.items():
        pixels, labels = zip(*(_parts(one, kept) for one in family.images), strict=True)
        whole = (len(family.images), *shape)
        tensors[family.names[0]] = PiecedTensor(dtype, whole, pixels)
        if images.labels:
            tensors[family.names[1]] = PiecedTensor("uint8", whole, labels)
    path = folder / images_file(images.name)
    starts = write_tensors(path, tensors)
    path.chmod(0o444)
    return [_row(images, one, family, row, starts) for one, family, row in placed]


def _parts(one: _Frozen, kept: KeptImages) -> tuple[FilePart, FilePart]:
    assert one.kept.facts is not None
    return kept.parts(one.key, one.kept.facts)


def _row(images: ImageSet, one: _Frozen, family: _Family, row: int, starts: dict[str, int]) -> dict[str, Any]:
    facts, found = one.kept.facts, one.found
    assert facts is not None
    pixels, labels = family.names
    return {
        "person_id": found.person,
        "split": found.split,
        "image_set": images.name,
        "modality": found.modality,
        "body_part_concept_id": found.body_part,
        "day": found.day,
        "shape": list(facts.shape),
        "dtype": facts.dtype,
        "affine": list(facts.affine),
        "spacing": list(facts.spacing),
        "rescale_slope": facts.slope,
        "rescale_intercept": facts.intercept,
        "photometric": facts.photometric,
        "file": images_file(images.name),
        "tensor": pixels,
        "tensor_row": row,
        "file_offset": starts[pixels] + row * facts.pixel_bytes,
        "sha256": one.kept.sha256,
        "label_names": list(facts.label_names),
        "label_file_offset": starts[labels] + row * facts.voxels if images.labels else None,
        "label_sha256": one.kept.label_sha256,
    }


def _insert(target: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    """Number the rows by person and insert them, whole columns at once."""
    rows.sort(key=lambda row: int(row["person_id"]))
    if not rows:
        return
    columns = list(_columns(rows))
    lists = ", ".join(f"unnest(?::{kind}[]) AS {name}" for name, kind, _ in columns)
    target.execute(
        f"INSERT INTO {IMAGES} BY NAME SELECT {lists}",
        [values for _, _, values in columns],
    )


def _columns(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[Any]]]:
    for name, definition in IMAGES_COLUMNS.items():
        numbers = range(1, len(rows) + 1)
        values = list(numbers) if name == "image_id" else [row[name] for row in rows]
        yield name, definition.split(" ")[0], values
