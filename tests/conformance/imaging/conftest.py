"""The hard cases, de-identified once for all tests of a worker, and one Orthanc for the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from dicom_cases.answer_key import BASIC, KEY, CaseFile, read, write
from dicom_cases.every_case import every_case
from dicom_cases.judge import Score, judge
from dicom_cases.outcomes import Outcome, deidentified, released
from dicom_cases.rivals import pydicom_files


@dataclass(frozen=True)
class Answered:
    """The cases' folder and key, where outputs lie, and what was said of each."""

    source: Path
    cases: dict[str, CaseFile]
    to: Path
    outcomes: list[Outcome]
    code: int
    printed: str

    @property
    def released(self) -> dict[str, Path]:
        return released(self.outcomes)


@pytest.fixture(scope="session")
def case_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "in"
    write(every_case(), folder)
    return folder


@pytest.fixture(scope="session")
def answered(case_folder: Path) -> Callable[[str], Answered]:
    """By policy."""

    @cache
    def run(policy: str) -> Answered:
        to = case_folder.parent / policy
        outcomes, code, printed = deidentified(case_folder, to, policy)
        return Answered(case_folder, read(case_folder.parent / f"in.{KEY}"), to, outcomes, code, printed)

    return run


@pytest.fixture(scope="session")
def score(answered: Callable[[str], Answered]) -> Callable[[str], Score]:
    """The judge's word by policy."""

    @cache
    def judged(policy: str) -> Score:
        told = answered(policy)
        return judge(told.cases.values(), told.released, policy)

    return judged


@pytest.fixture(scope="session")
def of_pydicom(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """pydicom's own test files under the basic policy: scanners of twenty makers, and some that are broken."""
    folder = tmp_path_factory.mktemp("pydicom")
    for path in pydicom_files():
        shutil.copy(path, folder / path.name)
    to = folder.parent / f"{folder.name}-basic"
    outcomes, code, printed = deidentified(folder, to, BASIC)
    return Answered(folder, {}, to, outcomes, code, printed)
