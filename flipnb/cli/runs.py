"""``flip runs | stop | logs | results | weights | trusts``: what goes on at the Trusts, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_line, print_table, print_text, speaks_plainly, watched
from flipnb.contracts.run import RUN_WORDS, TRUST_WORDS

if TYPE_CHECKING:
    from flipnb.workbench.home import Home

Run = Annotated[str, typer.Argument(help="The id of a run.")]
Study = Annotated[str | None, typer.Option("--study", help="The study's name; without it your only one.")]
_LAST_ROUNDS = 12


def add_to(app: typer.Typer) -> None:
    """Have ``app`` answer to these commands."""
    for command in (runs, stop, logs, results, weights, trusts):
        app.command()(command)


@speaks_plainly
def runs(
    run: Annotated[str | None, typer.Argument(help="One run; without it all of a study.")] = None,
    study_name: Study = None,
    as_json: JsonOption = False,
) -> None:
    """Show the runs of a study, or one run Trust by Trust."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import duration, ran, run_name, waited
    from flipnb.workbench.runs import list_runs

    if run is not None:
        _show_run(run, as_json)
        return
    home = Home.find()
    found = list_runs(home, study_name or _only_study(home))
    if as_json:
        print_json([{**item.model_dump(mode="json"), "name": run_name(item)} for item in found])
        return
    print_table(
        ["run", "name", "notebook", "state", "rounds", "waited", "ran", "sent"],
        [
            [
                item.run,
                run_name(item),
                item.notebook,
                RUN_WORDS[item.state],
                f"{item.rounds_done}/{item.rounds}",
                duration(waited(item)),
                duration(ran(item)),
                item.submitted.astimezone().strftime("%Y-%m-%d %H:%M"),
            ]
            for item in found
        ],
    )


def _only_study(home: Home) -> str:
    """The one study that is kept here; else a usage error that names those there are."""
    from flipnb.workbench.studies import kept_studies

    kept = kept_studies(home)
    if len(kept) != 1:
        raise typer.BadParameter(f"Give --study: one of {', '.join(kept)}." if kept else "You are in no study yet.")
    return kept[0]


def _show_run(run: str, as_json: bool) -> None:
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import duration, ran, run_name, trust_titles, waited
    from flipnb.workbench.narrative import describe_final, shares_of
    from flipnb.workbench.runs import view_rounds, view_rule, view_run

    home = Home.find()
    view = view_run(home, run)
    rounds = view_rounds(home, run)
    if as_json:
        done = [summary.model_dump(mode="json") for summary in rounds]
        print_json({**view.model_dump(mode="json"), "name": run_name(view), "finished_rounds": done})
        return
    where = f"{RUN_WORDS[view.state]}, round {view.rounds_done} of {view.rounds}"
    print_text(f"{run_name(view)}: {where}. {view.reason or ''}".rstrip())
    times = [f"waited {duration(waited(view))}"]
    times += [f"ran {duration(ran(view))}"] if view.started is not None else []
    print_text(" · ".join(filter(None, [view.notebook, f"study {view.study}", f"run {view.run}", ", ".join(times)])))
    titles = trust_titles(home, view.study, view.trusts)
    _print_parts(view.trusts, titles, shares_of(rounds))
    voted = [summary for summary in rounds if summary.votes is not None][-_LAST_ROUNDS:]
    if voted:
        told = sorted({key for summary in voted for key in summary.agreements}, key=lambda key: titles[key])
        print_table(
            ["round", "agree", *(titles[key] for key in told)],
            [[s.round, f"{s.votes} of {s.voters}", *(s.agreements.get(k, "") for k in told)] for s in voted],
        )
        _print_hold_outs(voted[-1], view_rule(home, run), titles)
    final = describe_final(rounds)
    if final:
        print_text(final)


def _print_hold_outs(summary: Any, rule: Any, names: Mapping[str, str]) -> None:
    from flipnb.workbench.agreement import describe_rule, find_hold_outs

    found = find_hold_outs(summary, rule) if rule is not None else None
    if found is None:
        return
    print_text(f"{describe_rule(rule)}.")
    who = found.describe(names)
    print_text(f"Holds out in round {summary.round}: {who}." if who else f"In round {summary.round} all agreed.")


@speaks_plainly
def stop(run: Run, as_json: JsonOption = False) -> None:
    """Stop a run at every Trust."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import run_name
    from flipnb.workbench.runs import stop_run

    view = stop_run(Home.find(), run)
    print_json(view.model_dump(mode="json")) if as_json else print_text(f"{run_name(view)} is {view.state}.")


@speaks_plainly
def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the run has ended.")] = False,
    after: Annotated[int, typer.Option(help="Only events after this number.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print a run's events."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.names import trust_titles
    from flipnb.workbench.narrative import describe
    from flipnb.workbench.runs import follow as events
    from flipnb.workbench.runs import view_run

    home = Home.find()
    view = view_run(home, run)
    titles = trust_titles(home, view.study, view.trusts)
    for event in events(home, run, after=after, to_the_end=follow):
        print_line(json.dumps(event.model_dump(mode="json")) if as_json else describe(event, titles))


@speaks_plainly
def results(
    run: Run,
    to: Annotated[Path, typer.Option(help="Where the files go.")] = Path("results"),
    as_json: JsonOption = False,
) -> None:
    """Fetch all that came of an ended run, its signed bundle included; of a failed run what there is."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.narrative import describe_final
    from flipnb.workbench.results import results_of

    with watched("weights") as progress:
        found = results_of(Home.find(), run, to, progress)
    if as_json:
        print_json({**found.record.model_dump(mode="json"), "files": found.files()})
        return
    print_text(f"{found.name}: {found.record.state}. {found.reason or ''}".rstrip())
    curves = found.curves()
    if len(curves):
        print_table(list(curves.columns), curves.tail(_LAST_ROUNDS).round(4).values.tolist())
    final = describe_final(found.record.rounds)
    if final:
        print_text(final)
    for name, array in found.totals().items():
        shape = "×".join(map(str, array.shape)) or "one number"
        print_text(f"total {name} ({shape}): {' '.join(f'{value:g}' for value in array.ravel()[:6])}")
    for file in found.files():
        print_text(str(file))


@speaks_plainly
def weights(
    run: Run,
    round_number: Annotated[
        int | None, typer.Option("--round", help="The weights that this round began with; without it the final ones.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The file to write (safetensors).")] = Path("weights.safetensors"),
    as_json: JsonOption = False,
) -> None:
    """Fetch a run's global weights, final or of one round, of a run that goes on or failed, too."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.results import fetch_weights

    file = fetch_weights(Home.find(), run, out, round_number)
    print_json({"file": file, "round": round_number}) if as_json else print_text(str(file))


@speaks_plainly
def trusts(
    study_name: Study = None,
    trust: Annotated[
        str | None, typer.Argument(help="One Trust, by name: with the packages of its environments.")
    ] = None,
    package: Annotated[str | None, typer.Option(help="Only packages with this in their names.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a study's Trusts as their cards say: data, machine, what is allowed; of one Trust its packages, too."""
    from flipnb.contracts.problem import FlipError
    from flipnb.workbench.home import Home
    from flipnb.workbench.narrative import describe_age
    from flipnb.workbench.studies import read_roster
    from flipnb.workbench.trust_cards import study_trusts

    home = Home.find()
    study_name = study_name or _only_study(home)
    found = study_trusts(home, read_roster(home, study_name))
    if trust is not None or package is not None:
        found = tuple(item for item in found if trust in (None, item.name, item.title))
        if not found:
            raise FlipError("unknown-trust", f"The study {study_name} has no Trust {trust!r}.")
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
        return
    now = datetime.now(UTC)
    print_table(
        ["Trust", "name", "heard", "data loaded", "GPUs", "runs at once", "environments"],
        [
            [
                item.title,
                item.name,
                describe_age(item.heard, now) if item.joined else "not joined",
                item.card.data if item.card else "",
                item.card.gpus if item.card else "",
                item.card.slots if item.card else "",
                ", ".join(built.name for built in item.card.environments) if item.card else "",
            ]
            for item in found
        ],
    )
    if trust is not None or package is not None:
        _print_packages(found, package or "")


def _print_packages(found: Sequence[Any], package: str) -> None:
    """The packages of each environment, once for all Trusts that say the same of it."""
    titles: dict[str, list[str]] = {}
    environments: dict[str, Any] = {}
    for item in found:
        for built in item.card.environments if item.card else ():
            environments[built.digest()] = built
            titles.setdefault(built.digest(), []).append(item.title)
    for said, built in environments.items():
        print_text(f"\n{built.name} at {', '.join(titles[said])} (lock {built.lock[:12]}…)")
        wanted = [name for name in built.distributions if package.lower() in name]
        print_table(["package", "version"], [[name, built.releases.get(name, "not told")] for name in wanted])


def _print_parts(parts: Sequence[Any], titles: Mapping[str, str], shares: Mapping[str, str]) -> None:
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
                titles[part.trust],
                TRUST_WORDS[part.state],
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
