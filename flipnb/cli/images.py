"""``flip images``: a Trust's images in a terminal."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flipnb.cli import images_pull, images_xnat
from flipnb.cli.held_images import decide, held
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly

if TYPE_CHECKING:
    from flipnb.estate.harmonise.images.load import StudyState

_SHOWN = 10
_COUNTED = ("wanted", "retrieved", "released", "quarantined", "refused")

app = typer.Typer(
    help="A Trust's images: asked for, pulled, de-identified by the Trust's own policy.", no_args_is_help=True
)
images_pull.add_to(app)
images_xnat.add_to(app)
app.command()(held)
app.command()(decide)


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


@app.command()
@speaks_plainly
def load(
    into: Annotated[str, typer.Option(help="The estate's directory.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A DICOM file, a folder or a zip; perhaps with a wanted.csv. Without it, what was decided of images "
            "that are held back is carried out, as it is by every load."
        ),
    ] = None,
    policy: Annotated[str, typer.Option(help="basic, research, or a policy's file (TOML or JSON).")] = "research",
    identities: Annotated[
        Path | None, typer.Option(help="A file of identities to load first, as flip estate identities does.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="Whose numbers PatientIDs are; else what each file says (IssuerOfPatientID).")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take out all images that earlier loads brought.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes at a time; else as many as processors.")] = None,
    memory: Annotated[str, typer.Option(help="What the database may hold in memory; the rest goes to disk.")] = "2GB",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """De-identify images into an estate's archive, and make a new estate version with them.

    Each file is released, quarantined or refused; none ends the load of the others. Exact counts, for inside.
    """
    from flipnb.enclave.versions_in_use import versions_in_use
    from flipnb.estate import load as harmonise
    from flipnb.estate.harmonise.images.load import Settings, load_images
    from flipnb.estate.imaging.deidentify import Policy

    def progress(stage: str, done: int) -> None:
        if not (quiet or as_json):
            print(f"{stage}: {done:,}", file=sys.stderr, flush=True)

    chosen = Policy.load(Path(policy)) if Path(policy).suffix in (".toml", ".json") else Policy.named(policy)
    if identities is not None:
        harmonise(identities, "identities", into, progress=progress)
    settings = Settings(chosen, system=system, replace=replace, workers=workers)
    in_use = None if "://" in into else versions_in_use(Path(into))
    report = load_images(source, into, settings, progress=progress, in_use=in_use)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    state = "new" if report.load.new else "nothing has changed"
    print(f"Estate version {report.load.version} ({state}): images of {report.people} people")
    print_studies(report.studies)
    for warning in report.load.warnings:
        print_text(f"Note: {warning}")
    for file, reason in report.rejects[:_SHOWN]:
        print_text(f"{file}: {reason}")
    if len(report.rejects) > _SHOWN:
        print(f"… and {len(report.rejects) - _SHOWN:,} more: the version's table flip_reject names each.")


def print_studies(studies: Sequence[StudyState]) -> None:
    """How many studies there are in each state, with their images: n of N."""
    by_state: dict[str, list[StudyState]] = {}
    for one in studies:
        by_state.setdefault(one.state, []).append(one)
    rows: list[list[Any]] = [
        [state, len(found), *(sum(getattr(one, name) or 0 for one in found) for name in _COUNTED)]
        for state, found in sorted(by_state.items())
    ]
    if rows:
        rows.append(["all", *(sum(row[place] for row in rows) for place in range(1, len(rows[0])))])
    print_table(["state", "studies", *_COUNTED], rows)


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
