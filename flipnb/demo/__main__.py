"""``python -m flipnb.demo [lab]``: the main job; or the federation up and JupyterLab open on the tutorial."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.demo import federation, job
from flipnb.demo.narration import Narration

ROOT = Path(__file__).resolve().parents[2]


def run_demo() -> None:
    """Print the result and write it to ``build/demo/result.json``; no process is left."""
    directory = ROOT / "build" / "demo"
    federation.remove(directory)
    narration = Narration()
    try:
        with narration.stage("build", "A hub and four hospitals' enclaves, each with its own keys"):
            made = job.make(directory, narration, ROOT)
        result = job.main_job(made)
    finally:
        federation.down(directory)
    result["seconds"]["total"] = round(narration.elapsed, 2)
    (directory / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    _print_result(result, directory)


def run_lab() -> None:
    """The federation up, with the study joined and the estates filled; JupyterLab until it is closed."""
    directory = ROOT / "build" / "lab"
    narration = Narration()
    made = not (directory / "daemons.json").exists()
    if made:
        federation.remove(directory)
        with narration.stage("build", "A hub and four hospitals' enclaves"):
            current = job.make(directory, narration, ROOT)
        with narration.stage("fill", "Each hospital harmonises its own extract"):
            current.fill()
    try:
        with narration.stage("up", "Hub and enclaves start"):
            federation.up(directory, attached=True)
        if made:
            with narration.stage("join", "The study"):
                current.open_study()
        home = directory / "workbench"
        narration.say(f"In a terminal of JupyterLab, FLIP_HOME={home} is set. Close it with Ctrl-C.")
        lab = [sys.executable, "-m", "jupyter", "lab", str(ROOT / "notebooks" / "heart_disease.ipynb")]
        lab += ["--KernelManager.transport=ipc"]  # sockets of this user: over TCP, ipykernel warns in every notebook
        lab += ["--allow-root"] if os.geteuid() == 0 else []
        subprocess.run(lab, env={**os.environ, "FLIP_HOME": str(home)}, check=False)
    finally:
        federation.down(directory)


def _print_result(result: dict[str, Any], directory: Path) -> None:
    head = f"{'':12} {'train':>6} {'test':>6} {'federated':>10} {'pooled':>8} {'alone':>8}"
    print(f"\nAccuracy on each hospital's held-out third\n\n{head}\n{'-' * len(head)}")
    for name, t in result["trusts"].items():
        print(
            f"{name:12} {t['train_n']:6} {t['test_n']:6} {t['accuracy_federated']:10.3f} "
            f"{t['accuracy_pooled']:8.3f} {t['accuracy_alone']:8.3f}"
        )
    pooled = result["pooled_test"]
    train, test = (sum(t[key] for t in result["trusts"].values()) for key in ("train_n", "test_n"))
    print(f"{'together':12} {train:6} {test:6} {pooled['federated']:10.3f} {pooled['pooled']:8.3f}")
    print(
        f"\nfederated / pooled {pooled['ratio']:.3f} (split seed {result['seeds'][0]})"
        f"\nlargest difference from pooled gradient descent, after any round: {result['exactness']:.2e}"
        f"\n{result['rounds']} rounds, {result['seconds']['total']:.0f} s, bundle {result['bundle'][:16]}…"
        f"\n\nThe figures are in {directory / 'result.json'}; weights, metrics and records in {directory / 'results'};"
        f"\nthe hospitals' enclaves in {directory / 'enclaves'}."
        "\nExact sizes and the comparison come from the demo's own copy of the data."
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the main job, or with ``lab`` the federation and JupyterLab; 1 for a FlipError, 130 for an interrupt."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run_lab() if sys.argv[1:] == ["lab"] else run_demo()
    except FlipError as error:
        print(f"\nflip: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; no process is left.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
