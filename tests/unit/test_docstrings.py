"""Public names say what they are: counted over the source, without importing it.

What counts: functions and classes of a module, and methods and properties of its classes, whose names have no
underscore in front. A property's setter, an overload, a pydantic validator and the steps of a migration need no
docstring. An override of a library's method counts as any other; the bounds leave room for those that say no more than
what they override.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import flipnb

PACKAGE = Path(flipnb.__file__).parent
IMPORTED_BY_PEOPLE = ("cohorts", "contracts", "lab", "records", "session", "workbench")
FREE = {"overload", "setter", "field_validator", "model_validator", "field_serializer", "model_serializer"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Name:
    """A public name: where it is, and whether it has a docstring."""

    module: Path
    line: int
    name: str
    documented: bool

    def __str__(self) -> str:
        return f"{self.module.relative_to(PACKAGE.parent)}:{self.line} {self.name}"

    @property
    def for_people(self) -> bool:
        return self.module.relative_to(PACKAGE).parts[0] in ("__init__.py", *IMPORTED_BY_PEOPLE)


@cache
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def public_names() -> tuple[Name, ...]:
    return tuple(
        name
        for module, tree in modules().items()
        if module.parent.name != "versions"
        for node in tree.body
        for name in names(module, node, "")
    )


def names(module: Path, node: ast.stmt, owner: str) -> Iterator[Name]:
    """The name of a function or class, and those of a class's own."""
    if isinstance(node, Function | ast.ClassDef) and is_public(node):
        yield Name(module, node.lineno, owner + node.name, ast.get_docstring(node) is not None)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                yield from names(module, member, f"{node.name}.")


def is_public(node: Function | ast.ClassDef) -> bool:
    marks = {
        ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).rpartition(".")[2]
        for mark in node.decorator_list
    }
    return not node.name.startswith("_") and not marks & FREE


def require(share: float, found: list[Name]) -> None:
    lacking = [str(name) for name in found if not name.documented]
    reached = 1 - len(lacking) / len(found)
    assert reached >= share, f"{reached:.1%} of {len(found)} have a docstring; these lack one:\n" + "\n".join(lacking)


def test_public_names_have_docstrings():
    require(0.90, list(public_names()))


def test_what_people_import_has_docstrings():
    require(0.95, [name for name in public_names() if name.for_people])


def test_every_module_says_what_it_is():
    silent = [path for path, tree in modules().items() if tree.body and ast.get_docstring(tree) is None]
    assert not silent, f"without a docstring: {silent}"


def test_the_measure_sees_what_is_there():
    counted = {str(name).partition(" ")[2] for name in public_names()}
    assert {"FlipError", "FlipError.problem", "Cohort.count", "Results.weights_file", "enter"} <= counted
    assert not any(part.startswith("_") for name in counted for part in name.split("."))


def test_the_measure_notices_what_is_missing():
    source = "def told():\n    'Says.'\ndef silent(): ...\nclass A:\n    @property\n    def b(self): ...\ndef _c(): ..."
    found = [name for node in ast.parse(source).body for name in names(PACKAGE / "a.py", node, "")]
    assert [(name.name, name.documented) for name in found] == [
        ("told", True),
        ("silent", False),
        ("A", False),
        ("A.b", False),
    ]
