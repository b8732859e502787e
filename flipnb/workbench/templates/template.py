"""What a template is, and how it is found: by entry point, so that a package beside this one can bring its own.

[project.entry-points."flipnb.templates"]
table = "flipnb.workbench.templates.table:TEMPLATE"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from textwrap import dedent
from typing import Any

from flipnb.contracts.problem import FlipError

GROUP = "flipnb.templates"
_AFTER_OURS = 100


@dataclass(frozen=True)
class Content:
    """The contents of a new study notebook's three files, as JSON; ``plan`` names no cohort file yet."""

    notebook: dict[str, Any]
    plan: dict[str, Any]
    cohort: dict[str, Any]


@dataclass(frozen=True)
class Template:
    """``title`` and ``says`` are for people, ``packages`` what the notebook imports, as distributions are called.

    ``content`` is given the notebook's name, as people read it, and returns the three files; ``rank`` orders the list.
    """

    name: str
    title: str
    says: str
    packages: tuple[str, ...]
    content: Callable[[str], Content]
    rank: int = _AFTER_OURS


def find_templates() -> tuple[Template, ...]:
    """The templates that are installed, in the order in which people see them."""
    found = [point.load() for point in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda template: (template.rank, template.name)))


def find_template(name: str) -> Template:
    """Raises FlipError ``no-template`` that names those there are."""
    known = {template.name: template for template in find_templates()}
    if name not in known:
        names = ", ".join(known) or "none is installed"
        raise FlipError("no-template", f"There is no template {name[:80]!r}: {names}.")
    return known[name]


def notebook_of(*cells: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook (nbformat 4.5) of these cells."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": [dict(cell) for cell in cells], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text(cell_id: str, source: str) -> dict[str, Any]:
    """A cell of Markdown; ``source`` may be indented as a whole."""
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": dedent(source).strip()}


def code(cell_id: str, source: str, *tags: str) -> dict[str, Any]:
    """A cell of Python; ``source`` may be indented as a whole."""
    metadata = {"tags": list(tags)} if tags else {}
    made = {"cell_type": "code", "id": cell_id, "metadata": metadata, "source": dedent(source).strip()}
    return {**made, "execution_count": None, "outputs": []}
