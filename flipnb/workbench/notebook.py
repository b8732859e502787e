"""What ``import flipnb as flip`` offers in a researcher's own kernel: the twin, and the way to the Trusts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.cohorts import Definition
from flipnb.contracts.parameters import Scalar
from flipnb.workbench import rehearsal, submission
from flipnb.workbench import results as fetched
from flipnb.workbench import runs as at_the_hub
from flipnb.workbench.cohort import Cohort, read_definition
from flipnb.workbench.home import Home
from flipnb.workbench.narrative import describe

if TYPE_CHECKING:
    import pandas as pd

    from flipnb.records import Records
    from flipnb.session.rounds import Rounds

__all__ = ["cohort", "data", "follow", "results", "rounds", "runs", "submit", "total"]


def data(plan: str | Path | None = None) -> Records:
    """A twin: invented people with the columns of the cohort in the notebook's plan file.

    The plan file is ``plan``, else ``$FLIP_PLAN``, else the only ``*.flip.json`` in the working directory.
    """
    return rehearsal.local_records(plan)


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The loop that a Trust's kernel runs, here alone and for at most two rounds; same arguments, same checks."""
    from flipnb.session.rounds import Rounds

    return Rounds(rehearsal.local_channel(), model, state=state, exclude=exclude)


def total(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of the arrays over the Trusts: here of the twin alone, checked and rounded as a Trust would."""
    from flipnb.session.total import ask_total

    return ask_total(rehearsal.local_channel(), arrays)


def cohort(definition: str | Path | Mapping[str, Any] | Definition) -> Cohort:
    """A cohort from ATLAS JSON, a file or a dictionary, or from ``flipnb.cohorts``.

    As the last line of a cell it shows itself as the cohort builder, in step with this object.
    Raises FlipError ``no-cohort``, ``unsupported-cohort``.
    """
    return Cohort(read_definition(definition))


def submit(
    notebook: str | Path, study: str, *points: Mapping[str, Scalar], rounds: int | None = None, **changes: Any
) -> submission.Submitted:
    """Freeze, sign and send a rehearsed notebook; one run for each point (none: the defaults).

    ``changes``: ``seed`` of the split, ``trusts`` by name, ``minimum_trusts``, ``start_from`` (a run's id or a SHA-256
    of weights), instead of the plan file's.
    """
    home = Home.find()
    changes = {"rounds": rounds, **changes}
    return submission.submit(home, submission.prepare(home, Path(notebook), study, points, changes))


def runs(study: str) -> pd.DataFrame:
    """The runs of a study, one row each: run, title, state, rounds done, of, submitted, parameters."""
    import pandas as pd

    columns = ["run", "title", "state", "rounds_done", "rounds", "submitted", "point"]
    return pd.DataFrame(
        [[getattr(view, column) for column in columns] for view in at_the_hub.list_runs(Home.find(), study)],
        columns=columns,
    ).set_index("run")


def follow(run: str) -> Iterator[str]:
    """What happens in a run, as sentences that name the Trust, until it has ended; interrupt to stop listening."""
    home = Home.find()
    names = {part.trust: part.name for part in at_the_hub.view_run(home, run).trusts}
    return (describe(event, names) for event in at_the_hub.follow(home, run))


def results(run: str, to: str | Path | None = None) -> fetched.Results:
    """A finished run's final weights, metrics and record, kept in the folder ``to`` (else ``results/RUN``)."""
    return fetched.fetch_results(Home.find(), run, Path(to) if to is not None else Path("results") / run)
