"""What ``flip.data()`` gives in a kernel: a frozen cohort's records, with its images as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from flipnb.contracts.outputs import Part
from flipnb.records import PartRecords, Records

if TYPE_CHECKING:
    from flipnb.session.images import Images


class PartData(PartRecords):
    """The people of one part of the split, and their images."""

    def images(
        self,
        name: str,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        *,
        values: Literal["rescaled", "stored"] = "rescaled",
        metatensor: bool | None = None,
    ) -> Images:
        """The images that the dataset calls ``name``: a ``torch.utils.data.Dataset`` of dictionaries.

            scans = data.train.images("scan", transform)
            loader = DataLoader(scans, batch_size=8, shuffle=True)

        Each has ``image`` (1, x, y[, z]), where the set has labels ``label`` of the same shape (uint8, the place of a
        name among the set's labels, from 1), ``row``, the person's variables as ``frame()`` has them, and ``meta``.
        ``values="rescaled"`` gives float32 numbers with a meaning (Hounsfield units in CT), ``"stored"`` those that are
        stored, of their own type, without a copy. Where MONAI is installed, images and labels are its MetaTensor with
        the affine; ``metatensor`` says so, or that they are not. ``transform`` is called with each dictionary. Raises
        FlipError ``no-images``.
        """
        from flipnb.session.images import Images

        return Images(
            self.frozen_images(name), self.frame(), transform, rescaled=values == "rescaled", metatensor=metatensor
        )


class Data(Records):
    """A frozen cohort, or its twin; see Records. ``train``, ``validation`` and ``test`` have ``images``, too."""

    train: PartData
    validation: PartData
    test: PartData

    def _part(self, part: Part) -> PartData:
        return PartData(*self._of_part(part))
