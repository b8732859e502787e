"""The last rehearsal of a notebook: its numbers, and the notebook as it ran."""

from __future__ import annotations

import json
from typing import Any

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.files.whole import write
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench.rehearsal import last_rehearsal

_MARK = "flip"
_OF = "rehearsal_of"


class RehearsalTold(Document):
    """``said`` is one sentence for a person: how long it took, and the last numbers that were reported."""

    said: str
    seconds: float
    numbers: dict[str, float]


class ExecutedWanted(Document):
    """The path of a notebook that was rehearsed."""

    path: str


class ExecutedNotebook(Document):
    """Where the executed notebook lies, as the file browser names it."""

    path: str


@endpoint("GET", "notebooks/rehearsal", "notebooks")
def view_rehearsal(bench: Bench, path: str) -> RehearsalTold:
    """What came of the last rehearsal of this very notebook with its plan."""
    found = last_rehearsal(bench.file(path))
    return RehearsalTold(said=found.describe(), seconds=found.seconds, numbers=found.reports[-1])


@endpoint("POST", "notebooks/executed", "notebooks")
def show_executed(bench: Bench, body: ExecutedWanted) -> ExecutedNotebook:
    """Put the notebook as its last rehearsal ran it beside it, as ``NAME.rehearsed.ipynb``, in place of an earlier one.

    409 where a notebook of that name is there that no rehearsal made.
    """
    notebook = bench.file(body.path)
    executed = last_rehearsal(notebook).executed
    target = notebook.with_name(f"{notebook.stem}.rehearsed.ipynb")
    if target.exists() and _content(target.read_bytes()).get("metadata", {}).get(_MARK, {}).get(_OF) is None:
        raise FlipError(
            "name-taken", f"{target.name} is there, and is no rehearsal.", remedy="Rename it first.", status=409
        )
    content = _content(executed.read_bytes())
    content.setdefault("metadata", {})[_MARK] = {_OF: notebook.name}
    write(target, json.dumps(content, indent=1).encode())
    return ExecutedNotebook(path=target.relative_to(bench.root.resolve()).as_posix())


def _content(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
