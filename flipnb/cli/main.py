"""``flip``: everything that the screens can do, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flipnb.cli import cohort, enclave, estate, federation, study
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly, watched
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
for command in (federation.up, federation.down, federation.status):
    app.command()(command)

Notebook = Annotated[Path, typer.Argument(help="A notebook with a parameters cell and a plan file beside it.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, or NAME=V1,V2 for a sweep. May be repeated.")
]
Rounds = Annotated[int | None, typer.Option(help="Training rounds, instead of the plan file's.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the split, instead of the plan file's.")]
MinimumTrusts = Annotated[int | None, typer.Option(help="The least number of Trusts that must take part.")]
OnlyTrusts = Annotated[list[str] | None, typer.Option("--trust", help="Only these Trusts, by name. May be repeated.")]
StartFrom = Annotated[
    str | None, typer.Option("--from", help="Start from this run's final weights (its id, or a SHA-256).")
]
Run = Annotated[str, typer.Argument(help="The id of a run.")]


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
    study_name: Annotated[
        str | None,
        typer.Option("--study", help="Check all that Send checks: this study's Trusts, their cards, the bundle."),
    ] = None,
    param: Parameters = None,
    rounds: Rounds = None,
    seed: Seed = None,
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
        changes = _changes(rounds, seed, minimum_trusts, trust, start_from)
        points = _points(notebook, param)
        issues = find_send_issues(Home.find(), notebook, study_name, points, changes, lock=lock)
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
    seed: Seed = None,
    minimum_trusts: MinimumTrusts = None,
    trust: OnlyTrusts = None,
    start_from: StartFrom = None,
    bundle: Annotated[str | None, typer.Option(help="Another run of a bundle that was sent before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze the notebook into a bundle, sign it and send it to the Trusts of a study for approval."""
    from flipnb.contracts.parameters import check_point
    from flipnb.workbench.home import Home
    from flipnb.workbench.submission import fetch_bundle, prepare, run_again
    from flipnb.workbench.submission import submit as send

    home = Home.find()
    if bundle is not None:
        space = fetch_bundle(home, bundle).parameters
        points = [check_point(space, point) for point in _sweep(space, param)]  # all, before the first is asked for
        runs, digest = [run_again(home, bundle, point) for point in points], bundle
    elif notebook is None or study_name is None:
        raise typer.BadParameter("Give a notebook and --study, or --bundle.")
    else:
        changes = _changes(rounds, seed, minimum_trusts, trust, start_from)
        done = send(home, prepare(home, notebook, study_name, _points(notebook, param), changes))
        runs, digest = list(done.runs), done.bundle
    if as_json:
        print_json({"bundle": digest, "runs": [run.run for run in runs]})
        return
    print(f"Bundle {digest}")
    for run in runs:
        print(f"Run {run.run} is {run.state}: {', '.join(part.name for part in run.trusts)}")


@app.command()
@speaks_plainly
def runs(
    run: Annotated[str | None, typer.Argument(help="One run; without it all of a study.")] = None,
    study_name: Annotated[str | None, typer.Option("--study", help="The study's name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the runs of a study, or one run Trust by Trust."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.narrative import shares_of
    from flipnb.workbench.runs import list_runs, view_rounds, view_rule, view_run

    if run is not None:
        view = view_run(Home.find(), run)
        rounds = view_rounds(Home.find(), run)
        if as_json:
            done = [summary.model_dump(mode="json") for summary in rounds]
            print_json({**view.model_dump(mode="json"), "finished_rounds": done})
            return
        print(f"Run {view.run}: {view.state}, round {view.rounds_done} of {view.rounds}. {view.reason or ''}".rstrip())
        _print_parts(view.trusts, shares_of(rounds))
        voted = [summary for summary in rounds if summary.votes is not None][-12:]
        if voted:
            names = {part.trust: part.name for part in view.trusts}
            told = sorted({key for summary in voted for key in summary.agreements}, key=lambda key: names[key])
            print_table(
                ["round", "agree", *(names[key] for key in told)],
                [[s.round, f"{s.votes} of {s.voters}", *(s.agreements.get(k, "") for k in told)] for s in voted],
            )
            _print_hold_outs(voted[-1], view_rule(Home.find(), run), names)
        return
    if study_name is None:
        raise typer.BadParameter("Give a run, or --study.")
    found = list_runs(Home.find(), study_name)
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
        return
    print_table(
        ["run", "state", "rounds", "submitted", "parameters"],
        [[item.run, item.state, f"{item.rounds_done}/{item.rounds}", item.submitted, item.point] for item in found],
    )


@app.command()
@speaks_plainly
def stop(run: Run, as_json: JsonOption = False) -> None:
    """Stop a run at every Trust."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.runs import stop_run

    view = stop_run(Home.find(), run)
    print_json(view.model_dump(mode="json")) if as_json else print(f"Run {view.run} is {view.state}.")


@app.command()
@speaks_plainly
def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the run has ended.")] = False,
    after: Annotated[int, typer.Option(help="Only events after this number.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print a run's events."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.narrative import describe
    from flipnb.workbench.runs import follow as events
    from flipnb.workbench.runs import view_run

    home = Home.find()
    names = {part.trust: part.name for part in view_run(home, run).trusts}
    for event in events(home, run, after=after, to_the_end=follow):
        print(event.model_dump_json() if as_json else describe(event, names), flush=True)


@app.command()
@speaks_plainly
def results(
    run: Run,
    to: Annotated[Path, typer.Option(help="Where the files go.")] = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """Fetch the final model, the metrics and the record of a finished run; where it was stopped, it goes on."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.results import fetch_results

    with watched("weights") as progress:
        found = fetch_results(Home.find(), run, to, progress)
    if as_json:
        print_json(found.record.model_dump(mode="json"))
        return
    frame = found.metrics()
    print_table(list(frame.columns), frame.tail(12).round(4).values.tolist())
    print(f"{found.weights_file}\n{to / 'metrics.csv'}\n{to / 'record.json'}")


def _print_hold_outs(summary: Any, rule: Any, names: Mapping[str, str]) -> None:
    from flipnb.workbench.agreement import describe_rule, find_hold_outs

    found = find_hold_outs(summary, rule) if rule is not None else None
    if found is None:
        return
    print_text(f"{describe_rule(rule)}.")
    who = found.describe(names)
    print_text(f"Holds out in round {summary.round}: {who}." if who else f"In round {summary.round} all agreed.")


def _print_parts(parts: Sequence[Any], shares: Mapping[str, str]) -> None:
    """One line for each Trust: when it was last heard, where it is, its share of the people in train once there is one,
    the memory that its kernel used where any Trust lets that out."""
    from flipnb.workbench.narrative import describe_age, describe_memory, describe_progress

    now = datetime.now(UTC)
    used = [describe_memory(part.progress) for part in parts]
    memory = ["memory, at most"] if any(used) else []
    share = ["share of people"] if shares else []
    print_table(
        ["Trust", "state", "heard", "progress", *share, *memory, "why"],
        [
            [
                part.name,
                part.state,
                describe_age(part.heard, now),
                describe_progress(part.progress) if part.progress is not None else "",
                *(shares.get(part.trust, "") for _ in share),
                *(said or "kept inside" for _ in memory),
                _why(part),
            ]
            for part, said in zip(parts, used, strict=True)
        ],
    )


def _why(part: Any) -> str:
    if part.failure is not None:
        return str(part.failure.describe())
    return part.reason or ""


def _changes(
    rounds: int | None, seed: int | None, minimum_trusts: int | None, trusts: list[str] | None, start_from: str | None
) -> dict[str, Any]:
    """What takes the place of the plan file's, as ``submission.prepare`` reads it."""
    changes: dict[str, Any] = {"rounds": rounds, "seed": seed, "minimum_trusts": minimum_trusts}
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
