"""``python -m flipnb.demo [lab | desk HOSPITAL]``: the main job; the federation with JupyterLab; a hospital's desk."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.demo import federation, job, lab
from flipnb.demo.federation import Federation
from flipnb.demo.narration import Narration
from flipnb.demo.notebook_copies import copy_notebooks

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


def run_lab(arguments: Sequence[str] = ()) -> None:
    """The federation up, with the study joined and the estates filled; JupyterLab on the tour until it is closed.

    ``arguments`` are JupyterLab's own, for example ``--no-browser``.
    """
    directory = ROOT / "build" / "lab"
    narration = Narration()
    unfinished = directory.with_name("lab.unfinished")
    made = unfinished.exists() or not (directory / "daemons.json").exists()
    if made:
        if not federation.status(directory)["up"]:
            federation.remove(directory)
        unfinished.parent.mkdir(exist_ok=True)
        unfinished.write_text("The federation in lab/ has no study yet: `make lab` makes it anew.\n")
        with narration.stage("build", "A hub and four hospitals' enclaves"):
            current = job.make(directory, narration, ROOT)
        with narration.stage("fill", "Each hospital harmonises its own extract"):
            current.fill()
    with ExitStack() as opened:
        opened.callback(federation.down, directory)
        with narration.stage("up", "Hub and enclaves start"):
            federation.up(directory, attached=True)
        if made:
            with narration.stage("join", "The study"):
                current.open_study()
            unfinished.unlink()
        with narration.stage("lab", "JupyterLab starts"):
            copied = copy_notebooks(ROOT / "notebooks", ROOT / "build" / "notebooks")
            narration.say(copied.describe())
            everything = Federation(directory)
            jupyter = opened.enter_context(lab.researcher_lab(everything, copied.folder, arguments))
        print(f"\n{lab.describe(everything, jupyter.address, Path.cwd())}", flush=True)
        jupyter.process.wait()


def run_desk(name: str, arguments: Sequence[str] = ()) -> None:
    """The desk of one hospital of ``make lab``, until it is closed. Raises FlipError ``not-built``, ``no-trust``."""
    everything = Federation(ROOT / "build" / "lab")
    enclave = lab.find_enclave(everything, name)
    if not federation.status(everything.directory)["up"]:
        raise FlipError(
            "not-up", "The demo is not up.", remedy="Run `make lab` in another terminal, and leave it open."
        )
    with lab.desk_lab(everything, enclave, arguments) as desk:
        print(
            f"The desk of {enclave.hospital.title}:\n  {desk.address}\n"
            f"Its data controller's passphrase is in {os.path.relpath(enclave.passphrase_file)}. Ctrl-C closes it.",
            flush=True,
        )
        desk.process.wait()


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
    """Run what the arguments name; 1 for a FlipError, 2 for what is no face of the demo, 130 for an interrupt."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        match sys.argv[1:]:
            case [*_, "-h" | "--help"]:
                print(__doc__)
            case []:
                run_demo()
            case ["lab", *arguments]:
                run_lab(arguments)
            case ["desk", name, *arguments]:
                run_desk(name, arguments)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except FlipError as error:
        print(f"\nflip: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; no process is left.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
