"""Which slices of a series are read for text whatever their pixels look like."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from flipnb.estate.imaging.burned_in.gates import number


def samples(files: Iterable[Path]) -> frozenset[Path]:
    """The first, the middle and the last file of each series, by InstanceNumber (0020,0013).

    A console that writes its text into a series writes it into all of it, or at an end. A file that can't be read is
    not among them: looking at it says so.
    """
    from pydicom import dcmread

    series: dict[str, list[tuple[int, Path]]] = {}
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = dcmread(file, force=True, specific_tags=["SeriesInstanceUID", "InstanceNumber"])
                series.setdefault(str(header.get("SeriesInstanceUID")), []).append(
                    (number(header, "InstanceNumber"), file)
                )
        except Exception:  # noqa: S112  # looking at the file tells what is wrong with it
            continue
    ordered = (sorted(some) for some in series.values())
    return frozenset(some[at][1] for some in ordered for at in (0, len(some) // 2, len(some) - 1))
