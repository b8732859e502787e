"""Public names say what they are: counted over the source, without importing it.

What counts: functions and classes of a module, and methods and properties of its classes, whose names have no
underscore in front. What needs none of its own: a method that a base class of ours, or of a library, has already (an
override says the same), a property's setter, an overload, a pydantic validator, and the steps of a migration.
"""

from __future__ import annotations

import ast
import importlib
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
        place = self.module.relative_to(PACKAGE).parts
        return place == ("__init__.py",) or place[0] in IMPORTED_BY_PEOPLE


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def names(module: Path) -> Iterator[Name]:
    for node in tree(module).body:
        if not isinstance(node, Function | ast.ClassDef) or not is_public(node):
            continue
        yield Name(module, node.lineno, node.name, ast.get_docstring(node) is not None)
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, Function) and is_public(member):
                documented = ast.get_docstring(member) is not None
                if documented or not is_known(module, node, member.name):
                    yield Name(module, member.lineno, f"{node.name}.{member.name}", documented)


def is_public(node: Function | ast.ClassDef) -> bool:
    marks = {last_name(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list}
    return not node.name.startswith("_") and not marks & FREE


def last_name(expression: ast.expr) -> str:
    return ast.unparse(expression).rpartition(".")[2]


def is_known(module: Path, owner: ast.ClassDef, method: str) -> bool:
    """Whether a base class has the method: one of ours, however far up, or a library's, which is then imported."""
    for base in owner.bases:
        name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        home, attribute = origin(module, name)
        if isinstance(home, Path):
            found = next((n for n in tree(home).body if isinstance(n, ast.ClassDef) and n.name == attribute), None)
            if found is not None:
                own = {member.name for member in found.body if isinstance(member, Function)}
                if method in own or is_known(home, found, method):
                    return True
        elif home and hasattr(getattr(importlib.import_module(home), attribute, None), method):
            return True
    return False


def origin(module: Path, name: str) -> tuple[Path | str, str]:
    """The file of ours, or the library's module, that a class comes from, and its name there."""
    first, _, rest = name.partition(".")
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) != first:
                    continue
                if isinstance(node, ast.Import):
                    return place_of(f"{alias.name}.{rest}")
                return place_of(f"{node.module}.{alias.name}" + (f".{rest}" if rest else ""))
    here = any(isinstance(node, ast.ClassDef) and node.name == name for node in tree(module).body)
    return (module, name) if here else ("", "")


def place_of(dotted: str) -> tuple[Path | str, str]:
    home, _, attribute = dotted.rpartition(".")
    if not home.startswith("flipnb"):
        return home, attribute
    path = PACKAGE.parent.joinpath(*home.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return origin(file, attribute) if file.name == "__init__.py" else (file, attribute)


@cache
def public_names() -> tuple[Name, ...]:
    modules = (path for path in sorted(PACKAGE.rglob("*.py")) if "versions" not in path.parts[-2:-1])
    return tuple(name for module in modules for name in names(module))


def require(share: float, found: list[Name]) -> None:
    lacking = [str(name) for name in found if not name.documented]
    reached = 1 - len(lacking) / len(found)
    assert reached >= share, f"{reached:.1%} of {len(found)} have a docstring; these lack one:\n" + "\n".join(lacking)


def test_public_names_have_docstrings():
    require(0.90, list(public_names()))


def test_what_people_import_has_docstrings():
    require(0.95, [name for name in public_names() if name.for_people])


def test_every_module_says_what_it_is():
    empty = [module for module in PACKAGE.rglob("*.py") if not tree(module).body]
    silent = [module for module in PACKAGE.rglob("*.py") if tree(module).body and not ast.get_docstring(tree(module))]
    assert not silent, f"without a docstring: {silent}"
    assert all(module.name == "__init__.py" for module in empty)


def test_the_measure_sees_what_is_there():
    counted = {str(name).partition(" ")[2] for name in public_names()}
    assert {"FlipError", "FlipError.problem", "Cohort.count", "Results.weights_file", "enter"} <= counted
    assert "EndpointHandler.get" not in counted, "an override of tornado's"
    assert not any(part.startswith("_") for name in counted for part in name.split("."))
