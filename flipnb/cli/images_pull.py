"""``flip images headers | pull | pulls | stop``: from a hospital's PACS to the quarantine, by a data controller."""

from __future__ import annotations

import getpass
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flipnb.cli.controller_key import EnclaveOption, enclave_directory
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.problem import FlipError

if TYPE_CHECKING:
    from flipnb.enclave.collector.process import CollectorProcess
    from flipnb.enclave.collector.store import PullStore, Wanted

PacsOption = Annotated[str, typer.Option("--from", metavar="PACS", help="The archive, by its name in collector.json.")]
_MOST_LINES = 1_000_000
_LOOK_S = 0.5
_DAY = ["%Y-%m-%d"]


def add_to(app: typer.Typer) -> None:
    """Make them commands of ``flip images``."""
    for command in (headers, pull, pulls, stop):
        app.command()(command)


@speaks_plainly
def headers(
    pacs: PacsOption,
    to: Annotated[Path, typer.Option(help="The CSV file to write: what a mapping's [[series]] reads.")],
    patients: Annotated[
        Path | None, typer.Option(help="A file with a patient's number on each line, as the archive has them.")
    ] = None,
    accessions: Annotated[Path | None, typer.Option(help="A file with an accession number on each line.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="Studies from this day on.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Studies until this day.")] = None,
    by_days: Annotated[
        bool, typer.Option("--by-days", help="Ask day by day, and take what is of the patients: for many of them.")
    ] = False,
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask an archive which series there are, as a table for a load. No image is moved."""
    from flipnb.enclave.collector.order import HEADERS, AskHeaders, Order
    from flipnb.enclave.collector.process import DIRECTORY
    from flipnb.files.whole import write

    directory = enclave_directory(enclave)
    order = AskHeaders(
        pacs=pacs,
        patients=_lines(patients),
        accessions=_lines(accessions),
        by_days=by_days,
        since=since.date() if since else None,
        until=until.date() if until else None,
    )
    with _collecting(directory, Order(order=order)) as collector:
        while not collector.is_over():
            time.sleep(_LOOK_S)
    told = collector.told()
    written = directory / DIRECTORY / HEADERS
    if told.state != "done":
        raise FlipError("stopped", "It was stopped; nothing was written.")
    write(to, written.read_bytes(), mode=0o600)
    written.unlink()
    if as_json:
        print_json({**told.model_dump(exclude={"problem", "state"}), "to": to})
        return
    print(f"{to}: {told.studies} studies, {told.series} series, {told.instances} instances")
    for reason, times in sorted(told.left_out.items()):
        print_text(f"Left out: {reason} ({times})")


@speaks_plainly
def pull(
    pacs: PacsOption,
    cohort: Annotated[
        Path | None, typer.Argument(help="A cohort's definition: the studies of its people, by the headers loaded.")
    ] = None,
    accessions: Annotated[
        Path | None, typer.Option(help="Instead of a cohort: a file with an accession number on each line.")
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Only studies of this modality, as the source writes it. May be repeated.")
    ] = None,
    any_number: Annotated[
        bool,
        typer.Option(
            "--any-number", help="The archive's patient numbers are not the estate's own: the load compares them."
        ),
    ] = False,
    go_on: Annotated[int | None, typer.Option("--go-on", metavar="PULL", help="Go on with this pull.")] = None,
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retrieve a cohort's images from an archive into the quarantine, within its hours and rates.

    Ctrl-C stops it; --go-on goes on where it was, after a kill or a full disk, too. Exit code 0 if all was retrieved.
    """
    from flipnb.enclave.collector.order import GoOn, Order
    from flipnb.enclave.collector.process import pacs_in

    directory = enclave_directory(enclave)
    pacs_in(directory, pacs)
    store = _store(directory)
    try:
        if go_on is None:
            name = (cohort or accessions or Path("?")).stem
            wanted = _wanted(directory, cohort, accessions, modality or [], any_number=any_number)
            if not wanted:
                raise FlipError("no-studies", f"There is no study to ask for in {name}.", remedy="Load headers first.")
            go_on = store.begin(name, pacs, getpass.getuser(), wanted)
        store.ask_to_stop(go_on, stop=False)
        with _collecting(directory, Order(order=GoOn(pull=go_on))) as collector:
            _watch(store, go_on, collector, quiet=as_json)
        collector.told()
        _show(store, go_on, as_json=as_json)
        if _is_short(store, go_on):
            raise typer.Exit(1)
    finally:
        store.close()


@speaks_plainly
def pulls(
    number: Annotated[int | None, typer.Argument(metavar="PULL", help="One of them, study by study.")] = None,
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is pulled, was pulled, and what became of each study."""
    store = _store(enclave_directory(enclave))
    try:
        if number is not None:
            _show(store, number, as_json=as_json, every=True)
            return
        found = [(one, store.progress(one.pull)) for one in store.pulls()]
        if as_json:
            print_json([_told(store, one.pull) for one, _ in found])
            return
        rows = [
            [one.pull, one.name, one.pacs, one.state, _counted(progress), one.asked_by, one.made]
            for one, progress in found
        ]
        print_table(["pull", "of", "from", "state", "studies", "asked by", "asked"], rows)
    finally:
        store.close()


@speaks_plainly
def stop(
    number: Annotated[int, typer.Argument(metavar="PULL", help="Its number in `flip images pulls`.")],
    enclave: EnclaveOption = None,
) -> None:
    """Stop a pull after what it is writing; --go-on goes on with it."""
    store = _store(enclave_directory(enclave))
    try:
        one = store.pull(number)
        store.ask_to_stop(number)
        print_text(f"Pull {number} of {one.name} is told to stop.")
    finally:
        store.close()


@contextmanager
def _collecting(directory: Path, order: Any) -> Iterator[CollectorProcess]:
    """A collector at work; Ctrl-C and SIGTERM stop it, and the block goes on until it is over."""
    from flipnb.enclave.collector.process import CollectorProcess
    from flipnb.enclave.sandbox.uids import collector_uid

    collector = CollectorProcess(
        directory, order, uid=collector_uid(directory), log=directory / "logs" / "collector.log"
    )
    before = {number: signal.signal(number, lambda *_: collector.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield collector
    finally:
        collector.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(store: PullStore, number: int, collector: CollectorProcess, *, quiet: bool) -> None:
    shown = ""
    while not collector.is_over():
        time.sleep(_LOOK_S)
        one, progress = store.pull(number), store.progress(number)
        said = f"{one.state}: {_counted(progress)}, {progress.bytes / 1e6:.1f} MB"
        if not quiet and said != shown and sys.stderr.isatty():
            print(f"\r{said:<100}", end="", file=sys.stderr, flush=True)
            shown = said
    if shown:
        print(file=sys.stderr)


def _wanted(
    directory: Path, cohort: Path | None, accessions: Path | None, modalities: list[str], *, any_number: bool
) -> list[Wanted]:
    from flipnb.enclave.collector.store import Wanted
    from flipnb.enclave.stores.configuration import EnclaveDirectory
    from flipnb.estate.cohort.studies import studies_of

    if (cohort is None) == (accessions is None):
        raise FlipError("nothing-asked", "Name a cohort's definition, or --accessions FILE.")
    if cohort is None:
        return [Wanted(accession=one) for one in _lines(accessions)]
    studies, people = studies_of(cohort, EnclaveDirectory.open(directory).estate, modalities)
    print(f"{people} people, {len(studies)} studies", file=sys.stderr)
    return [
        Wanted(study_uid=study, patients=() if any_number or not number else (number,)) for study, number in studies
    ]


def _store(directory: Path) -> PullStore:
    from flipnb.enclave.collector.process import DIRECTORY
    from flipnb.enclave.collector.quarantine import STORE
    from flipnb.enclave.collector.store import PullStore

    return PullStore(directory / DIRECTORY / STORE)


def _show(store: PullStore, number: int, *, as_json: bool, every: bool = False) -> None:
    if as_json:
        print_json(_told(store, number, every=every))
        return
    one, progress = store.pull(number), store.progress(number)
    print_text(f"Pull {number} of {one.name} from {one.pacs}: {one.state}{f' ({one.reason})' if one.reason else ''}")
    print_table(["studies", ""], [[state, many] for state, many in sorted(progress.studies.items())])
    print(f"{progress.received} of {progress.expected} instances, {progress.bytes / 1e6:.1f} MB")
    if every:
        rows = [
            [s.study, s.accession or s.study_uid, s.state, f"{s.received}/{s.expected}", s.reason]
            for s in store.studies(number)
        ]
        print_table(["study", "accession or UID", "state", "instances", "reason"], rows)
        return
    reasons = Counter((s.state, s.reason) for s in store.studies(number) if s.reason)
    for (state, reason), many in reasons.most_common(10):
        print_text(f"{many} {state}: {reason}")


def _told(store: PullStore, number: int, *, every: bool = False) -> dict[str, Any]:
    one, progress = store.pull(number), store.progress(number)
    told: dict[str, Any] = {
        "pull": one.pull,
        "name": one.name,
        "pacs": one.pacs,
        "state": one.state,
        "reason": one.reason,
        "asked_by": one.asked_by,
        "asked": one.made,
        "studies": {str(state): many for state, many in progress.studies.items()},
        "wanted": progress.wanted,
        "received": progress.received,
        "expected": progress.expected,
        "bytes": progress.bytes,
    }
    if every:
        told["each"] = [
            {
                "study": s.study,
                "study_uid": s.study_uid or s.found_uid,
                "accession": s.accession,
                "state": s.state,
                "received": s.received,
                "expected": s.expected,
                "reason": s.reason,
            }
            for s in store.studies(number)
        ]
    return told


def _is_short(store: PullStore, number: int) -> bool:
    from flipnb.enclave.collector.states import State

    progress = store.progress(number)
    return progress.of(State.RETRIEVED, State.QUARANTINED, State.DEIDENTIFIED) < progress.wanted


def _counted(progress: Any) -> str:
    from flipnb.enclave.collector.states import State

    here = progress.of(State.RETRIEVED, State.QUARANTINED, State.DEIDENTIFIED)
    return f"{here} of {progress.wanted} retrieved"


def _lines(path: Path | None) -> tuple[str, ...]:
    """The lines of a file without blanks around them, none empty, each once."""
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").split("\n", _MOST_LINES)
    except (OSError, UnicodeDecodeError) as error:
        raise FlipError("no-file", f"{path} can't be read: {error}.") from None
    if len(lines) > _MOST_LINES:
        raise FlipError("too-many-lines", f"{path} has more than {_MOST_LINES} lines.")
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
