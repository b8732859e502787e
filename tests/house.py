"""Draws which room of flipnb imports which, as docs/architecture.md shows it: ``python tests/house.py`` writes it anew.

The imports are those that import-linter sees (grimp's graph): of every module, within functions too. An arrow that
follows from others (a → b → c says a → c) is left out of the drawing, so that it can be read.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
IMPORTS = dict[str, set[str]]

EXTERNAL = (
    "boto3", "duckdb", "elasticsearch", "fastapi", "flwr", "httpx", "ijson", "jinja2", "jupyter_server", "monai",
    "nbclient", "papermill", "plotly", "psutil", "psycopg", "pydicom", "safetensors", "sqlalchemy", "sqlglot",
    "starlette", "torch", "ucumvert", "uvicorn", "zmq",
)  # fmt: skip
"""Packages whose place in the house is drawn: those that are heavy, that speak to the outside or read its bytes."""


def graph() -> grimp.ImportGraph:
    """Every import of flipnb's modules, of packages outside too."""
    return grimp.build_graph("flipnb", include_external_packages=True)


def rooms(imports: grimp.ImportGraph, within: str = "flipnb") -> IMPORTS:
    """Which of the packages and modules right below ``within`` imports which others of them."""
    found: IMPORTS = {}
    for module in imports.modules:
        room = _below(module, within)
        if room is None:
            continue
        found.setdefault(room, set())
        others = (_below(other, within) for other in imports.find_modules_directly_imported_by(module))
        found[room] |= {other for other in others if other is not None and other != room}
    return found


def homes(imports: grimp.ImportGraph) -> dict[str, set[str]]:
    """Which rooms import each of ``EXTERNAL``, those that somebody imports."""
    found: dict[str, set[str]] = {}
    for package in EXTERNAL:
        if package in imports.modules:
            users = imports.find_modules_that_directly_import(package)
            found[package] = {room for user in users if (room := _below(user, "flipnb")) is not None}
    return found


def drawn(imports: IMPORTS) -> set[tuple[str, str]]:
    """The arrows from which all others follow. Raises ValueError that names rooms in a circle."""
    reach = {room: _reached(room, imports) for room in imports}
    circle = sorted(room for room in imports if room in reach[room])
    if circle:
        raise ValueError(f"these rooms import each other in a circle: {', '.join(circle)}")
    return {
        (room, other)
        for room, others in imports.items()
        for other in others
        if not any(other in reach[between] for between in others - {other})
    }


def drawing(imports: IMPORTS) -> str:
    """A Mermaid flowchart, its lines sorted; rooms that no arrow meets stand alone."""
    arrows = sorted(drawn(imports))
    alone = sorted(set(imports) - {room for arrow in arrows for room in arrow})
    lines = "\n".join([*(f"  {room} --> {other}" for room, other in arrows), *(f"  {room}" for room in alone)])
    return f"```mermaid\nflowchart TD\n{lines}\n```"


def table(found: dict[str, set[str]]) -> str:
    lines = (f"| `{package}` | {', '.join(sorted(users))} |" for package, users in sorted(found.items()))
    return "\n".join(["| package | rooms that import it |", "|---|---|", *lines])


def written(page: str, parts: dict[str, str]) -> str:
    """``page`` with what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` replaced by ``parts[NAME]``."""
    for name, part in parts.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        page, count = between.subn(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", page)
        if count != 1:
            raise ValueError(f"docs/architecture.md lacks a place for {name}")
    return page


def parts() -> dict[str, str]:
    imports = graph()
    return {
        "house": drawing(rooms(imports)),
        "enclave": drawing(rooms(imports, "flipnb.enclave")),
        "packages": table(homes(imports)),
    }


def _below(module: str, within: str) -> str | None:
    """The name right below ``within``; None for what is elsewhere, and for ``within`` itself."""
    return module.removeprefix(f"{within}.").split(".")[0] if module.startswith(f"{within}.") else None


def _reached(room: str, imports: IMPORTS) -> set[str]:
    reached: set[str] = set()
    ahead: list[Iterable[str]] = [imports[room]]
    while ahead:
        for other in ahead.pop():
            if other not in reached:
                reached.add(other)
                ahead.append(imports.get(other, ()))
    return reached


if __name__ == "__main__":
    sys.exit(PAGE.write_text(written(PAGE.read_text(), parts())) == 0)
