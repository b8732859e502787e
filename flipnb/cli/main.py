"""``flip``: everything that the screens can do, in a terminal."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from flipnb.cli import cohort, enclave, estate, runs, study
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.problem import FlipError

app = typer.Typer(
    name="flip",
    help="Federated learning from a notebook, on data that never leaves the hospital.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(study.app, name="study")
app.add_typer(cohort.app, name="cohort")
app.add_typer(enclave.app, name="enclave")
app.add_typer(estate.app, name="estate")
runs.add_to(app)

Notebook = Annotated[Path, typer.Argument(help="A notebook with a parameters cell and a plan file beside it.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, or NAME=V1,V2 for a sweep. May be repeated.")
]
Directory = Annotated[Path | None, typer.Option("--directory", help="The demo federation's directory.")]


@app.command()
@speaks_plainly
def rehearse(
    notebook: Notebook,
    param: Parameters = None,
    trusts: Annotated[
        int, typer.Option(help="Then simulate a federation of so many twins, for the plan's rounds.")
    ] = 1,
    rounds: Annotated[
        int | None, typer.Option(help="Training rounds of the simulation, instead of the plan's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a notebook on a twin, here, for two rounds; records the model's tensors and initial weights."""
    from flipnb.simulation.rehearsing import Simulation
    from flipnb.simulation.rehearsing import rehearse as run
    from flipnb.workbench.narrative import describe_round

    def heard(summary: Any, names: Any) -> None:
        if not as_json:
            print_text(describe_round(summary, names))

    found = run(notebook, _points(notebook, param)[0], trusts=trusts, rounds=rounds, heard=heard)
    if isinstance(found, Simulation):
        _simulated(found, as_json)
        return
    if as_json:
        print_json(
            {
                "notebook": found.notebook,
                "tensors": found.tensors.model_dump(mode="json")["tensors"],
                "reports": found.reports,
                "seconds": found.seconds,
            }
        )
        return
    print(f"Rehearsed in {found.seconds:.1f} s on a twin. The model's tensors:")
    print_table(["tensor", "shape", "dtype"], [[t.name, list(t.shape), t.dtype] for t in found.tensors.tensors])


def _simulated(found: Any, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "people": found.people,
                "rounds": [summary.model_dump(mode="json") for summary in found.rounds],
                "names": found.names,
                "weights": str(found.weights),
                "code": found.code,
                "reason": found.reason,
                "seconds": found.seconds,
            }
        )
        return
    sizes = ", ".join(f"{name} {people}" for name, people in found.people.items())
    print_text(f"Simulated in {found.seconds:.1f} s over {len(found.people)} twins ({sizes}). {found.reason or ''}")
    print_text(f"Final weights: {found.weights}")


@app.command()
@speaks_plainly
def validate(
    notebook: Notebook,
    study_name: Annotated[str | None, typer.Option("--study", help="Check against this study's roster, too.")] = None,
    param: Parameters = None,
    lock: Annotated[Path | None, typer.Option(help="The lock file of the environment that the Trusts have.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look a notebook over, cell by cell, and send nothing; exit code 1 where a submission would fail."""
    from dataclasses import asdict

    from flipnb.workbench.home import Home
    from flipnb.workbench.submission import prepare
    from flipnb.workbench.validation import find_issues

    issues = find_issues(notebook, lock=lock)
    failed = any(issue.severity == "error" for issue in issues)
    if as_json:
        print_json([asdict(issue) for issue in issues])
    for issue in [] if as_json else issues:
        print_text(str(issue))
    if failed:
        raise typer.Exit(1)
    if study_name is not None:
        prepare(Home.find(), notebook, study_name, _points(notebook, param))
    if not as_json and not issues:
        print("Ready to send.")


@app.command()
@speaks_plainly
def submit(
    notebook: Annotated[Path | None, typer.Argument(help="A rehearsed notebook.")] = None,
    study_name: Annotated[str | None, typer.Option("--study", help="The study's name.")] = None,
    param: Parameters = None,
    rounds: Annotated[int | None, typer.Option(help="Training rounds, instead of the plan file's.")] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of the split. May be repeated: a run for each, of one bundle.")
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option(help="Fold of the split, from 0. May be repeated: a run for each.")
    ] = None,
    minimum_trusts: Annotated[int | None, typer.Option(help="The least number of Trusts that must take part.")] = None,
    trust: Annotated[list[str] | None, typer.Option(help="Only these Trusts, by name. May be repeated.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Start from this run's final weights (its id, or a SHA-256).")
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Another run of a bundle that was sent before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze the notebook into a bundle, sign it and send it to the Trusts of a study for approval."""
    from flipnb.contracts.choices import Choices
    from flipnb.workbench.earlier_bundle import approved_already
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import run_name, trust_titles
    from flipnb.workbench.studies import read_roster
    from flipnb.workbench.submission import prepare, run_again
    from flipnb.workbench.submission import submit as send

    home = Home.find()
    if bundle is not None:
        point = _plain_point(param)
        places = product(seed or (None,), fold or (None,))
        chosen = [Choices(rounds=rounds, seed=one, fold=part) for one, part in places]
        runs, digest = [run_again(home, bundle, point, choices) for choices in chosen], bundle
    elif notebook is None or study_name is None:
        raise typer.BadParameter("Give a notebook and --study, or --bundle.")
    else:
        changes: dict[str, Any] = {"rounds": rounds, "seed": seed, "fold": fold, "minimum_trusts": minimum_trusts}
        changes |= {"trusts": trust or (), "start_from": start_from}
        prepared = prepare(home, notebook, study_name, _points(notebook, param), changes)
        approved = [] if as_json else approved_already(read_roster(home, study_name), prepared.executions_left)
        for line in approved:
            print_text(line)
        done = send(home, prepared, _tell_shapes)
        runs, digest = list(done.runs), done.bundle
    if as_json:
        print_json({"bundle": digest, "runs": [run.run for run in runs]})
        return
    print(f"Bundle {digest}")
    for run in runs:
        titles = trust_titles(home, run.study, run.trusts)
        print_text(f"Run {run.run}, {run_name(run)}: {run.state} at {', '.join(titles[p.trust] for p in run.trusts)}")


def _tell_shapes(done: int, of: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\rChecking the model at {of} points: {done} of {of}", end=end, file=sys.stderr, flush=True)


@app.command()
@speaks_plainly
def up(directory: Directory = None, as_json: JsonOption = False) -> None:
    """Start the demo federation (made by `make demo` or `make lab`)."""
    from flipnb.demo import federation

    _daemons(federation.up(directory or federation.default_directory()), as_json)


@app.command()
@speaks_plainly
def down(
    directory: Directory = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the demo federation."""
    from flipnb.demo import federation

    stopped = federation.down(directory or federation.default_directory())
    if as_json:
        print_json({"stopped": stopped})
    elif not quiet:
        print("Stopped." if stopped else "Nothing was up.")


@app.command()
@speaks_plainly
def status(directory: Directory = None, as_json: JsonOption = False) -> None:
    """Show the demo federation's daemons; exit code 3 where it is not up."""
    from flipnb.demo import federation

    now = federation.status(directory or federation.default_directory())
    _daemons(now, as_json)
    if not now["up"]:
        raise typer.Exit(3)


def _daemons(now: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(now)
    elif not now["up"]:
        print("Not up.")
    else:
        rows = [[name, d["state"], d["pid"], d["restarts"], d["log"]] for name, d in now["daemons"].items()]
        print_table(["daemon", "state", "process", "restarts", "log"], rows)


def _points(notebook: Path, param: list[str] | None) -> list[dict[str, Any]]:
    """All points of a sweep; values in the types that the parameters cell declares."""
    from flipnb.contracts.parameters import grid
    from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
    from flipnb.workbench.point import parse_value

    declared = notebook_parameters(freeze_notebook(notebook))
    values = {}
    for name, text in _pairs(param):
        kinds = {parameter.name: parameter.type for parameter in declared}
        texts = [text] if kinds.get(name) == "str" else text.split(",")
        values[name] = [parse_value(declared, name, one) for one in texts]
    return list(grid(values))


def _plain_point(param: list[str] | None) -> dict[str, Any]:
    """A point for a bundle that is elsewhere: JSON values, or text."""
    import json

    point: dict[str, Any] = {}
    for name, text in _pairs(param):
        try:
            point[name] = json.loads(text)
        except ValueError:
            point[name] = text
    return point


def _pairs(param: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for item in param or []:
        name, equals, text = item.partition("=")
        if not equals:
            raise FlipError("bad-parameter", f"{item!r} is not NAME=VALUE.")
        pairs.append((name, text))
    return pairs


def main() -> None:
    """Run the command that was typed: the entry point ``flip``."""
    app()


if __name__ == "__main__":
    main()
