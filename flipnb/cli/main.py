"""``flip``: everything that the screens can do, in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from flipnb.cli import cohort, enclave, estate, federation, images, runs, study
from flipnb.cli.new import new
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RUN_WORDS

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
app.add_typer(images.app, name="images")
runs.add_to(app)
for command in (federation.up, federation.down, federation.status, new):
    app.command()(command)

Notebook = Annotated[Path, typer.Argument(help="A notebook with a parameters cell and a plan file beside it.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, or NAME=V1,V2 for a sweep. May be repeated.")
]
Rounds = Annotated[int | None, typer.Option(help="Training rounds, instead of the plan file's.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Seed of the split. May be repeated: a run for each, of one bundle."),
]
Folds = Annotated[
    list[int] | None, typer.Option("--fold", help="Fold of the split, from 0. May be repeated: a run for each.")
]
MinimumTrusts = Annotated[int | None, typer.Option(help="The least number of Trusts that must take part.")]
OnlyTrusts = Annotated[list[str] | None, typer.Option("--trust", help="Only these Trusts, by name. May be repeated.")]
StartFrom = Annotated[
    str | None, typer.Option("--from", help="Start from this run's final weights (its id, or a SHA-256).")
]


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

    told = None if as_json else print_text
    found = run(notebook, _points(notebook, param)[0], trusts=trusts, rounds=rounds, told=told)
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
                "executed": found.executed,
            }
        )
        return
    print_table(["tensor", "shape", "dtype"], [[t.name, list(t.shape), t.dtype] for t in found.tensors.tensors])
    print_text(f"\n{found.describe()}\nAs it ran: {found.executed}")
    print_text(f"Send it:   flip submit {notebook} --study STUDY")


def _simulated(found: Any, as_json: bool) -> None:
    from flipnb.workbench.rehearsal import describe_numbers

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
    numbers = describe_numbers(found.rounds[-1].metrics) if found.rounds else "no round was finished"
    print_text(f"Simulated over {len(found.people)} twins ({sizes}) in {found.seconds:.0f} s: {numbers}.")
    if found.reason:
        print_text(found.reason)
    print_text(f"As it ran:     {found.directory}/TWIN/executed.ipynb, for each twin")
    print_text(f"Final weights: {found.weights}")


@app.command()
@speaks_plainly
def validate(
    notebook: Notebook,
    study_name: Annotated[
        str | None,
        typer.Option("--study", help="Check all that Send checks: this study's Trusts, their cards, the bundle."),
    ] = None,
    param: Parameters = None,
    rounds: Rounds = None,
    seed: Seeds = None,
    fold: Folds = None,
    minimum_trusts: MinimumTrusts = None,
    trust: OnlyTrusts = None,
    start_from: StartFrom = None,
    lock: Annotated[Path | None, typer.Option(help="The lock file of the environment that the Trusts have.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look a notebook over, cell by cell, and send nothing; exit code 1 where a submission would fail."""
    from dataclasses import asdict

    from flipnb.workbench.home import Home
    from flipnb.workbench.sending import find_send_issues
    from flipnb.workbench.validation import find_issues

    if study_name is None:
        issues = find_issues(notebook, lock=lock)
        failed = any(issue.severity == "error" for issue in issues)
    else:
        changes = _changes(rounds, seed, fold, minimum_trusts, trust, start_from)
        points = _points(notebook, param)
        issues = find_send_issues(Home.find(), notebook, study_name, points, changes, shapes=True, lock=lock)
        failed = any(issue.severity == "error" or issue.code == "not-rehearsed" for issue in issues)
    if as_json:
        print_json([asdict(issue) for issue in issues])
    for issue in [] if as_json else issues:
        print_text(str(issue))
    if failed:
        raise typer.Exit(1)
    if not as_json and (study_name is not None or not issues):
        print("Ready to send.")


@app.command()
@speaks_plainly
def submit(
    notebook: Annotated[Path | None, typer.Argument(help="A rehearsed notebook.")] = None,
    study_name: Annotated[str | None, typer.Option("--study", help="The study's name.")] = None,
    param: Parameters = None,
    rounds: Rounds = None,
    seed: Seeds = None,
    fold: Folds = None,
    minimum_trusts: MinimumTrusts = None,
    trust: OnlyTrusts = None,
    start_from: StartFrom = None,
    bundle: Annotated[str | None, typer.Option(help="Another run of a bundle that was sent before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze the notebook into a bundle, sign it and send it to the Trusts of a study for approval."""
    from flipnb.contracts.choices import Choices
    from flipnb.workbench.earlier_bundle import approved_already
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import run_name, trust_titles
    from flipnb.workbench.starting_weights import find_start
    from flipnb.workbench.studies import read_roster
    from flipnb.workbench.submission import fetch_bundle, prepare, run_all_again
    from flipnb.workbench.submission import submit as send

    home = Home.find()
    if bundle is not None:
        if notebook is not None or minimum_trusts is not None or trust:
            raise typer.BadParameter("A bundle fixes its notebook and its Trusts: leave those out beside --bundle.")
        parameters = fetch_bundle(home, bundle).parameters
        weights = find_start(home, start_from) if start_from is not None else None
        chosen = [
            Choices(rounds=rounds, seed=s, fold=f, initial_weights=weights)
            for s, f in product(seed or (None,), fold or (None,))
        ]
        runs_asked = list(product(_sweep(parameters, param), chosen))
        views, digest = run_all_again(home, bundle, runs_asked, _tell_shapes), bundle
    elif notebook is None or study_name is None:
        raise typer.BadParameter("Give a notebook and --study, or --bundle.")
    else:
        changes = _changes(rounds, seed, fold, minimum_trusts, trust, start_from)
        prepared = prepare(home, notebook, study_name, _points(notebook, param), changes)
        approved = [] if as_json else approved_already(read_roster(home, study_name), prepared.executions_left)
        for line in approved:
            print_text(line)
        done = send(home, prepared, _tell_shapes)
        views, digest = done.runs, done.bundle
    if as_json:
        print_json({"bundle": digest, "runs": [view.run for view in views]})
        return
    print(f"Bundle {digest}")
    for view in views:
        titles = trust_titles(home, view.study, view.trusts)
        at = ", ".join(titles[part.trust] for part in view.trusts)
        print_text(f"Run {view.run}, {run_name(view)}: {RUN_WORDS[view.state]} at {at}")


def _tell_shapes(done: int, of: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\rChecking the model at {of} points: {done} of {of}", end=end, file=sys.stderr, flush=True)


def _changes(
    rounds: int | None,
    seeds: list[int] | None,
    folds: list[int] | None,
    minimum_trusts: int | None,
    trusts: list[str] | None,
    start_from: str | None,
) -> dict[str, Any]:
    """What takes the place of the plan file's, as ``submission.prepare`` reads it."""
    changes: dict[str, Any] = {"rounds": rounds, "seed": seeds, "fold": folds, "minimum_trusts": minimum_trusts}
    return changes | {"trusts": trusts or (), "start_from": start_from}


def _points(notebook: Path, param: list[str] | None) -> list[dict[str, Any]]:
    """All points of a sweep; values in the types that the parameters cell declares."""
    from flipnb.workbench.freezing import freeze_notebook, notebook_parameters

    return _sweep(notebook_parameters(freeze_notebook(notebook)), param)


def _sweep(declared: Sequence[Any], param: list[str] | None) -> list[dict[str, Any]]:
    """All points of what was typed, in the types declared; free text is one value, since it may have commas."""
    from flipnb.contracts.parameters import grid
    from flipnb.workbench.point import parse_value

    values = {}
    for name, text in _pairs(param):
        free = any(known.name == name and known.type == "str" and not known.choices for known in declared)
        texts = [text] if free else [one.strip() for one in text.split(",")]
        values[name] = [parse_value(declared, name, one) for one in texts]
    return list(grid(values))


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
