"""A notebook at several points on the twin, until its model is known: ``python -m flipnb.workbench.shape_run DIR``.

DIR has the twin and ``order.json``; for each point the process leaves ``N/shapes.json``, or ``N/problem.json``, and
then writes N and a line break. What the notebook imports is imported once: each point runs in a copy of this process,
and, only where that does not come to a model, in a kernel as a rehearsal does, which says where it fails.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.problem import FlipError
from flipnb.session.attached import BUNDLE
from flipnb.workbench.local_channel import SHAPES
from flipnb.workbench.rehearsal import PLAN, RECORD, SHAPES_ALONE, TWIN, run_notebook

ORDER, PROBLEM, SCRATCH = "order.json", "problem.json", "scratch"
_NEEDED = ("flipnb.records", "flipnb.session.rounds", "IPython.core.interactiveshell", "numpy", "pandas")


def main(place: Path) -> None:
    """Run the notebook of the order at each of its points, ``at_once`` at a time."""
    order = json.loads((place / ORDER).read_bytes())
    os.environ.update({PLAN: order["plan"], SHAPES_ALONE: "1", "MPLBACKEND": "agg"})
    os.environ[BUNDLE] = order["files"]
    (place / SCRATCH).mkdir()
    os.chdir(place / SCRATCH)
    sys.path.append(order["files"])
    frozen = FrozenNotebook.model_validate(order["notebook"])
    for name in (*_NEEDED, *_imported(frozen)):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for number in _in_copies(place, frozen, order["points"], order["at_once"]):
        if not (place / str(number) / SHAPES).exists():
            _in_a_kernel(place / str(number), frozen, order["points"][number], Path(order["files"]))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def _in_copies(place: Path, frozen: FrozenNotebook, points: Sequence[dict[str, Any]], at_once: int) -> Iterator[int]:
    """The numbers of the points, in the order in which their copies ended."""
    waiting, running = list(range(len(points))), dict[int, int]()
    while waiting or running:
        while waiting and len(running) < at_once:
            number = waiting.pop(0)
            record = place / str(number)
            record.mkdir()
            (record / TWIN).symlink_to(place / TWIN)
            copy = os.fork()
            if copy == 0:
                with contextlib.suppress(BaseException):
                    _run(record, frozen, points[number])
                os._exit(0)
            running[copy] = number
        ended, _ = os.wait()
        if ended in running:
            yield running.pop(ended)


def _run(record: Path, frozen: FrozenNotebook, point: dict[str, Any]) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ[RECORD] = str(record)
    shell: Any = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in frozen.cells:
        if cell.type != "code":
            continue
        if not shell.run_cell(cell.source).success:
            return
        if "parameters" in cell.tags:
            shell.user_ns.update(point)


def _in_a_kernel(record: Path, frozen: FrozenNotebook, point: dict[str, Any], files: Path) -> None:
    os.environ[RECORD] = str(record)
    try:
        run_notebook(frozen, point, record / "executed.ipynb", record.parent / SCRATCH, files)
        problem = FlipError("no-rounds", "it did not iterate flip.rounds.")
    except FlipError as error:
        problem = error
    if not (record / SHAPES).exists():
        (record / PROBLEM).write_text(problem.problem().model_dump_json())


def _imported(frozen: FrozenNotebook) -> Iterator[str]:
    """The modules that the notebook's cells import at their first level, in their order."""
    for cell in frozen.cells:
        try:
            statements = ast.parse(cell.source).body if cell.type == "code" else []
        except SyntaxError:
            continue
        for statement in statements:
            if isinstance(statement, ast.Import):
                yield from (alias.name for alias in statement.names)
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                yield statement.module


if __name__ == "__main__":
    main(Path(sys.argv[1]))
