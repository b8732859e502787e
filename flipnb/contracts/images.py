"""Which images of a cohort's people a kernel sees, and in which form: part of a dataset, and so of what is approved.

An image is a series of slices, read as one volume, or a picture of one frame. What is frozen is its pixels in whole
numbers, its place in space, and labels; nothing of a header's text.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from flipnb.contracts.cohort_values import ConceptId
from flipnb.contracts.document import Document
from flipnb.contracts.text import Identifier, Line
from flipnb.contracts.window import Window

Modality = Literal["CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OP", "OT", "PT", "RF", "US", "XA"]
"""DICOM's code of a modality (PS3.3, C.7.3.1.1.1), as the kind of object says it; OT are secondary captures."""

Millimetres = Annotated[float, Field(ge=0.01, le=100)]
Voxels = Annotated[int, Field(ge=1, le=8192)]

MOST_VOXELS = 1 << 30
MOST_SETS = 16
MOST_BYTES = 1 << 41

Reason = Literal[
    "colour",
    "crashed",
    "damaged",
    "duplicate-position",
    "float-pixels",
    "labels-missing",
    "labels-overlap",
    "labels-unreadable",
    "missing-file",
    "missing-slice",
    "mixed-orientation",
    "mixed-size",
    "mixed-spacing",
    "no-geometry",
    "not-in-line",
    "over-bytes",
    "rtstruct",
    "several-frames",
    "single-slice",
    "too-large",
    "too-long",
    "unreadable",
    "unsupported-syntax",
]
"""Why an image was left out. A closed list, so that no header's text is in it."""

REASONS: dict[Reason, str] = {
    "colour": "it is in colour",
    "crashed": "the process that decoded it died of it",
    "damaged": "a file is not what it was when it was archived",
    "duplicate-position": "two slices lie at one place, as in a series of several phases",
    "float-pixels": "its pixels are no whole numbers",
    "labels-missing": "it has no segmentation with the declared segments",
    "labels-overlap": "two of its segments overlap",
    "labels-unreadable": "its segmentation can't be laid over it",
    "missing-file": "a file of it is not in the archive",
    "missing-slice": "a slice of it is missing",
    "mixed-orientation": "its slices do not lie parallel",
    "mixed-size": "its slices differ in size",
    "mixed-spacing": "its slices differ in spacing",
    "no-geometry": "it does not say where its slices lie",
    "not-in-line": "its slices do not lie in one line",
    "over-bytes": "it had no room within the set's most bytes",
    "rtstruct": "its labels are an RTSTRUCT, which is not read yet",
    "several-frames": "it has several frames and is no picture",
    "single-slice": "it is a single slice and no volume",
    "too-large": "it is larger than an image may be",
    "too-long": "decoding it took too long",
    "unreadable": "it can't be read",
    "unsupported-syntax": "its way of compression is not read here",
}


class Segment(Document):
    """One segment of DICOM Segmentations that becomes a label.

    ``label`` is the segment's label (0062,0005), capitals and spaces at its ends aside. Its voxels have the number of
    the segment's place in ``ImageSet.labels``, counted from 1; 0 is everything else.
    """

    name: Identifier
    label: Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class ImageSet(Document):
    """Images under one name: ``flip.data().train.images(NAME)``.

    Of each person those series (``dimensions=3``) or single pictures (``2``) that are of ``modalities`` and, where
    ``body_parts`` are given, of one of these concepts (``anatomic_site_concept_id``), and were made on a day of
    ``window``. ``take`` says of which study they are: of the last or the first that has one, or of all of them; at most
    ``per_person`` images, those with most slices first.

    Arrays are x, y and, of volumes, z. A volume's axes are turned so that they run most nearly to the person's right,
    front and head (RAS+), without resampling; a picture's are columns to the right and rows downwards. With ``spacing``
    (millimetres along x, y, z) an image is resampled to it; with ``size`` (voxels) its field of view is scaled to that;
    with both it is resampled to the spacing and then cut or padded around its middle. Images are interpolated linearly,
    labels by the nearest. Numbers keep their whole-number type; window and level are never applied.

    ``labels`` are segments of a DICOM SEG of the same study, by place in space; an image without any of them is left
    out. ``most_bytes`` is how many bytes all of them may take in one Trust, in people's pseudonymous order.
    ``role`` says whether a model is to find them out, as a variable's.
    """

    name: Identifier
    modalities: tuple[Modality, ...] = Field(min_length=1, max_length=14)
    dimensions: Literal[2, 3]
    window: Window
    body_parts: tuple[ConceptId, ...] = Field(default=(), max_length=1000)
    take: Literal["last", "first", "all"] = "last"
    per_person: int = Field(default=1, ge=1, le=1000)
    size: tuple[Voxels, ...] | None = None
    spacing: tuple[Millimetres, ...] | None = None
    labels: tuple[Segment, ...] = Field(default=(), max_length=255)
    most_bytes: int = Field(default=20 << 30, ge=1, le=MOST_BYTES)
    role: Literal["feature", "outcome"] = "feature"

    @model_validator(mode="after")
    def _consistent(self) -> ImageSet:
        for what, given in (("size", self.size), ("spacing", self.spacing)):
            if given is not None and len(given) != self.dimensions:
                raise ValueError(f"images {self.name}: {what} needs {self.dimensions} numbers, as it has dimensions")
        if self.size is not None and math.prod(self.size) > MOST_VOXELS:
            raise ValueError(f"images {self.name}: at most {MOST_VOXELS} voxels")
        if self.labels and self.dimensions == 2:
            raise ValueError(f"images {self.name}: labels are of volumes, whose place in space is known")
        for what, values in (
            ("a modality", self.modalities),
            ("a body part", self.body_parts),
            ("a label's name", [one.name for one in self.labels]),
            ("a segment", [as_segment(one.label) for one in self.labels]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"images {self.name}: {what} is there twice")
        return self

    @property
    def may_be_later(self) -> bool:
        """Whether an image may be of a day after the index date, the cohort's start."""
        return self.window.may_be_later

    @property
    def words(self) -> str:
        """For people: ``the last study with CT from 30 days before the index date to the index date, as volumes``."""
        kinds = " or ".join(self.modalities)
        studies = "all studies" if self.take == "all" else f"the {self.take} study"
        form = "volumes" if self.dimensions == 3 else "pictures"
        return f"{studies} with {kinds} {self.window.words}, as {form}"

    @property
    def form_words(self) -> str:
        """For people, what is done to each: ``resampled to 1 × 1 × 3 mm, cut or padded to 96 × 96 × 64 voxels``."""
        spacing = " × ".join(f"{one:g}" for one in self.spacing or ())
        size = " × ".join(map(str, self.size or ()))
        if self.spacing and self.size:
            return f"resampled to {spacing} mm, cut or padded to {size} voxels"
        if self.spacing:
            return f"resampled to {spacing} mm"
        return f"scaled to {size} voxels" if self.size else "as they are stored"


FrozenShare = Literal["few", "under-50", "50-to-75", "75-to-90", "90-or-more"]
"""Of how many per cent of a set's images pixels were frozen: a band, which tells no number of people. few: they are of
fewer people than the Trust's policy shows."""

FROZEN_WORDS: dict[FrozenShare, str] = {
    "few": "too few people have them for a share to be told",
    "under-50": "less than half of them could be used",
    "50-to-75": "50 to 75 % of them could be used",
    "75-to-90": "75 to 90 % of them could be used",
    "90-or-more": "90 % of them or more could be used",
}


def as_segment(label: str) -> str:
    """A segment's label as it is compared."""
    return " ".join(label.split()).casefold()


class LeftOut(Document):
    """How many images were left out for one reason."""

    reason: Reason
    images: int = Field(ge=1)


class ImageCount(Document):
    """What became of one set's images in one Trust: ``frozen`` of ``found``, the others by reason. Exact numbers.

    ``people`` have at least one of those frozen, of the cohort's members; ``train`` of them are in train, None where an
    earlier release did not count them. They stay in the enclave, which tells ``share``.
    """

    name: Identifier
    found: int = Field(ge=0)
    frozen: int = Field(ge=0)
    people: int = Field(ge=0)
    train: int | None = Field(default=None, ge=0)
    left_out: tuple[LeftOut, ...] = Field(default=(), max_length=len(REASONS))

    def share(self, threshold: int) -> FrozenShare:
        """The band of those frozen in those found, of a policy that shows no fewer than ``threshold`` people. A bound
        belongs to the band above it."""
        if self.people < threshold:
            return "few"
        if 10 * self.frozen >= 9 * self.found:
            return "90-or-more"
        if 4 * self.frozen >= 3 * self.found:
            return "75-to-90"
        return "50-to-75" if 2 * self.frozen >= self.found else "under-50"

    @property
    def words(self) -> str:
        """For people: ``images scan: 98 of 100 frozen; 2 left out: a slice of it is missing (2)``."""
        said = f"images {self.name}: {self.frozen} of {self.found} frozen"
        if not self.left_out:
            return said
        whys = ", ".join(f"{REASONS[one.reason]} ({one.images})" for one in self.left_out)
        return f"{said}; {sum(one.images for one in self.left_out)} left out: {whys}"
