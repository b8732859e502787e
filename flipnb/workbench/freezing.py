"""From an ``.ipynb`` file to the notebook of a bundle: id, type, source and known tags of each cell, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flipnb.contracts.document import invalid, load_json
from flipnb.contracts.notebook import KNOWN_TAGS, FrozenNotebook
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import require_visible
from flipnb.workbench.parameters_cell import read_parameters


def freeze_notebook(path: Path) -> FrozenNotebook:
    """Read a notebook (nbformat 4). Outputs, metadata and unknown tags stay behind; what could hide code is refused.

    Raises FlipError ``no-notebook``, ``bad-notebook``, ``no-parameters-cell``, ``attachment``, ``invisible-character``.
    """
    try:
        content = load_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise FlipError("no-notebook", f"There is no notebook at {path}.") from None
    cells = content.get("cells") if isinstance(content, dict) and content.get("nbformat") == 4 else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise FlipError(
            "bad-notebook", f"{path} is no notebook in nbformat 4.", remedy="Open and save it in JupyterLab."
        )
    kept = [_cell(cell, number) for number, cell in enumerate(cells, 1)]
    kept = [cell for cell in kept if cell["source"].strip()]
    tagged = [cell for cell in kept if "parameters" in cell["tags"]]
    if len(tagged) != 1:
        raise FlipError(
            "no-parameters-cell",
            f"{path.name} has {len(tagged)} cells with the tag 'parameters'; exactly one is needed.",
            remedy="In JupyterLab, select the cell and add the tag in the property inspector.",
        )
    try:
        return FrozenNotebook.model_validate({"cells": kept})
    except ValidationError as error:
        raise invalid(error, path.name) from None


def notebook_parameters(notebook: FrozenNotebook) -> tuple[Parameter, ...]:
    """The parameters that the notebook declares, in the order of its cell. Raises what ``read_parameters`` raises."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.tags)
    return read_parameters(cell.source)


def _cell(cell: dict[str, Any], number: int) -> dict[str, Any]:
    """What is kept of a cell. Its shape is checked by hand: nbformat's validator takes two seconds to import."""
    where = f"Cell {number}"
    source, metadata = cell.get("source", ""), cell.get("metadata", {})
    lines = source if isinstance(source, list) else [source]
    tags = metadata.get("tags", []) if isinstance(metadata, dict) else None
    shaped = all(isinstance(line, str) for line in lines) and isinstance(tags, list)
    if cell.get("cell_type") not in ("code", "markdown", "raw") or not shaped:
        raise FlipError(
            "bad-notebook",
            f"{where} does not follow the notebook format.",
            remedy="Open and save the notebook in JupyterLab.",
        )
    if cell.get("attachments"):
        raise FlipError(
            "attachment",
            f"{where} has an attachment, which a data controller could not read as text.",
            remedy="Delete it, or name the file in the plan file under files.",
        )
    return {
        "id": cell.get("id") or f"cell-{number}",
        "type": cell["cell_type"],
        "source": require_visible("".join(lines), where),
        "tags": [tag for tag in tags or [] if isinstance(tag, str) and tag in KNOWN_TAGS],
    }
