"""All hard cases: ``PYTHONPATH=tests python -m dicom_cases.every_case FOLDER`` writes them with their answer key."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from pathlib import Path

from dicom_cases import (
    date_cases,
    document_cases,
    encoding_cases,
    graphic_cases,
    name_cases,
    private_cases,
    reference_cases,
    text_cases,
    uid_cases,
)
from dicom_cases.answer_key import CaseFile, write

MODULES = (
    name_cases, text_cases, date_cases, uid_cases, private_cases, document_cases, graphic_cases, encoding_cases,
    reference_cases,
)  # fmt: skip


@cache
def every_case() -> tuple[CaseFile, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says of each value that is not by the book that it is not
        return tuple(case for module in MODULES for case in module.cases())


if __name__ == "__main__":
    written = write(every_case(), Path(sys.argv[1]))
    print(f"{len(written)} files, {sum(len(case.answers) for case in written.values())} answers")
