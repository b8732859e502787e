"""``flip``: everything that the screens can do, in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flipnb.cli import cohort, enclave, estate, study
from flipnb.cli.new import new
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
app.command()(new)

Notebook = Annotated[Path, typer.Argument(help="A notebook with a parameters cell and a plan file beside it.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, or NAME=V1,V2 for a sweep. May be repeated.")
]
Run = Annotated[str, typer.Argument(help="The id of a run.")]
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
    seed: Annotated[int | None, typer.Option(help="Seed of the split, instead of the plan file's.")] = None,
    minimum_trusts: Annotated[int | None, typer.Option(help="The least number of Trusts that must take part.")] = None,
    trust: Annotated[list[str] | None, typer.Option(help="Only these Trusts, by name. May be repeated.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Start from this run's final weights (its id, or a SHA-256).")
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Another run of a bundle that was sent before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze the notebook into a bundle, sign it and send it to the Trusts of a study for approval."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.submission import prepare, run_again
    from flipnb.workbench.submission import submit as send

    home = Home.find()
    if bundle is not None:
        view = run_again(home, bundle, _plain_point(param))
        runs, digest = [view], bundle
    elif notebook is None or study_name is None:
        raise typer.BadParameter("Give a notebook and --study, or --bundle.")
    else:
        changes: dict[str, Any] = {"rounds": rounds, "seed": seed, "minimum_trusts": minimum_trusts}
        changes |= {"trusts": trust or (), "start_from": start_from}
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
    from flipnb.workbench.runs import list_runs, view_rounds, view_run

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
