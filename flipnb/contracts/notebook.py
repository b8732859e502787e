"""A notebook as it is approved: cells with id, type, source and known tags, nothing else."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from flipnb.contracts.document import Document

CellTag = Literal["parameters", "skip-execution"]
KNOWN_TAGS: frozenset[str] = frozenset({"parameters", "skip-execution"})


class Cell(Document):
    """One cell as it is approved: lines end in a line feed, and no output is with it."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    type: Literal["code", "markdown", "raw"]
    source: str = Field(max_length=1 << 20)
    tags: tuple[CellTag, ...] = ()

    @field_validator("source")
    @classmethod
    def _unix_lines(cls, source: str) -> str:
        if re.search(r"\r", source):
            raise ValueError("has a carriage return; write lines that end in a line feed")
        return source


class FrozenNotebook(Document):
    """Cells in their order, ids different, one code cell tagged ``parameters``."""

    cells: tuple[Cell, ...] = Field(min_length=1, max_length=5000)

    @model_validator(mode="after")
    def _cells(self) -> FrozenNotebook:
        if len({cell.id for cell in self.cells}) != len(self.cells):
            raise ValueError("two cells have the same id")
        parameters = [cell for cell in self.cells if "parameters" in cell.tags]
        if len(parameters) != 1 or parameters[0].type != "code":
            raise ValueError("exactly one code cell must have the tag 'parameters'")
        return self

    def to_nbformat(self, kernel: str) -> dict[str, Any]:
        """The notebook as nbformat 4.5 JSON, with the kernel forced to ``kernel``."""
        cells: list[dict[str, Any]] = []
        for cell in self.cells:
            body: dict[str, Any] = {
                "id": cell.id,
                "cell_type": cell.type,
                "metadata": {"tags": list(cell.tags)} if cell.tags else {},
                "source": cell.source,
            }
            if cell.type == "code":
                body |= {"execution_count": None, "outputs": []}
            cells.append(body)
        kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
        metadata = {"kernelspec": kernelspec, "language_info": {"name": "python"}}
        return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
