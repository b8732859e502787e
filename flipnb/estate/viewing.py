"""``flip estate view``: a ViewDefinition over files of resources, into a file or a stream."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import IO, Literal

from flipnb.contracts.problem import FlipError
from flipnb.estate.resource_files import read_resources
from flipnb.files.whole import writing
from flipnb.records.view import rows
from flipnb.records.view_definition import ViewDefinition
from flipnb.records.view_table import write_csv, write_json, write_parquet

Format = Literal["json", "csv", "parquet"]


def read_view(path: Path) -> ViewDefinition:
    """Raises FlipError ``invalid-view`` for a file that is no JSON or no valid ViewDefinition."""
    try:
        definition = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FlipError("invalid-view", f"{path} can't be read as JSON: {error}") from None
    return ViewDefinition.read(definition)


def view(definition: Path, over: Path, kind: Format, out: Path | None, stream: IO[str]) -> int:
    """Write the view over the resources in ``over`` to the file ``out``, complete or not at all, or to ``stream``.

    Returns the number of rows. Memory holds one resource and some thousand rows, however many there are. Raises
    FlipError ``invalid-view``, and what ``read_resources`` and ``write_parquet`` raise.
    """
    checked = read_view(definition)
    if over.parts[:1] in (("postgresql:",), ("postgres:",)):
        raise FlipError(
            "no-resources",
            "A view reads files of resources, no database.",
            remedy="Ask flip estate serve for the resources, or use flip.data().view() in a notebook.",
        )
    table = rows(checked, read_resources(over))
    if kind == "parquet":
        if out is None:
            raise FlipError("no-file", "Parquet is written to a file.", remedy="Give --out FILE.")
        with writing(out) as partial:
            return write_parquet(checked, table, partial)
    if out is None:
        return write_json(table, stream) if kind == "json" else write_csv(checked, table, stream)
    with writing(out) as partial, partial.open("w", encoding="utf-8", newline="") as target:
        return write_json(table, target) if kind == "json" else write_csv(checked, table, target)
