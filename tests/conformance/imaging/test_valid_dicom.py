"""dciodvfy (dicom3tools) finds no error in an output that its input had not.

dicom-validator would be a second judge: it reads the standard's DocBook files, which its wheel does not bring and
which it fetches from NEMA's server when it starts; without that server it cannot run, so it is not among the tests.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from dicom_cases.answer_key import POLICIES
from dicom_cases.outcomes import released

pytestmark = pytest.mark.slow

JUSTIFIED: dict[str, str] = {}
"""Errors that may be new, by a part of their text, each with its reason."""


def _errors(path: Path) -> Counter[str]:
    """Without the values in them, which differ."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return Counter(re.sub(r"= <.*?>|\d[\d.]{9,}", "…", line) for line in lines if line.startswith("Error"))


def _new_errors(source: Path, outputs: dict[str, Path]) -> list[str]:
    return [
        f"{name}: {error}"
        for name, output in outputs.items()
        for error in set(_errors(output)) - set(_errors(source / name))
        if not any(known in error for known in JUSTIFIED)
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_no_error_is_new_in_the_hard_cases(answered, policy):
    told = answered(policy)
    found = _new_errors(told.source, released(told.outcomes))
    assert found == [], f"{len(found)} new errors"


def test_no_error_is_new_in_pydicoms_files(of_pydicom):
    found = _new_errors(of_pydicom.source, released(of_pydicom.outcomes))
    assert found == [], f"{len(found)} new errors"


def test_the_validator_finds_what_is_missing(case_folder, tmp_path):
    """It is no judge that never objects: a file without its SOP instance UID has a new error."""
    import pydicom

    ds = pydicom.dcmread(case_folder / "slice_1.dcm")
    del ds.Modality
    ds.save_as(tmp_path / "slice_1.dcm")
    assert _new_errors(case_folder, {"slice_1.dcm": tmp_path / "slice_1.dcm"})
