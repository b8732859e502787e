"""A finished run's results: weights verified by digest, metrics per round, the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.link.bulk import Progress
from flipnb.workbench.agreement import find_hold_outs
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

WEIGHTS = "weights.safetensors"
RECORD = "record.json"
METRICS = "metrics.csv"


@dataclass(frozen=True)
class Results:
    """The files of one run in ``directory``: ``weights.safetensors``, ``record.json``, ``metrics.csv``.

    ``record`` says what a reader needs to believe or repeat the run.
    """

    directory: Path
    record: RunRecord

    @property
    def weights_file(self) -> Path:
        """The file of the final global weights, for ``safetensors.torch.load_file`` and the like."""
        return self.directory / WEIGHTS

    def weights(self) -> dict[str, npt.NDArray[np.generic]]:
        """The final global weights by tensor name, as NumPy arrays in the shapes and dtypes of the notebook's model."""
        from safetensors.numpy import load_file

        arrays: dict[str, Any] = load_file(self.weights_file)
        return arrays

    def metrics(self) -> pd.DataFrame:
        """One row per round and Trust; Trust ``(all)`` is the average over the members.

        With a consensus rule ``(all)`` has ``votes`` of ``voters``, and a Trust whose policy lets it out ``agreement``.
        """
        import pandas as pd

        rows = []
        for summary in self.record.rounds:
            base = {"round": summary.round, "training": summary.training}
            votes = {} if summary.votes is None else {"votes": summary.votes, "voters": summary.voters}
            rows.append({**base, "trust": "(all)", **summary.metrics, **votes})
            for key in sorted({*summary.trust_metrics, *summary.agreements}):
                numbers = dict(summary.trust_metrics.get(key, {}))
                if key in summary.agreements:
                    numbers["agreement"] = summary.agreements[key]
                rows.append({**base, "trust": self.record.members.get(key, key[:12]), **numbers})
        return pd.DataFrame(rows)

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

    ``progress`` hears of the weights' bytes that are here, and of bytes in all; what it raises stops the download.
    Raises FlipError ``not-finished`` where the run has no final weights, ``being-fetched`` while another process
    fetches into the same directory.
    """
    with HubClient.of(home) as hub:
        record = RunRecord.model_validate_json(hub.get(f"/v1/runs/{run}/record"))
        if record.final_weights is None:
            raise FlipError("not-finished", f"Run {run} is {record.state} and has no final weights.", status=409)
        directory.mkdir(parents=True, exist_ok=True)
        hub.save_blob(record.final_weights, directory / WEIGHTS, progress)
    (directory / RECORD).write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n")
    results = Results(directory, record)
    results.metrics().to_csv(directory / METRICS, index=False)
    return results


def fetch_round_weights(home: Home, record: RunRecord, number: int, file: Path) -> Path:
    """The global weights that round ``number`` began with."""
    for summary in record.rounds:
        if summary.round == number:
            with HubClient.of(home) as hub:
                hub.save_blob(summary.weights, file)
            return file
    raise FlipError("no-round", f"Run {record.run} has no finished round {number}.")
