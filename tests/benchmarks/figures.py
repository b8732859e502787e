"""Figures of a benchmark, as they are written to build/bench/NAME.json."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

PLACE = Path("build/bench")


@dataclass(frozen=True)
class Figure:
    """``ours`` and ``rival`` are medians of at least ``n`` samples each; ``ratio`` is ours over rival (smaller is
    better for seconds and bytes)."""

    measure: str
    unit: str
    ours: float | None
    rival: float | None
    rival_name: str | None
    ratio: float | None
    n: int


class Figures:
    """Collects figures and writes the file after each, so that what was measured is kept when a run is broken off.

    ``partial``: only some parts are measured now, and the others' figures of an earlier run stay in the file.
    """

    def __init__(self, name: str, *, partial: bool) -> None:
        self._path = PLACE / f"{name}.json"
        self._began = time.monotonic()
        self._all: dict[str, Figure] = {}
        if partial and self._path.exists():
            self._all = {f["measure"]: Figure(**f) for f in json.loads(self._path.read_text())}

    def add(
        self,
        measure: str,
        unit: str,
        ours: list[float] | None,
        rival: list[float] | None = None,
        rival_name: str | None = None,
    ) -> None:
        mine = median(ours) if ours else None
        theirs = median(rival) if rival else None
        ratio = mine / theirs if mine is not None and theirs else None
        n = min(len(samples) for samples in (ours, rival) if samples)
        self._all[measure] = Figure(
            measure, unit, _short(mine), _short(theirs), rival_name if rival else None, _short(ratio), n
        )
        PLACE.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps([asdict(figure) for figure in self._all.values()], indent=1) + "\n")
        print(f"{time.monotonic() - self._began:7.1f} s  {measure}: {_short(mine)}, rival {_short(theirs)}", flush=True)
        for who, samples in (("ours", ours), ("rival", rival)):
            if samples:
                print(f"           {who}: {' '.join(f'{sample:.3g}' for sample in samples)}", flush=True)

    def print(self) -> None:
        print(f"\n{self._path} ({time.monotonic() - self._began:.0f} s)")
        print("| measure | ours | rival | ratio | n |\n|---|---|---|---|---|")
        for f in self._all.values():
            print(f"| {f.measure} | {_said(f.ours)} | {_said(f.rival)} | {_said(f.ratio)} | {f.n} |")


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")


def _said(number: float | None) -> str:
    return "" if number is None else f"{number:g}"
