"""Invented images of a twin's people: phantoms of the declared shapes, with simple bodies as labels.

Nothing in them hangs together with a person's variables. Nine of ten people have one. Where the dataset declares no
size they are of three shapes, as real ones are of many, so that a notebook which needs one shape fails at the
rehearsal. Large ones are drawn a few times only, and several people share the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.frozen import IMAGES_COLUMNS, images_file
from flipnb.contracts.images import ImageSet, Modality
from flipnb.contracts.outputs import Part
from flipnb.files.tensor_file import PiecedTensor, write_tensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_BYTES = 128 << 20
"""What is drawn of one set."""
_SHAPES = {2: ((64, 64), (72, 60), (56, 80)), 3: ((32, 32, 24), (36, 30, 20), (28, 40, 26))}
_MILLIMETRES = {2: (0.5, 0.5), 3: (1.5, 1.5, 2.5)}
_BYTES_EACH: frozenset[Modality] = frozenset({"ES", "OP", "OT", "US"})
"""Modalities whose pictures have a byte for each pixel; the others have two."""
_ABSENT = 10


def add_images(
    images: ImageSet, parts: Mapping[int, Part], folder: Path, seed: int, first_id: int
) -> Iterator[list[Any]]:
    """Write the file of a set's pixels into ``folder``; the rows of the table, in its columns' order.

    ``parts`` are people with their part, ascending. The same arguments give the same bytes.
    """
    import numpy as np

    shapes = (images.size,) if images.size is not None else _SHAPES[images.dimensions]
    dtype = "uint8" if set(images.modalities) <= _BYTES_EACH else "uint16"
    labelled = bool(images.labels)
    having = [person for person in parts if person % _ABSENT != 0]
    tensors: dict[str, PiecedTensor] = {}
    drawn: list[list[tuple[str, str]]] = []
    for number, shape in enumerate(shapes):
        each = prod(shape) * (np.dtype(dtype).itemsize + labelled)
        wanted = len(having[number :: len(shapes)])
        count = min(wanted, max(1, _MOST_BYTES // len(shapes) // each))
        made = [_phantom(images, shape, dtype, np.random.default_rng([seed, number, n])) for n in range(count)]
        drawn.append([(sha256(pixels).hexdigest(), sha256(labels).hexdigest()) for pixels, labels in made])
        tensors[f"image.{number}"] = PiecedTensor(dtype, (count, *shape), tuple(pixels for pixels, _ in made))
        if labelled:
            tensors[f"label.{number}"] = PiecedTensor("uint8", (count, *shape), tuple(labels for _, labels in made))
    starts = write_tensors(folder / images_file(images.name), tensors)
    day = images.window.nearest_day
    for place, person in enumerate(having):
        family, row = place % len(shapes), place // len(shapes)
        row %= len(drawn[family])
        voxels = prod(shapes[family])
        yield _row(
            images,
            {
                "image_id": first_id + place,
                "person_id": person,
                "split": parts[person],
                "day": day,
                "shape": list(shapes[family]),
                "dtype": dtype,
                "tensor": f"image.{family}",
                "tensor_row": row,
                "file_offset": starts[f"image.{family}"] + row * voxels * np.dtype(dtype).itemsize,
                "sha256": drawn[family][row][0],
                "label_file_offset": starts[f"label.{family}"] + row * voxels if labelled else None,
                "label_sha256": drawn[family][row][1] if labelled else None,
            },
            place,
        )


def _row(images: ImageSet, found: dict[str, Any], place: int) -> list[Any]:
    spacing = images.spacing or _MILLIMETRES[images.dimensions]
    x, y, z = (*spacing, 1.0)[:3]
    modality = images.modalities[place % len(images.modalities)]
    found |= {
        "image_set": images.name,
        "modality": modality,
        "body_part_concept_id": images.body_parts[0] if images.body_parts else None,
        "affine": [x, 0.0, 0.0, 0.0, 0.0, y, 0.0, 0.0, 0.0, 0.0, z, 0.0],
        "spacing": list(spacing),
        "rescale_slope": 1.0,
        "rescale_intercept": -1024.0 if modality == "CT" else 0.0,
        "photometric": "MONOCHROME2",
        "file": images_file(images.name),
        "label_names": [one.name for one in images.labels],
    }
    return [found[name] for name in IMAGES_COLUMNS]


def _phantom(
    images: ImageSet, shape: tuple[int, ...], dtype: str, generator: np.random.Generator
) -> tuple[bytes, bytes]:
    """Pixels and labels: a body in the dark, in it a ball for each label, brighter than it, some noise."""
    import numpy as np

    places = [np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == b else 1 for b in range(len(shape))])
              for a, n in enumerate(shape)]  # fmt: skip
    top = 255 if dtype == "uint8" else 2000
    noise = generator.normal(0, top / 60, shape).astype(np.float32)
    pixels: npt.NDArray[np.float32] = np.where(_ball(places, [0.0] * len(shape), 0.85), top * 0.5, 0) + noise
    labels = np.zeros(shape, dtype=np.uint8)
    for number in range(1, max(1, len(images.labels)) + 1):
        centre = generator.uniform(-0.45, 0.45, len(shape)).tolist()
        there = _ball(places, centre, float(generator.uniform(0.15, 0.35)))
        pixels[there] += top * (0.15 + 0.2 * (number % 2))
        labels[there] = number if images.labels else 0
    return np.clip(np.rint(pixels), 0, top).astype(dtype).tobytes(), labels.tobytes()


def _ball(places: list[npt.NDArray[np.float32]], centre: list[float], radius: float) -> npt.NDArray[np.bool_]:
    squares = [(axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True)]
    total = squares[0]
    for one in squares[1:]:
        total = total + one
    found: npt.NDArray[np.bool_] = total < radius**2
    return found
