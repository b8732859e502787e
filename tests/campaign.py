"""``make campaign``: what takes too long for every change. What was found is added to docs/campaign.md.

Faults on seven Trusts; the published attacks on counts, game by game; image files that were tampered with; random
cohorts, rows and steps from new seeds; and the estate on every PostgreSQL that is installed. Ends with exit code 1
where a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil
from dicom_cases.hostile import hammered
from disclosure_attacks import games, make_worlds, play
from postgresql_server import VERSION, installed

from flipnb.contracts.policy import CountPolicy

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "docs" / "campaign.md"
_ATTACKED = CountPolicy(noise=2, rounding=1, budget=8, budget_per_study=4)
"""A 25th of the default's noise² and budget: the same bounds with fewer questions, without rounding."""
_ON_SERVERS = ("tests/integration/test_estate_postgresql.py", "tests/integration/estate", "tests/unit/estate")


class Failed(Exception):
    """A part that did not find what it should have; its text is the figure."""


def faults(count: int, seed: int) -> str:
    told = ROOT / "build" / "campaign-faults.json"
    told.unlink(missing_ok=True)
    asked = [f"--faults={count}", f"--seed={seed}", f"--json={told}"]
    command = [sys.executable, "tests/faults/fault_campaign.py", *asked]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode and not told.exists():
        raise Failed(f"the campaign of {count} faults, seed {seed}, did not end")
    struck = json.loads(told.read_text())
    seconds = [one["seconds"] for one in struck]
    found = (
        f"{sum(one['same'] for one in struck)} of {len(struck)} with the undisturbed run's weights, seed {seed}; "
        f"recovered after {median(seconds):.1f} s (median), {max(seconds):.1f} s (longest)"
    )
    if done.returncode:
        raise Failed(found)
    return found


def attacks(count: int, seed: int) -> str:
    over, closest = [], -1.0
    with tempfile.TemporaryDirectory() as directory:
        worlds = make_worlds(Path(directory))
        played = games(_ATTACKED, repeats=60, rewords=60)
        for game in played:
            outcome = play(game, _ATTACKED, worlds, n=count, n_without=60, seed=seed)
            print(f"{game.name}: {outcome}", flush=True)
            closest = max(closest, outcome.ours - outcome.bound)
            # Of fifteen attacks, one passes two standard errors by chance every now and then.
            if outcome.ours > outcome.bound + 2 * outcome.slack:
                over.append(f"{game.name}: {outcome.ours:.2f} right, bound {outcome.bound:.2f}")
    if over:
        raise Failed("; ".join(over))
    return (
        f"{len(played)} attacks, {count} games each, seed {seed}: right guesses are {closest:+.3f} from a bound at most"
    )


def hostile_images(count: int, seed: int) -> str:
    """Files with lengths, tags and VRs that lie: each answered or refused, in memory of twice its size."""
    states, wrong = hammered(count, seed)
    if wrong:
        raise Failed(f"{len(wrong)} of {count} files from {seed}: {'; '.join(wrong[:5])}")
    kinds = ", ".join(f"{state} {number}" for state, number in states.most_common(6))
    return f"{count} files by two policies, seed {seed}: {kinds}"


def random_input(seeds: int, seed: int) -> str:
    """Every test by hypothesis, from other seeds than any before."""
    passed = 0
    for number in range(seed, seed + seeds):
        passed += _passed("-m", "hypothesis", f"--hypothesis-seed={number}", "tests/unit", "tests/conformance")
    return f"{passed} tests of random input passed, {seeds} seeds from {seed}"


def servers() -> str:
    versions = installed()
    passed = sum(
        _passed("-k", "postgresql or test_cohort_properties", *_ON_SERVERS, **{VERSION: version})
        for version in versions
    )
    return f"{passed} tests passed on PostgreSQL {', '.join(versions)}"


def _passed(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "--quiet", "--numprocesses=2", "--dist=loadfile", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, flush=True)
    counted = re.search(r"(\d+) passed", done.stdout)
    if done.returncode or counted is None:
        last = (done.stdout.splitlines() or ["nothing"])[-1]
        raise Failed(f"pytest {' '.join(arguments)}: {last}")
    return int(counted[1])


def commit() -> str:
    """The commit's short name, with a plus where the tree has other changes."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = [line for line in git("status", "--porcelain").splitlines() if not line.endswith("docs/campaign.md")]
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def machine() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = psutil.virtual_memory().total / (1 << 30)
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    load = os.getloadavg()[2]
    return (
        f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), {memory:.0f} GB, {system}, "
        f"Python {platform.python_version()}; load before {load:.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make campaign", description="What is long and not for every change.")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--games", type=int, default=400)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    asked = parser.parse_args()
    parts: dict[str, Callable[[], str]] = {
        "faults": lambda: faults(asked.faults, asked.seed),
        "attacks on counts": lambda: attacks(asked.games, asked.seed),
        "hostile images": lambda: hostile_images(asked.images, asked.seed),
        "random input": lambda: random_input(asked.seeds, asked.seed),
        "servers": servers,
    }
    lines = ["", f"## {datetime.now(UTC):%Y-%m-%d}, {commit()}", "", f"{machine()}.", ""]
    lines += ["| part | found | minutes |", "|---|---|---|"]
    failed = False
    for name, part in parts.items():
        began = time.monotonic()
        try:
            found = part()
        except Failed as error:
            failed, found = True, f"**failed**: {error}"
        lines.append(f"| {name} | {found} | {(time.monotonic() - began) / 60:.1f} |")
        print(lines[-1], flush=True)
    with NOTES.open("a") as notes:
        notes.write("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
