"""What a hostile kernel can do with the memory that it is lent, where no control group counts it; and with the
descriptors that bring it. Broker, runner and kernel are real, and all of one ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from drive_runner import MIB, ORDINARY_UID

from flipnb.enclave.sandbox.jail import RUNTIME, Bind, spawn

pytestmark = pytest.mark.timeout(120)
TESTS = Path(__file__).resolve().parents[2]


def attacked(how: str) -> dict[str, Any]:
    inside = RUNTIME / "tests"
    process = spawn(
        [sys.executable, "-P", str(inside / "attack" / "enclave" / "drive_leases.py"), how],
        uid=ORDINARY_UID if os.geteuid() == 0 else None,
        visible=[Bind(TESTS, inside)],
        environment={"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, inside, inside / "attack" / "enclave")))},
        stdout=subprocess.PIPE,
        stderr=None,
    )
    output, _ = process.communicate(timeout=110)
    return json.loads(output)


def test_leases_count_against_the_memory_limit() -> None:
    """Eight leases of 256 MiB, each filled and kept, under a limit of 512; and one beside memory of its own."""
    results = attacked("memory")
    hoard, beside = results["hoard"], results["beside"]
    assert (hoard["outcome"], hoard["text"]) == ("finished", "9\n")
    assert 256 * MIB <= hoard["most"] <= 260 * MIB
    assert (beside["class"], beside["reason"]) == ("OutOfMemory", "memory")


def test_descriptors_in_flight_keep_no_other_run_from_its_leases() -> None:
    results = attacked("in-flight")
    # The limit with which processes start lets the attack work.
    assert results == {"before": 0, "after": 49}
