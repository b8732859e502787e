"""``python -m flipnb.simulation.kernel ORDER.json``: one simulated Trust's notebook, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from flipnb.contracts.document import Document
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.workbench.rehearsal import run_notebook


class KernelOrder(Document):
    """Paths of the executed notebook, of the folder to run in, of that with the files that go with the notebook, and of
    a file for a Problem where it fails."""

    notebook: FrozenNotebook
    values: dict[str, Scalar]
    executed: str
    folder: str
    files: str
    problem: str


def main(order_file: Path) -> int:
    """0: the notebook ran to its end; 1: it failed, and the problem's file says where and how."""
    order = KernelOrder.model_validate_json(order_file.read_bytes())
    try:
        run_notebook(order.notebook, order.values, Path(order.executed), Path(order.folder), Path(order.files))
    except FlipError as error:
        Path(order.problem).write_text(error.problem().model_dump_json())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
