"""The main job, end to end, as its people would do it: operator, researcher, and each hospital's data controller."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.run import RunView
from flipnb.demo import comparison, federation
from flipnb.demo.federation import Enclave, Federation
from flipnb.demo.hospitals import Hospital
from flipnb.demo.narration import Narration, Terminal
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.names import trust_titles
from flipnb.workbench.narrative import describe
from flipnb.workbench.results import fetch_results, fetch_round_weights
from flipnb.workbench.runs import follow, view_run

STUDY = "heart"
ROUNDS = 20
LR = 0.5
_EXACT_ROUNDS = 10


def lets_metrics_out(hospital: Hospital) -> bool:
    """In the demo, two of the four hospitals let their own numbers out, as policies differ in real life."""
    return hospital.name in ("cleveland", "hungary")


@dataclass
class Job:
    """One demo federation and the people at it."""

    federation: Federation
    narration: Narration
    notebook: Path

    def __post_init__(self) -> None:
        self.home = Home(self.federation.workbench)
        self.researcher = Terminal(self.narration, "researcher", {"FLIP_HOME": str(self.federation.workbench)})

    def fill(self) -> None:
        """Each hospital harmonises its extract into its own estate."""
        operator = Terminal(self.narration, "operator", {})
        for enclave in self.federation.enclaves:
            hospital = enclave.hospital
            estate = enclave.directory / "estate"
            report = operator.flip("estate", "load", hospital.extract, "--mapping", hospital.mapping, "--into", estate)
            self.narration.say(f"{hospital.title}: {report['people']} people, version {report['version']}")

    def open_study(self) -> None:
        """The researcher makes the study; each controller compares fingerprints and joins."""
        trusts = self.federation.directory / "trusts.json"
        listed = [enclave.trust().model_dump(mode="json") for enclave in self.federation.enclaves]
        trusts.write_text(json.dumps({"trusts": listed}, indent=2))
        about = ("--purpose", "Which patients have coronary artery disease?", "--institution", "Demo University")
        study = self.researcher.flip("study", "create", STUDY, *about, "--trusts", trusts)
        for enclave in self.federation.enclaves:
            self.controller(enclave).flip(
                "study", "join", study["file"], "--compared", study["roster"], *_signing(enclave)
            )

    def browse(self) -> list[dict[str, Any]]:
        """How many people are there, Trust by Trust, suppressed and rounded."""
        cohort = self.notebook.with_name("heart_disease.cohort.json")
        counts: list[dict[str, Any]] = self.researcher.flip("cohort", "count", cohort, "--study", STUDY)
        for item in counts:
            self.narration.say(f"{item['trust']}: {item['shown']} people")
        return counts

    def rehearse(self) -> None:
        """Rehearse the notebook on a twin, as the researcher."""
        found = self.researcher.flip("rehearse", self.notebook)
        tensors = ", ".join(f"{t['name']} {t['shape']}" for t in found["tensors"])
        self.narration.say(f"Rehearsed on a twin in {found['seconds']:.1f} s; tensors {tensors}")

    def submit(self, *extra: str) -> tuple[str, str]:
        """Send the notebook; returns the bundle's digest and the run's id."""
        sent = self.researcher.flip(
            "submit", self.notebook, "--study", STUDY, "--param", f"lr={LR}", "--rounds", str(ROUNDS), *extra
        )
        return sent["bundle"], sent["runs"][0]

    def again(self, bundle: str, *extra: str) -> str:
        """Another run of the same bundle at another point of its space."""
        sent = self.researcher.flip("submit", "--bundle", bundle, *extra)
        run: str = sent["runs"][0]
        return run

    def approve(self, bundle: str, executions: int) -> None:
        """Each data controller sees what waits and approves it; the demo plays them, aloud."""
        for enclave in self.federation.enclaves:
            terminal = self.controller(enclave)
            waiting = self._waiting(terminal, enclave, bundle)
            self.narration.say(
                f"The data controller of {enclave.hospital.title} reads {waiting['title']!r} by "
                f"{waiting['researcher']}, and approves {bundle[:16]}… for {executions} runs."
            )
            terminal.flip("enclave", "show", bundle, show=False)
            terminal.flip(
                "enclave", "approve", bundle, "--executions", str(executions), "--yes", *_signing(enclave), show=False
            )

    def train(self, run: str) -> RunView:
        """Follow a run to its end. Raises FlipError ``run-failed`` with the hub's reason."""
        begun = view_run(self.home, run)
        names = trust_titles(self.home, begun.study, begun.trusts)
        for event in follow(self.home, run):
            self.narration.say(describe(event, names))
        view = view_run(self.home, run)
        if view.state != "succeeded":
            raise FlipError("run-failed", f"Run {run} {view.state}: {view.reason or 'no reason was given'}")
        return view

    def bundle(self, digest: str) -> Bundle:
        """The bundle as the hub gives it to anyone of the study."""
        with HubClient.of(self.home) as hub:
            return parse(Bundle, envelope.peek(hub.get(f"/v1/bundles/{digest}"), "The bundle"), "The bundle")

    def results(self, run: str) -> tuple[Path, RunRecord]:
        """Fetch a finished run's results: the file of the final weights, and the record."""
        target = self.federation.directory / "results" / run[:8]
        found = fetch_results(self.home, run, target)
        return found.weights_file, found.record

    def exactness(self, record: RunRecord, copies: Mapping[str, comparison.Hospital]) -> float:
        """The largest difference between the global weights and pooled gradient descent, after any round."""
        trained = [summary for summary in record.rounds if summary.round > 1]
        lr, l2 = float(record.point["lr"]), float(record.point["l2"])
        path = comparison.pooled_path(dict(copies), rounds=len(trained), lr=lr, l2=l2)
        target = self.federation.directory / "results" / record.run[:8]
        distances = [
            comparison.weights_of(
                fetch_round_weights(self.home, record, summary.round, target / f"round-{summary.round}.safetensors")
            ).distance(path[summary.round - 1])
            for summary in trained
        ]
        return max(distances)

    def controller(self, enclave: Enclave) -> Terminal:
        """The terminal of a hospital's data controller, inside the enclave."""
        return Terminal(
            self.narration, f"controller, {enclave.hospital.title}", {"FLIP_ENCLAVE": str(enclave.directory)}
        )

    def _waiting(self, terminal: Terminal, enclave: Enclave, bundle: str) -> dict[str, Any]:
        """The request as the desk shows it; it arrives within moments of the submission."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for request in terminal.flip("enclave", "requests", "--all", show=False):
                if request["bundle"] != bundle:
                    continue
                if request["state"] == "refused":
                    raise FlipError("refused", f"{enclave.hospital.title} refuses the bundle: {request['reason']}")
                return dict(request)
            time.sleep(0.2)
        raise FlipError("not-arrived", f"The bundle did not arrive at {enclave.hospital.title}.")


def _signing(enclave: Enclave) -> tuple[str | Path, ...]:
    return "--passphrase-file", enclave.passphrase_file


def make(directory: Path, narration: Narration, root: Path) -> Job:
    """Build the federation's directories and keys. ``root`` is the project's directory."""
    made = federation.build(directory, root / "constraints.txt", per_trust_metrics=lets_metrics_out)
    return Job(made, narration, root / "notebooks" / "heart_disease.ipynb")


def main_job(job: Job) -> dict[str, Any]:
    """Everything, on a federation that was just made; leaves it up. Returns what goes into result.json."""
    narration = job.narration
    with narration.stage("fill", "Each hospital harmonises its own extract into OMOP"):
        job.fill()
    with narration.stage("up", "Hub and enclaves start"):
        federation.up(job.federation.directory, attached=True)
    with narration.stage("join", "A study: keys compared by people, pinned in each hospital"):
        job.open_study()
    with narration.stage("browse", "How many people are there?"):
        job.browse()
    with narration.stage("rehearse", "Rehearse the notebook on a twin"):
        job.rehearse()
    with narration.stage("submit", "Send it"):
        digest, run = job.submit()
    with narration.stage("approve", "Nothing runs that a person has not approved"):
        job.approve(digest, executions=2)
    with narration.stage("train", f"{ROUNDS} rounds in four enclaves"):
        job.train(run)
    with narration.stage("exact", "The same notebook with one step per round: is it pooled gradient descent?"):
        exact = job.again(digest, "--param", "local_steps=1", "--param", f"lr={LR}")
        job.train(exact)
    with narration.stage("compare", "Compare, on the demo's own copy of the data"):
        bundle = job.bundle(digest)
        copies = comparison.own_copy(bundle, job.federation.directory / "own-copy")
        weights, record = job.results(run)
        steps = ROUNDS * int(record.point["local_steps"])
        lr, l2 = float(record.point["lr"]), float(record.point["l2"])
        compared = comparison.compare(copies, comparison.weights_of(weights), steps=steps, lr=lr, l2=l2)
        exactness = job.exactness(job.results(exact)[1], copies)
    return {
        "seeds": [bundle.split.seed],
        **compared,
        "exactness": exactness,
        "rounds": ROUNDS,
        "seconds": {**narration.seconds, "total": round(narration.elapsed, 2)},
        "bundle": digest,
    }
