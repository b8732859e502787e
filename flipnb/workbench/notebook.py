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
from flipnb.workbench.names import ran, run_name, trust_titles, waited
from flipnb.workbench.narrative import describe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from flipnb.session.data import Data
    from flipnb.session.rounds import Rounds

__all__ = ["cohort", "data", "file", "follow", "results", "rounds", "runs", "submit", "total"]


def data(plan: str | Path | None = None) -> Data:
    """A twin: invented people with the columns of the cohort in the notebook's plan file.

        data = flip.data()
        data.train.frame()                                  # a DataFrame: a row per person, a column per variable
        data.train.images("scan")                           # a torch dataset: the images that the dataset names
        data.sql("SELECT count(*) FROM measurement")

    The plan file is ``plan``, else ``$FLIP_PLAN``, else the one of this notebook's name, ``NAME.flip.json``; where
    nobody says which notebook runs, the only one in the working directory. In a Trust the same call gives the run's
    frozen cohort, whatever ``plan`` is. Raises FlipError ``no-plan``, ``invalid-document``.
    """
    return rehearsal.local_records(plan)


def file(name: str) -> Path:
    """The path of a file beside this notebook that goes with it to the Trusts: named in the plan's ``files``.

        model.load_state_dict(safetensors.torch.load_file(flip.file("resnet.safetensors")))

    In a rehearsal and in a Trust it is a copy of what was rehearsed, to be read alone. Raises FlipError ``no-file``,
    ``no-plan``.
    """
    return rehearsal.local_file(name)


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The federated rounds, to be iterated; on a workbench over the twin alone, and for at most two rounds.

        for rnd in flip.rounds(model, state=[optimiser]):   # the round's global weights are in the model now
            if rnd.training:
                loss = train_one_epoch(model, optimiser, data.train)
            rnd.report(loss=loss, accuracy=accuracy)

    ``model`` is a torch module, a dictionary of modules, or a dictionary of NumPy arrays, changed in place. ``state``
    are objects with ``state_dict`` (optimisers) that a restarted kernel goes on from; ``exclude`` are patterns (regular
    expressions) of tensor names that stay local. Leases, layout and report are checked as in a Trust. Raises FlipError
    ``not-a-model``, ``no-tensors``, ``unsupported-dtype``, ``not-a-state``, ``no-plan``; while it goes on
    ``no-report``, ``no-agreement``, ``not-finite``, ``rounds-used``.
    """
    from flipnb.session.rounds import Rounds

    return Rounds(rehearsal.local_channel(), model, state=state, exclude=exclude)


def total(arrays: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """The sum of each array over the Trusts, as float64 in the same shape; on a workbench of the twin alone.

        total = flip.total({"sums": x.sum(0), "people": len(x)})
        mean = total["sums"] / total["people"]

    The arrays of one call are one step of the plan file's ``totals``, which declare shape, bounds and decimals; they
    are checked and rounded here as a Trust would. Raises FlipError ``wrong-total``, ``undeclared-total``, ``no-plan``.
    """
    from flipnb.session.total import ask_total

    return ask_total(rehearsal.local_channel(), arrays)


def cohort(definition: str | Path | Mapping[str, Any] | Definition) -> Cohort:
    """A cohort from ATLAS JSON, a file or a dictionary, or from ``flipnb.cohorts``.

        cohort = flip.cohort("heart_disease.cohort.json")
        cohort                                              # the last line of a cell: the cohort builder
        cohort.price(charts=["age"])                        # what asking costs, at most
        cohort.count("heart")                               # ask every Trust of the study

    As the last line of a cell it shows itself as the cohort builder, in step with this object.
    Raises FlipError ``no-cohort``, ``unsupported-cohort``.
    """
    return Cohort(read_definition(definition))


def submit(
    notebook: str | Path,
    study: str,
    *points: Mapping[str, Scalar],
    rounds: int | None = None,
    title: str | None = None,
    seed: int | Sequence[int] | None = None,
    trusts: Sequence[str] = (),
    minimum_trusts: int | None = None,
    start_from: str | None = None,
    fold: int | Sequence[int] | None = None,
) -> submission.Submitted:
    """Freeze, sign and send a rehearsed notebook; one run for each point (none: the defaults).

        sent = flip.submit("heart_disease.ipynb", "heart", {"lr": 0.5}, {"lr": 0.05}, rounds=20)
        sent.runs[0].run                                    # the first run's id
        flip.submit("heart_disease.ipynb", "heart", seed=[0, 1, 2])         # three splits, one approval

    What is given takes the place of the plan file's: ``rounds``, ``title``, ``seed`` of the split, ``fold`` of its
    folds (of several, a run for each), ``trusts`` by name, ``minimum_trusts``, ``start_from`` (a run's id or a SHA-256
    of weights). At each point the notebook is run on the twin until its model is known, unless that was done before.
    Nothing runs before the Trusts' data controllers have approved. Raises FlipError ``not-rehearsed``, ``other-shape``,
    ``point-fails``, ``unknown-trust``, ``unknown-parameter``, ``wrong-type``, ``out-of-bounds``, ``invalid-document``,
    ``hub-unreachable``, and what the hub says.
    """
    home = Home.find()
    changes = {
        "rounds": rounds,
        "title": title,
        "seed": seed,
        "fold": fold,
        "trusts": trusts,
        "minimum_trusts": minimum_trusts,
        "start_from": start_from,
    }
    return submission.submit(home, submission.prepare(home, Path(notebook), study, points, changes))


def runs(study: str) -> pd.DataFrame:
    """All runs of a study, the newest first: run (the index), name, notebook, state, rounds done, of, submitted,
    seconds that it waited and ran (NaN before it started), parameters.

        flip.runs("heart").query("state == 'succeeded'")

    Raises FlipError ``hub-unreachable``, ``not-configured``, and what the hub says.
    """
    import pandas as pd

    columns = ["run", "name", "notebook", "state", "rounds_done", "rounds", "submitted", "waited", "ran", "point"]
    rows = [
        [v.run, run_name(v), v.notebook, v.state, v.rounds_done, v.rounds, v.submitted, waited(v), ran(v), v.point]
        for v in at_the_hub.list_runs(Home.find(), study)
    ]
    return pd.DataFrame(rows, columns=columns).set_index("run")


def follow(run: str) -> Iterator[str]:
    """What happens in a run, as sentences that name the Trust, until it has ended; interrupt to stop listening.

        for line in flip.follow(sent.runs[0].run):
            print(line)

    It begins with the run's first event. Raises FlipError ``hub-unreachable`` where the hub can't be reached at first,
    or for five minutes.
    """
    home = Home.find()
    view = at_the_hub.view_run(home, run)
    names = trust_titles(home, view.study, view.trusts)
    return (describe(event, names) for event in at_the_hub.follow(home, run))


def results(run: str, to: str | Path | None = None) -> fetched.Results:
    """What came of an ended run, kept in the folder ``to`` (else ``results/RUN``); of a failed one what there is.

        found = flip.results(run)
        found.curves(), found.final()                       # DataFrames: the training rounds; the final model
        found.totals()                                      # the sums of flip.total, by name
        found.weights(round=7)                              # the weights that round 7 began with
        model.load_state_dict(safetensors.torch.load_file(found.weights_file))

    Without the hub, what was fetched into that folder before. Raises FlipError ``not-finished`` where the run goes on,
    ``hub-unreachable``.
    """
    return fetched.results_of(Home.find(), run, Path(to) if to is not None else Path("results") / run)
