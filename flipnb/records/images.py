"""The images of a frozen cohort as its table has them: which there are, and where their bytes lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.frozen import IMAGES

if TYPE_CHECKING:
    import duckdb

_COLUMNS = (
    "image_id, person_id, modality, body_part_concept_id, day, shape, dtype, affine, spacing, rescale_slope, "
    "rescale_intercept, photometric, file, file_offset, sha256, label_names, label_file_offset, label_sha256"
)


@dataclass(frozen=True)
class FrozenImage:
    """One row of ``contracts.frozen.IMAGES_COLUMNS``; ``file`` is where it lies."""

    image_id: int
    person_id: int
    modality: str
    body_part_concept_id: int | None
    day: int
    shape: tuple[int, ...]
    dtype: str
    affine: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale_slope: float
    rescale_intercept: float
    photometric: str
    file: Path
    file_offset: int
    sha256: str
    label_names: tuple[str, ...]
    label_file_offset: int | None
    label_sha256: str | None


def images_of(cursor: duckdb.DuckDBPyConnection, image_set: str, folder: Path) -> list[FrozenImage]:
    """The images of a set in the cursor's schema, in the order of their numbers; files lie in ``folder``."""
    rows = cursor.execute(f"SELECT {_COLUMNS} FROM {IMAGES} WHERE image_set = ? ORDER BY image_id", [image_set])
    return [_image(row, folder) for row in rows.fetchall()]


def _image(row: tuple[Any, ...], folder: Path) -> FrozenImage:
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    values[12] = folder / str(values[12])
    return FrozenImage(*values)
