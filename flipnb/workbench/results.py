"""What came of a run, a failed one too: weights verified by digest, numbers, totals, signed bundle, record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import FINAL_RUN_STATES, RoundSummary
from flipnb.contracts.total import RunTotals
from flipnb.files.whole import write
from flipnb.link.bulk import Progress
from flipnb.workbench.agreement import find_hold_outs
from flipnb.workbench.definition_files import write_definition
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.names import run_name, trust_titles
from flipnb.workbench.studies import read_roster
from flipnb.workbench.trust_cards import packages_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

WEIGHTS = "weights.safetensors"
RECORD = "record.json"
METRICS = "metrics.csv"
TOTALS = "totals.json"
BUNDLE = "bundle.dsse"
PACKAGES = "packages.txt"
DEFINITION = "definition"


@dataclass(frozen=True)
class Results:
    """The files of one run in ``directory``.

    ``weights.safetensors`` (the final ones; not of a run that has none), ``metrics.csv``, ``totals.json``,
    ``record.json``, ``bundle.dsse`` (as it was signed), ``definition/`` (its notebook, plan and cohort as files),
    ``packages.txt`` (what the Trusts' environment holds). ``record`` says what a reader needs to believe or repeat the
    run; ``titles`` are the Trusts' titles by key; ``home`` is whose results they are, None for a folder alone.
    """

    directory: Path
    record: RunRecord
    titles: dict[str, str] = field(default_factory=dict)
    home: Home | None = None

    @property
    def name(self) -> str:
        """What the run is called everywhere: "Coronary artery disease · lr 0.5"."""
        return run_name(self.record)

    @property
    def reason(self) -> str | None:
        """Why the run ended before its end; None for a run that succeeded."""
        return None if self.record.state == "succeeded" else self.record.reason or f"The run {self.record.state}."

    @property
    def weights_file(self) -> Path:
        """The file of the final global weights, for ``safetensors.torch.load_file`` and the like.

        Raises FlipError ``no-weights`` where the run has none.
        """
        if self.record.final_weights is None:
            raise FlipError(
                "no-weights",
                f"The run {self.record.state} and has no final weights. {self.record.reason or ''}".rstrip(),
                remedy="`weights(round=N)` gives those that a finished round began with.",
                status=409,
            )
        return self.directory / WEIGHTS

    def weights(self, round: int | None = None) -> dict[str, npt.NDArray[np.generic]]:
        """Global weights by tensor name, as NumPy arrays in the shapes and dtypes of the notebook's model.

        The final ones, or those that ``round`` began with, which are fetched once. Raises FlipError ``no-weights``,
        ``no-round``.
        """
        from safetensors.numpy import load_file

        arrays: dict[str, Any] = load_file(self.weights_file if round is None else self._of_round(round))
        return arrays

    def metrics(self) -> pd.DataFrame:
        """One row per round and Trust; Trust ``(all)`` is the average over the members.

        With a consensus rule ``(all)`` has ``votes`` of ``voters``, and a Trust whose policy lets it out ``agreement``.
        The last rows, whose ``training`` is False, are of the final model: evaluated once, after the last round.
        """
        import pandas as pd

        return pd.DataFrame([row for summary in self.record.rounds for row in self._rows(summary)])

    def curves(self) -> pd.DataFrame:
        """``metrics()`` of the training rounds: what a curve over the rounds is drawn of."""
        table = self.metrics()
        return table[table["training"]].drop(columns="training") if len(table) else table

    def final(self) -> pd.DataFrame:
        """The final model's numbers, a row per Trust (the index): no point of the curves. Empty before there are."""
        table = self.metrics()
        if not len(table) or table["training"].all():
            return table.iloc[:0]
        last = table[~table["training"].astype(bool)].drop(columns=["training", "round"])
        return last.dropna(axis="columns", how="all").set_index("trust")

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle, out of its signed bytes. Raises FlipError ``no-file`` for results of an earlier version."""
        try:
            sealed = (self.directory / BUNDLE).read_bytes()
        except FileNotFoundError:
            raise FlipError(
                "no-file", f"{self.directory} has no {BUNDLE}.", remedy="Fetch the results again."
            ) from None
        payload = envelope.peek(sealed, "The bundle")
        return Bundle.model_validate_json(payload)

    def totals(self) -> dict[str, npt.NDArray[np.float64]]:
        """The sums that ``flip.total`` gave, by the arrays' names, float64 in their declared shapes."""
        import numpy as np

        try:
            kept = json.loads((self.directory / TOTALS).read_text())
        except FileNotFoundError:
            return {}
        return {name: np.asarray(values, dtype=np.float64) for name, values in kept.items()}

    def packages(self) -> dict[str, str]:
        """Versions of what the run's environment holds, by distribution, as the Trusts' cards say; torch's for one."""
        try:
            lines = (self.directory / PACKAGES).read_text().split()
        except FileNotFoundError:
            return {}
        return dict(line.split("==", 1) for line in lines)

    def files(self) -> list[Path]:
        """What lies in the folder, sorted."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def _rows(self, summary: RoundSummary) -> list[dict[str, Any]]:
        base = {"round": summary.round, "training": summary.training}
        votes = {} if summary.votes is None else {"votes": summary.votes, "voters": summary.voters}
        rows: list[dict[str, Any]] = [{**base, "trust": "(all)", **summary.metrics, **votes}]
        for key in sorted({*summary.trust_metrics, *summary.agreements}, key=self._title):
            numbers = dict(summary.trust_metrics.get(key, {}))
            if key in summary.agreements:
                numbers["agreement"] = summary.agreements[key]
            rows.append({**base, "trust": self._title(key), **numbers})
        return rows

    def _title(self, key: str) -> str:
        return self.titles.get(key) or self.record.members.get(key, key[:12])

    def _of_round(self, number: int) -> Path:
        file = self.directory / f"round-{number}.safetensors"
        return file if file.exists() else fetch_round_weights(self.home or Home.find(), self.record, number, file)

    def agreement(self) -> pd.DataFrame:
        """One row per round with a vote: ``votes`` of ``voters``, the figure ``needed``, and who ``holds_out``.

        A Trust is named with its figure where its policy lets that out; of others only their number is told. No rows
        without a consensus rule.
        """
        import pandas as pd

        rows = []
        for summary in self.record.rounds:
            rule = self.record.consensus
            found = find_hold_outs(summary, rule) if rule is not None else None
            if rule is not None and found is not None:
                who = found.describe(self.record.members)
                rows.append((summary.round, summary.votes, summary.voters, rule.threshold, who))
        return pd.DataFrame(rows, columns=["round", "votes", "voters", "needed", "holds_out"])


def fetch_results(home: Home, run: str, directory: Path, progress: Progress | None = None) -> Results:
    """Download into ``directory``, verified by digest; what came of a download that ended early is not fetched again.

    Of a run that failed or was stopped, what there is. ``progress`` hears of the weights' bytes that are here, and of
    bytes in all; what it raises stops the download. Raises FlipError ``not-finished`` where the run goes on,
    ``being-fetched`` while another process fetches into the same directory, ``wrong-bundle`` where the hub's bundle is
    not the one that the record names.
    """
    with HubClient.of(home) as hub:
        record = _record(hub, run)
        if record.state not in FINAL_RUN_STATES:
            raise FlipError(
                "not-finished",
                f"Run {run} is {record.state} and has no results yet.",
                remedy="`flip runs RUN` shows what it waits for.",
                status=409,
            )
        directory.mkdir(parents=True, exist_ok=True)
        if record.final_weights is not None:
            hub.save_blob(record.final_weights, directory / WEIGHTS, progress)
        sealed = hub.get(f"/v1/bundles/{record.bundle}")
        bundle = _verified(home, record, sealed)
        totals = RunTotals.model_validate_json(hub.get(f"/v1/runs/{run}/totals"))
        packages = packages_of(home, hub, record)
        write(directory / BUNDLE, sealed)
        write_definition(hub, bundle, directory / DEFINITION)
    _write_totals(directory / TOTALS, bundle, totals)
    if packages:
        lines = "".join(f"{name}=={release}\n" for name, release in packages.items())
        (directory / PACKAGES).write_text(lines)
    (directory / RECORD).write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n")
    results = Results(directory, record, trust_titles(home, record.study), home)
    results.metrics().to_csv(directory / METRICS, index=False)
    return results


def open_results(home: Home, directory: Path) -> Results | None:
    """Results that were fetched into ``directory`` before, without the hub; None where there are none."""
    try:
        record = RunRecord.model_validate_json((directory / RECORD).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return Results(directory, record, trust_titles(home, record.study), home)


def results_of(home: Home, run: str, directory: Path, progress: Progress | None = None) -> Results:
    """``fetch_results``; where the hub can't be reached, what was fetched into ``directory`` before."""
    try:
        return fetch_results(home, run, directory, progress)
    except FlipError as error:
        kept = open_results(home, directory) if error.code == "hub-unreachable" else None
        if kept is None or kept.record.run != run:
            raise
        return kept


def fetch_round_weights(home: Home, record: RunRecord, number: int, file: Path) -> Path:
    """The global weights that round ``number`` began with: those after the round before. FlipError ``no-round``."""
    for summary in record.rounds:
        if summary.round == number:
            with HubClient.of(home) as hub:
                hub.save_blob(summary.weights, file)
            return file
    done = len(record.rounds)
    raise FlipError(
        "no-round",
        f"Run {record.run} has no finished round {number}.",
        remedy=f"Name one from 1 to {done}." if done else "No round of it was finished.",
    )


def fetch_weights(home: Home, run: str, file: Path, number: int | None = None) -> Path:
    """A run's final global weights, or those that round ``number`` began with, into ``file``.

    Raises FlipError ``no-weights``, ``no-round``.
    """
    with HubClient.of(home) as hub:
        record = _record(hub, run)
    file.parent.mkdir(parents=True, exist_ok=True)
    if number is not None:
        return fetch_round_weights(home, record, number, file)
    if record.final_weights is None:
        raise FlipError(
            "no-weights",
            f"Run {run} is {record.state} and has no final weights.",
            remedy="Name a finished round with --round.",
            status=409,
        )
    with HubClient.of(home) as hub:
        hub.save_blob(record.final_weights, file)
    return file


def _record(hub: HubClient, run: str) -> RunRecord:
    return RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record"))


def _verified(home: Home, record: RunRecord, sealed: bytes) -> Bundle:
    """The bundle that the record names, signed by a researcher of the roster that is kept here, if it is."""
    try:
        keys = read_roster(home, record.study).researcher_keys()
    except FlipError:
        keys = {home.key.key_id: home.key.public_key}
    opened = envelope.unseal(sealed, envelope.BUNDLE, keys, "The bundle")
    if opened.digest != record.bundle:
        raise FlipError("wrong-bundle", f"The hub gives another bundle than {record.bundle[:12]}….", status=502)
    return opened.parse(Bundle, "The bundle")


def _write_totals(file: Path, bundle: Bundle, totals: RunTotals) -> None:
    """Sums as nested lists of numbers, by the arrays' names; no file where the plan declares none."""
    found: dict[str, Any] = {}
    for summed in totals.sums:
        step = bundle.totals[summed.context.step - 1]
        flat = step.restore(summed.values)
        found |= {array.name: _nested(flat[array.name], array.shape) for array in step.arrays}
    if bundle.totals:
        file.write_text(json.dumps(found, indent=1) + "\n")


def _nested(flat: list[float], shape: tuple[int, ...]) -> Any:
    """Elements in C order as nested lists of a shape; a number where that has no dimension."""
    import numpy as np

    return np.asarray(flat, dtype=np.float64).reshape(shape).tolist()
