"""Frozen images as a PyTorch dataset, over mapped memory: nothing is decoded and nothing read that is not asked for.

Small images are read, large ones mapped: privately, so that a notebook that writes into a tensor changes its own copy
of those pages and nothing of the cohort. Processes of a DataLoader need nothing but the file's name.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from flipnb.contracts.problem import FlipError
from flipnb.records.images import FrozenImage

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

_MAPPED = 1 << 20
"""From so many bytes on an image is mapped: less is read faster than a mapping is made."""


class Images(torch.utils.data.Dataset[Any]):
    """See ``PartData.images``. ``len`` is the number of images, ``entries`` what the cohort's table says of each.

    It can be pickled; each process opens the files anew.
    """

    def __init__(
        self,
        entries: Sequence[FrozenImage],
        frame: pd.DataFrame,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        *,
        rescaled: bool = True,
        metatensor: bool | None = None,
    ) -> None:
        self.entries = tuple(entries)
        self.transform = transform
        self._rescaled = rescaled
        self._metatensor = metatensor if metatensor is not None else has_monai()
        self._variables = tuple(str(name) for name in frame.columns)
        people = {int(person): place for place, person in enumerate(frame.index)}
        self._rows = torch.tensor(frame.to_numpy(dtype="float64", na_value=float("nan")))
        self._places = torch.tensor([people[one.person_id] for one in self.entries], dtype=torch.int64)
        self._together: _Held | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Any:
        entry = self.entries[index]
        made: dict[str, Any] = {"image": self._image(entry)}
        if entry.label_file_offset is not None:
            labels = torch.from_numpy(_read(entry.file, entry.label_file_offset, "uint8", entry.shape))
            made["label"] = self._placed(labels.unsqueeze(0), entry)
        row = self._rows[self._places[index]]
        made["row"] = dict(zip(self._variables, row.tolist(), strict=True))
        made["meta"] = _meta(entry)
        return made if self.transform is None else self.transform(made)

    def __repr__(self) -> str:
        return f"<{len(self)} flip images>"

    def batches(
        self,
        size: int,
        *,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Whole batches, put together out of the mapped file at once: many times as fast as one image at a time.

            for batch in data.train.images("xray").batches(64, shuffle=True):
                loss = criterion(model(batch["image"]), batch["row"]["pneumonia"])

        ``image`` is (batch, 1, x, y[, z]), and so is ``label``; ``row`` has a float64 tensor (batch,) for each
        variable, ``meta`` the tensors ``image_id`` and ``person_id``. Plain tensors, without ``transform``. Raises
        FlipError ``mixed-shapes`` where the images are not all of one shape and type.
        """
        held = self._held() if self.entries else None
        count = len(self.entries)
        order = torch.randperm(count, generator=generator) if shuffle else torch.arange(count)
        for first in range(0, count - (size - 1 if drop_last else 0), size):
            assert held is not None
            yield self._batch(held, order[first : first + size])

    def _held(self) -> _Held:
        if self._together is None:
            self._together = _Held.of(self.entries)
        return self._together

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_together": None}

    def _batch(self, held: _Held, chosen: torch.Tensor) -> dict[str, Any]:
        pixels, labels = held.take(chosen, rescaled=self._rescaled)
        rows = self._rows[self._places[chosen]]
        made: dict[str, Any] = {"image": pixels.unsqueeze(1)}
        if labels is not None:
            made["label"] = labels.unsqueeze(1)
        made["row"] = dict(zip(self._variables, rows.unbind(1), strict=True))
        made["meta"] = {name: ids[chosen] for name, ids in held.ids.items()}
        return made

    def _image(self, entry: FrozenImage) -> Any:
        pixels = _read(entry.file, entry.file_offset, entry.dtype, entry.shape)
        if self._rescaled:
            pixels = _rescaled(pixels, np.float32(entry.rescale_slope), np.float32(entry.rescale_intercept))
        return self._placed(torch.from_numpy(pixels).unsqueeze(0), entry)

    def _placed(self, tensor: torch.Tensor, entry: FrozenImage) -> Any:
        """With its place in space, where MONAI is to have it."""
        if not self._metatensor:
            return tensor
        return _metatensor_class()(tensor, affine=affine_of(entry))


class _Held:
    """Images of one shape and type over one mapping of their file, and what is asked of many at once.

    NumPy converts them: on a busy machine PyTorch's threads wait for each other longer than that takes.
    """

    def __init__(self, entries: Sequence[FrozenImage]) -> None:
        first = entries[0]
        self._pixels = _Rows(first.file, [one.file_offset for one in entries], first.shape, first.dtype)
        offsets = [one.label_file_offset for one in entries if one.label_file_offset is not None]
        self._labels = _Rows(first.file, offsets, first.shape, "uint8") if offsets else None
        scales = np.array([(one.rescale_slope, one.rescale_intercept) for one in entries], dtype=np.float32)
        self._slopes, self._intercepts = scales.T.reshape(2, -1, *(1 for _ in first.shape))
        self.ids = {
            "image_id": torch.tensor([one.image_id for one in entries]),
            "person_id": torch.tensor([one.person_id for one in entries]),
        }

    @classmethod
    def of(cls, entries: Sequence[FrozenImage]) -> _Held:
        """Raises FlipError ``mixed-shapes``."""
        if len({(one.shape, one.dtype, one.file) for one in entries}) > 1:
            raise FlipError(
                "mixed-shapes",
                "These images are not all of one shape and type, and make no batch.",
                remedy="Give the dataset's set of images a size, or take them one at a time.",
            )
        return cls(entries)

    def take(self, chosen: torch.Tensor, *, rescaled: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Copies of the chosen images, (batch, x, y[, z]), and of their labels."""
        places = chosen.numpy()
        pixels = self._pixels.take(places)
        if rescaled:
            pixels = _rescaled(pixels, self._slopes[places], self._intercepts[places])
        labels = None if self._labels is None else torch.from_numpy(self._labels.take(places))
        return torch.from_numpy(pixels), labels


class _Rows:
    """Rows of one tensor of a file, mapped to be read."""

    def __init__(self, file: Path, offsets: Sequence[int], shape: tuple[int, ...], dtype: str) -> None:
        length = prod(shape) * np.dtype(dtype).itemsize
        start, end = min(offsets), max(offsets) + length
        page = start - start % mmap.ALLOCATIONGRANULARITY
        try:
            mapped = mmap.mmap(_opened(file, os.getpid()), end - page, prot=mmap.PROT_READ, offset=page)
        except ValueError:
            raise _cut(file) from None
        count = (end - start) // length
        whole = np.frombuffer(mapped, dtype=dtype, count=count * prod(shape), offset=start - page)
        self._array = whole.reshape(count, *shape)
        self._places = np.array([(one - start) // length for one in offsets])

    def take(self, chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self._array[self._places[chosen]]
        return found


def _rescaled(stored: npt.NDArray[Any], slope: Any, intercept: Any) -> npt.NDArray[np.float32]:
    """Stored numbers as those that they mean."""
    values = stored.astype(np.float32)
    if np.any(slope != 1):
        values *= slope
    if np.any(intercept != 0):
        values += intercept
    return values


def affine_of(entry: FrozenImage) -> torch.Tensor:
    """The affine (4, 4) in float64 from voxels to RAS+ millimetres; of a picture its third axis is a millimetre."""
    return torch.tensor([*entry.affine, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64).reshape(4, 4)


def has_monai() -> bool:
    """Whether MONAI is installed; it is not imported for that."""
    return find_spec("monai") is not None


@cache
def _metatensor_class() -> Any:
    try:
        from monai.data.meta_tensor import MetaTensor
    except ImportError:
        raise FlipError(
            "no-monai", "MetaTensor is MONAI's, which is not installed here.", remedy="Ask with metatensor=False."
        ) from None
    return MetaTensor


def _meta(entry: FrozenImage) -> dict[str, Any]:
    """What can be put together in batches: numbers, words, tensors."""
    return {
        "image_id": entry.image_id,
        "person_id": entry.person_id,
        "modality": entry.modality,
        "day": entry.day,
        "spacing": torch.tensor(entry.spacing, dtype=torch.float64),
        "affine": affine_of(entry),
        "rescale_slope": entry.rescale_slope,
        "rescale_intercept": entry.rescale_intercept,
    }


def _read(file: Path, offset: int, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """So many numbers of a file, writable, in C order."""
    count = prod(shape)
    length = count * np.dtype(dtype).itemsize
    handle = _opened(file, os.getpid())
    if length < _MAPPED:
        buffer: Any = bytearray(length)
        if os.preadv(handle, [buffer], offset) != length:
            raise _cut(file)
        return np.frombuffer(buffer, dtype=dtype).reshape(shape)
    page = offset - offset % mmap.ALLOCATIONGRANULARITY
    try:
        buffer = mmap.mmap(
            handle,
            offset - page + length,
            flags=mmap.MAP_PRIVATE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
            offset=page,
        )
    except ValueError:
        raise _cut(file) from None
    return np.frombuffer(buffer, dtype=dtype, count=count, offset=offset - page).reshape(shape)


@cache
def _opened(file: Path, _process: int) -> int:
    """A descriptor of this process's own, which stays open: an image is one call to the operating system."""
    return os.open(file, os.O_RDONLY | os.O_CLOEXEC)


def _cut(file: Path) -> FlipError:
    return FlipError("no-cohort", f"{file.name} of the frozen cohort is shorter than its table says.")
