"""Cohort definitions as files below the folder that JupyterLab shows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flipnb.contracts.document import Document
from flipnb.workbench.lab.bench import Bench
from flipnb.workbench.lab.endpoint import endpoint

SUFFIX = ".cohort.json"
_MOST = 200
_DEEPEST = 4


class CohortFile(Document):
    """``path`` is relative to the root, with slashes, as the file browser names it."""

    path: str
    name: str


class CohortList(Document):
    cohorts: tuple[CohortFile, ...]


@endpoint("GET", "cohorts", "cohorts")
def list_cohorts(bench: Bench) -> CohortList:
    """Cohort files, by path; hidden folders and those deeper than four are left out."""
    found = [
        CohortFile(path=path.relative_to(bench.root).as_posix(), name=path.name.removesuffix(SUFFIX))
        for path in _files(bench.root)
    ]
    return CohortList(cohorts=tuple(sorted(found, key=lambda cohort: cohort.path)))


def _files(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        deep = len(here.relative_to(root).parts)
        folders[:] = [] if deep >= _DEEPEST else [f for f in folders if not f.startswith(".") and f != "node_modules"]
        for name in names:
            if name.endswith(SUFFIX) and count < _MOST:
                count += 1
                yield here / name
