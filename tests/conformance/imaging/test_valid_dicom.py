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

pytestmark = pytest.mark.slow

JUSTIFIED = {
    (
        "empty_charset_LEI.dcm",
        "MediaStorageSOP",
    ): "no SOP class, and ours writes meta information all the same",
    ("name_in_ae.dcm", "Patient's Name"): "the VR was wrong before, and the name fitted into it",
    ("name_outside_the_table_ImageType.dcm", "<ImageType>"): "its third value was a name",
    ("presentation_state.dcm", "<PresentationCreation"): "the table's own row says X, whatever the type",
}
"""Errors that may be new, by file and a part of their text, each with its reason."""

_UNREAD = ("read failed", "Tags out of order", "Information Object Not found")
"""Where the validator did not come to an input's end it cannot say which errors are new."""


def _errors(path: Path) -> Counter[str]:
    """Without the values in them, which differ."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=60)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return Counter(re.sub(r"= <.*?>|= '.*|\b0\b|\d+(\.\d+)+", "…", line) for line in lines if line.startswith("Error"))


def _new_errors(source: Path, outputs: dict[str, Path]) -> dict[str, list[str]]:
    """The files of each error."""
    found: dict[str, list[str]] = {}
    for name, output in outputs.items():
        before = _errors(source / name)
        if any(word in error for error in before for word in _UNREAD):
            continue
        for error in set(_errors(output)) - set(before):
            if not _is_justified(name, error):
                found.setdefault(error, []).append(name)
    return found


def _is_justified(name: str, error: str) -> bool:
    return any(file == name and words in error for file, words in JUSTIFIED)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_error_is_new_in_the_hard_cases(answered, policy):
    told = answered(policy)
    assert _new_errors(told.source, told.released) == {}


def test_no_error_is_new_in_pydicoms_files(of_pydicom):
    assert _new_errors(of_pydicom.source, of_pydicom.released) == {}


def test_the_validator_finds_what_is_missing(case_folder, tmp_path):
    """It is no judge that never objects: a file without its SOP instance UID has a new error."""
    import pydicom

    ds = pydicom.dcmread(case_folder / "slice_1.dcm")
    del ds.Modality
    ds.save_as(tmp_path / "slice_1.dcm")
    assert _new_errors(case_folder, {"slice_1.dcm": tmp_path / "slice_1.dcm"})
