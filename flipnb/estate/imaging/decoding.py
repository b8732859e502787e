"""One image from its files to the form that a dataset asks for: what a decoder is told, and what it tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from flipnb.contracts.document import Document
from flipnb.contracts.images import MOST_VOXELS, ImageSet, Segment
from flipnb.contracts.text import Identifier
from flipnb.estate.imaging.geometry import Unusable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DType = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32"]
_BYTES: dict[DType, int] = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4}

MOST_MESSAGE = 1 << 17
FILES_AT_ONCE = 200
"""Descriptors in one message to a decoder; Linux takes 253 at most."""
DISK_FULL = b"disk-full"

Number = Annotated[float, Field(ge=-1e15, le=1e15)]


class Form(Document):
    """What of a set of images changes their pixels. ``release`` is that of the code that makes them: what it made
    earlier is made anew where it has risen."""

    release: int = 1
    dimensions: Literal[2, 3]
    size: tuple[int, ...] | None
    spacing: tuple[float, ...] | None
    labels: tuple[Segment, ...]

    @classmethod
    def of(cls, images: ImageSet) -> Form:
        """That of a dataset's set of images."""
        return cls(dimensions=images.dimensions, size=images.size, spacing=images.spacing, labels=images.labels)


class Facts(Document):
    """What is told of a decoded image, whose bytes are its pixels and then, where the form has labels, as many uint8.

    Fields as in ``contracts.frozen.IMAGES_COLUMNS``. A decoder reads strangers' bytes: whoever is told these facts
    holds them against the form and the bytes (``require_fit``).
    """

    shape: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = Field(min_length=2, max_length=3)
    dtype: DType
    affine: tuple[Number, ...] = Field(min_length=12, max_length=12)
    spacing: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = Field(min_length=2, max_length=3)
    slope: Number
    intercept: Number
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    label_names: tuple[Identifier, ...] = Field(default=(), max_length=255)

    @property
    def voxels(self) -> int:
        """How many numbers the image has."""
        return math.prod(self.shape)

    @property
    def pixel_bytes(self) -> int:
        """The bytes of its pixels, labels not among them."""
        return self.voxels * _BYTES[self.dtype]

    def require_fit(self, form: Form, length: int) -> None:
        """Raise Unusable ``crashed`` where these are not the facts of ``length`` bytes of such a form."""
        names = [one.name for one in form.labels]
        fits = (
            len(self.shape) == len(self.spacing) == form.dimensions
            and self.voxels <= MOST_VOXELS
            and form.size in (None, self.shape)
            and length == self.pixel_bytes + (self.voxels if form.labels else 0)
            and list(self.label_names) == [name for name in names if name in self.label_names]
            and bool(self.label_names) == bool(form.labels)
        )
        if not fits:
            raise Unusable("crashed")


class DecodeOrder(Document):
    """What a decoder is asked: with this message comes the file to write to, ``images`` and then ``labels`` follow."""

    form: Form
    images: int
    labels: int
    memory_bytes: int
    file_bytes: int
    seconds: float


def decode_image(
    files: Sequence[bytes | memoryview], labels: Sequence[bytes | memoryview], form: Form
) -> tuple[Facts, npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """An image in this form, with its labels where the form has any. Raises Unusable."""
    import numpy as np

    from flipnb.estate.imaging.decode import read_picture, read_volume, reading
    from flipnb.estate.imaging.geometry import spacing_of
    from flipnb.estate.imaging.resampling import axes_for, moved_affine, resample, resample_labels
    from flipnb.estate.imaging.segmentation import read_labels

    image = read_picture(files[0]) if form.dimensions == 2 else read_volume(files)
    with reading():
        found = read_labels(labels, form.labels, image) if form.labels else None
        axes = axes_for(image.pixels.shape, spacing_of(image.affine), form.size, form.spacing)
        if math.prod(axis.length for axis in axes) > MOST_VOXELS:
            raise Unusable("too-large")
        pixels = np.ascontiguousarray(resample(image.pixels, axes))
        masks = None if found is None else np.ascontiguousarray(resample_labels(found.pixels, axes))
        affine = moved_affine(image.affine, axes)
        facts = Facts.model_validate(
            {
                "shape": pixels.shape,
                "dtype": pixels.dtype.name,
                "affine": tuple(affine[:3].ravel().tolist()),
                "spacing": spacing_of(affine)[: form.dimensions],
                "slope": image.slope,
                "intercept": image.intercept,
                "photometric": image.photometric,
                "label_names": () if found is None else found.names,
            }
        )
    return facts, pixels, masks
