"""``flip.rehearse``: a notebook on one twin, or on several as a simulated federation."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.coordinator import CoordinatorOrder
from flipnb.contracts.document import invalid, sha256
from flipnb.contracts.envelope import BUNDLE, ROSTER, seal
from flipnb.contracts.keys import KeyId, SigningKey
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.study import Researcher, Roster, Trust
from flipnb.files.blobs import Blobs
from flipnb.simulation.hub import SimulatedHub
from flipnb.simulation.trust import SimulatedTrust
from flipnb.workbench import rehearsal
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.narrative import describe_round
from flipnb.workbench.plan_file import plan_path, read_cohort, read_plan
from flipnb.workbench.point import fix_point
from flipnb.workbench.rehearsal import Rehearsal, rehearsal_directory
from flipnb.workbench.twin_marginals import kept_marginals

_SMALLEST, _LARGEST = 60, 400


@dataclass(frozen=True)
class Simulation:
    """What a simulated federation came to. ``people`` are the twins' sizes by Trust; ``weights`` the final ones.

    ``code`` and ``reason`` say how a consensus rule ended it; ``directory`` has each Trust's executed notebook.
    """

    people: dict[str, int]
    rounds: tuple[RoundSummary, ...]
    names: dict[KeyId, str]
    weights: Path
    code: str | None
    reason: str | None
    seconds: float
    directory: Path


def rehearse(
    notebook: str | Path,
    point: Mapping[str, Scalar] | None = None,
    *,
    trusts: int = 1,
    rounds: int | None = None,
    told: Callable[[str], None] | None = None,
    heard: Callable[[RoundSummary, Mapping[KeyId, str]], None] | None = None,
) -> Rehearsal | Simulation:
    """Run ``notebook`` on a twin for two rounds; with more than one of ``trusts`` then as a simulated federation, too.

        flip.rehearse("heart_disease.ipynb")                # before it can be sent
        flip.rehearse("heart_disease.ipynb", {"lr": 0.5}, trusts=4, rounds=20, told=print).people

    The simulation runs the plan's rounds (or ``rounds``), one kernel per Trust, each on a twin with a seed and a size
    of its own. ``told`` is told in sentences how far it is, as it goes on; ``heard`` hears of every round of the
    simulation: its summary, and the Trusts' names by key. Gives a Rehearsal, with more
    than one of ``trusts`` a Simulation. Raises FlipError ``rehearsal-failed``, ``no-rounds``, ``no-plan``,
    ``too-many-trusts``, and what a run's coordinator raises, for example ``quorum-lost`` with each Trust's cell, line
    and error.
    """
    path = Path(notebook)
    if not 1 <= trusts <= MAX_TRUSTS:
        raise FlipError("too-many-trusts", f"A federation has 1 to {MAX_TRUSTS} Trusts, not {trusts}.")
    say = told or (lambda sentence: None)
    say(f"Rehearsing {path.name} on a twin …")
    recorded = rehearsal.rehearse(path, point)
    if trusts == 1:
        return recorded
    say(recorded.describe())

    def finished(summary: RoundSummary, names: Mapping[KeyId, str]) -> None:
        say(describe_round(summary, names))
        if heard is not None:
            heard(summary, names)

    return _simulate(path, recorded, point or {}, trusts, rounds, say, finished)


def _simulate(
    notebook: Path,
    recorded: Rehearsal,
    point: Mapping[str, Scalar],
    count: int,
    rounds: int | None,
    say: Callable[[str], None],
    heard: Callable[[RoundSummary, Mapping[KeyId, str]], None],
) -> Simulation:
    # Flower comes with the coordinator: not before it is needed.
    from flipnb.federation.coordinator.rounds import Rounds

    logging.getLogger("flwr").setLevel(logging.ERROR)
    began = time.monotonic()
    directory = rehearsal_directory(notebook).absolute() / "simulation"
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="flip") as sockets:
        trusts = _trusts(notebook, count, directory, Path(sockets))
        hub = _hub(notebook, recorded, point, rounds, trusts, directory, heard)
        patient = False
        try:
            say(f"A kernel starts for each of {count} twins …")
            for trust in trusts:
                trust.start(hub.run, hub.bundle, hub.point, notebook.parent.absolute())
            ending = Rounds(_order(hub.run, directory), hub).run()
            patient = True
        finally:
            for trust in trusts:
                trust.close(patient=patient)
        weights = directory / "weights.safetensors"
        shutil.copyfile(hub.blob(ending.weights), weights)
        shutil.rmtree(directory / "blobs")
        shutil.rmtree(directory / "checkpoints")
    return Simulation(
        people={trust.name: trust.size for trust in trusts},
        rounds=tuple(hub.rounds),
        names=_names(trusts),
        weights=weights,
        code=ending.code,
        reason=ending.reason,
        seconds=round(time.monotonic() - began, 2),
        directory=directory,
    )


def _trusts(notebook: Path, count: int, directory: Path, sockets: Path) -> list[SimulatedTrust]:
    plan_file = plan_path(notebook)
    marginals = kept_marginals(plan_file, read_plan(plan_file))
    return [
        SimulatedTrust(
            f"twin-{number}",
            directory / f"twin-{number}",
            sockets / f"{number}.sock",  # a socket's path has at most 107 bytes
            people=_people(number),
            seed=number,
            marginals=marginals,
        )
        for number in range(1, count + 1)
    ]


def _names(trusts: list[SimulatedTrust]) -> dict[KeyId, str]:
    return {trust.key.key_id: trust.name for trust in trusts}


def _hub(
    notebook: Path,
    recorded: Rehearsal,
    point: Mapping[str, Scalar],
    rounds: int | None,
    trusts: list[SimulatedTrust],
    directory: Path,
    heard: Callable[[RoundSummary, Mapping[KeyId, str]], None],
) -> SimulatedHub:
    """A hub that has the bundle, sealed, and its initial weights."""
    researcher = SigningKey.generate()
    roster = _roster(researcher, trusts)
    bundle, values = _bundle(notebook, recorded, point, roster, rounds)
    names = _names(trusts)
    hub = SimulatedHub(
        secrets.token_hex(16),
        bundle,
        (seal(bundle, BUNDLE, researcher), seal(roster, ROSTER, researcher)),
        values,
        {trust.key.key_id: trust for trust in sorted(trusts, key=lambda trust: trust.key.key_id)},
        Blobs(directory / "blobs"),
        lambda summary: heard(summary, names),
    )
    hub.give(recorded.initial_weights, bundle.initial_weights)
    return hub


def _order(run: str, directory: Path) -> CoordinatorOrder:
    return CoordinatorOrder(
        hub_url="", audience="", ca="", key="", run=run, work_dir=str(directory), blobs=str(directory / "blobs")
    )


def _people(number: int) -> int:
    """Another size for each twin, the same each time."""
    import numpy as np

    return int(np.random.default_rng([17, number]).integers(_SMALLEST, _LARGEST + 1))


def _roster(researcher: SigningKey, trusts: list[SimulatedTrust]) -> Roster:
    return Roster(
        study="simulation",
        purpose="To rehearse on twins",
        researchers=(Researcher(name="The researcher", public_key=researcher.public_key),),
        trusts=tuple(Trust(name=t.name, title=t.name, public_key=t.key.public_key) for t in trusts),
    )


def _bundle(
    notebook: Path, recorded: Rehearsal, point: Mapping[str, Scalar], roster: Roster, rounds: int | None
) -> tuple[Bundle, dict[str, Scalar]]:
    """The bundle that would be sent, but for the simulated roster."""
    plan_file = read_plan(plan_path(notebook))
    frozen = freeze_notebook(notebook)
    space, values = fix_point(notebook_parameters(frozen), point)
    plan = plan_file.plan if rounds is None else plan_file.plan.model_copy(update={"rounds": rounds})
    now = datetime.now(UTC)
    count = len(roster.trusts)
    try:
        bundle = Bundle(
            study=roster.study,
            title=plan_file.title,
            membership=roster.digest(),
            trusts=tuple(sorted(roster.trust_keys())),
            minimum_trusts=min(plan_file.minimum_trusts or count, count),
            notebook=frozen,
            parameters=space,
            cohort=read_cohort(plan_file, notebook.parent),
            dataset=plan_file.dataset,
            split=plan_file.split,
            plan=plan,
            tensors=recorded.tensors,
            initial_weights=sha256(recorded.initial_weights.read_bytes()),
            outputs=plan_file.outputs,
            totals=plan_file.totals,
            environment=Environment(name="simulation", lock="0" * 64),
            not_before=now - timedelta(minutes=5),
            expires=now + timedelta(days=1),
        )
    except ValidationError as error:
        raise invalid(error, "The bundle") from None
    return bundle, values
