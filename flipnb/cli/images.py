"""``flip images``: a Trust's images in a terminal."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.terminal import JsonOption, print_text, speaks_plainly

app = typer.Typer(help="A Trust's images: de-identified by the Trust's own policy.", no_args_is_help=True)


@app.callback()
def images() -> None:
    """Keep ``deidentify`` a name of its own while it is the only command."""


@app.command()
@speaks_plainly
def deidentify(
    source: Annotated[Path, typer.Argument(help="A DICOM file, a folder or a zip.")],
    to: Annotated[Path, typer.Option(help="The folder that gets the de-identified files.")],
    policy: Annotated[str, typer.Option(help="basic, research, or a policy's file (TOML or JSON).")] = "basic",
    key: Annotated[
        Path | None,
        typer.Option(
            help="A file with 64 hexadecimal digits. Without it TO.flip/key, which is made if it is not there."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at a time; else as many as processors.")] = None,
    as_json: JsonOption = False,
) -> None:
    """De-identify images: each file is released, quarantined or refused, and a reason says why.

    Exit code 0 when every file is accounted for, whatever became of it.
    """
    from flipnb.estate.imaging.deidentify import Policy
    from flipnb.estate.imaging.folder import deidentify as run

    chosen = Policy.load(Path(policy)) if Path(policy).suffix in (".toml", ".json") else Policy.named(policy)
    states: Counter[str] = Counter()
    whole = 0

    def counted(files: int) -> None:
        nonlocal whole
        whole = files

    with _progress(quiet=as_json) as advance:
        for line in run(source, to, chosen, key=key, workers=workers, counted=counted):
            states[line.state] += 1
            advance(states.total(), whole)
            if as_json:
                print(json.dumps(line.as_json()), flush=True)
            elif line.state != "released":
                print_text(f"{line.state}: {line.file}: {line.reason}")
    if not as_json:
        print(f"{whole} files: " + ", ".join(f"{states[s]} {s}" for s in ("released", "quarantined", "refused")))
        if key is None:
            print_text(f"The key is in {to}.flip: keep it apart from the images, for it links them to their people.")
    if states.total() != whole:
        raise typer.Exit(1)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error that is told how many files are done and how many there are; none where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, whole: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("de-identifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("files", total=None)
        yield lambda done, whole: bar.update(shown, completed=done, total=whole)
