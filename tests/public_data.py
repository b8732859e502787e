"""Public data that some tests read: where they are published, under which licence, and every file's SHA-256.

``FLIP_TEST_DATA=DIR`` says where a copy lies; ``python tests/public_data.py DIR`` says what it lacks, for curl.
Where a file is not there, the tests that read it are skipped by name; another file in its place is an error.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PLACE = "FLIP_TEST_DATA"
MANIFEST = Path(__file__).with_suffix(".sha256")
"""As ``sha256sum --check`` reads it, in the copy's directory."""


@dataclass(frozen=True)
class PublicData:
    """One set: a folder of the copy. ``address`` gives that of a file by its name."""

    folder: str
    title: str
    licence: str
    address: Callable[[str], str]

    def names(self) -> list[str]:
        """The noted files, whether they are there or not."""
        return [name for folder, _, name in (path.partition("/") for path in noted()) if folder == self.folder]

    def is_there(self) -> bool:
        """Whether every file is there; fails the test where one is not as noted."""
        place = copy()
        return place is not None and _missing(self, place) is None

    def directory(self) -> Path:
        """The folder, all of its files as noted. Skips the test where one is missing."""
        place = copy()
        if place is None:
            pytest.skip(f"public data: {self.folder} is not here, {PLACE} is not set")
        if missing := _missing(self, place):
            pytest.skip(f"public data: {place} has no {missing}")
        return place / self.folder

    def file(self, name: str) -> Path:
        return self.directory() / name


@cache
def _missing(data: PublicData, place: Path) -> str | None:
    """The first of the files that is not there; fails the test where one is not as noted, or is there besides."""
    folder, names, absent = place / data.folder, data.names(), None
    for name in names:
        path = folder / name
        if not path.is_file():
            absent = absent or f"{data.folder}/{name}"
            continue
        found, expected = hashlib.sha256(path.read_bytes()).hexdigest(), noted()[f"{data.folder}/{name}"]
        if found != expected:
            pytest.fail(f"public data: {path} has the SHA-256 {found} instead of {expected}", pytrace=False)
    if absent is None and (more := {path.name for path in folder.iterdir()} - {*names}):
        pytest.fail(f"public data: {folder / min(more)} is there, too, and is not noted", pytrace=False)
    return absent


def _of_github(repository: str, version: str, path: str) -> Callable[[str], str]:
    return lambda name: f"https://raw.githubusercontent.com/{repository}/{version}/{path}/{name}"


def _of_phenotypes(name: str) -> str:
    folder = "inst/sql/sql_server" if name.endswith(".sql") else "inst/cohorts"
    return _of_github("OHDSI/PhenotypeLibrary", "v3.37.0", folder)(name)


SYNTHEA = PublicData(
    "omop-synthea27nj",
    "28 synthetic people in OMOP CDM 5.4, of OHDSI's EunomiaDatasets",
    "Apache-2.0, vocabulary terms apart",
    _of_github("OHDSI/EunomiaDatasets", "main", "datasets/Synthea27Nj"),
)
FHIR_R4 = PublicData(
    "fhir-r4",
    "bundles of 7 synthetic patients, of smart-on-fhir's generated-sample-data",
    "Apache-2.0",
    _of_github("smart-on-fhir/generated-sample-data", "master", "R4/SYNTHEA"),
)
PHENOTYPES = PublicData(
    "phenotypes", "59 cohort definitions of OHDSI's PhenotypeLibrary 3.37.0", "Apache-2.0", _of_phenotypes
)
SQL_ON_FHIR = PublicData(
    "sql-on-fhir",
    "the official tests of SQL on FHIR 2",
    "MIT",
    _of_github("FHIR/sql-on-fhir-v2", "master", "tests"),
)
ALL = (SYNTHEA, FHIR_R4, PHENOTYPES, SQL_ON_FHIR)


def synthea() -> Path:
    """The archive of the 28 people's tables."""
    return SYNTHEA.file("Synthea27Nj_5.4.zip")


def copy() -> Path | None:
    """Where the copy lies, if anywhere."""
    return Path(os.environ[PLACE]).resolve() if os.environ.get(PLACE) else None


@cache
def noted() -> dict[str, str]:
    """Path below the copy → SHA-256, of every file."""
    lines = (line.split("  ", 1) for line in MANIFEST.read_text().splitlines())
    return {path: sha256 for sha256, path in lines}


def to_fetch(place: Path) -> str:
    """What ``curl --config`` wants to hear to fetch what is missing."""
    return "create-dirs\nfail\nlocation\n" + "".join(
        f'# {data.folder}: {data.title} ({data.licence})\nurl = "{data.address(name)}"\noutput = "{path}"\n'
        for data in ALL
        for name in data.names()
        if not (path := place / data.folder / name).is_file()
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python tests/public_data.py DIR | curl --parallel --config -")
    print(to_fetch(Path(sys.argv[1]).resolve()), end="")
