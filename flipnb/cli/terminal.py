"""What every command shares: errors without a traceback, tables for people, JSON for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from flipnb.contracts.problem import FlipError

P = ParamSpec("P")
R = TypeVar("R")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def speaks_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """A FlipError becomes one line on standard error and exit code 1; Ctrl-C exit code 130.

    Its words may be a hub's: no control character of theirs is obeyed.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except FlipError as error:
            print_error(error)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return wrapped


def print_error(error: FlipError) -> None:
    """What went wrong, and what to do, on standard error."""
    print(f"flip: {_lines(error.message)}", file=sys.stderr)
    if error.remedy:
        print(f"      {_lines(error.remedy)}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print for a program: indented JSON, dates and paths as text."""
    print(json.dumps(value, indent=2, default=str))


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as their widest cell; text from outside is escaped, so that it can't control the terminal."""
    cells = [[_safe(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    for row in [list(head), *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_text(text: str) -> None:
    """Text that a stranger may have written: every control character is shown, none is obeyed."""
    print(_lines(text))


def print_line(text: str) -> None:
    """As ``print_text``, at once, and one line whatever is in it."""
    print(_safe(text), flush=True)


@contextmanager
def watched(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """To be told of bytes that are here and bytes in all: a line on standard error that says how far ``what`` is.

    None where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    shown = ""

    def show(here: int, whole: int) -> None:
        nonlocal shown
        said = f"{what}: {here * 100 // max(whole, 1)} % of {whole / 1e6:.1f} MB"
        if said != shown:
            shown = said
            print(f"\r{said}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if shown:
            print(file=sys.stderr)


def _lines(text: str) -> str:
    return "\n".join(_safe(line) for line in text.split("\n"))


def _safe(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
