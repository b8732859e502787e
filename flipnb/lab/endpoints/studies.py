"""The researcher's studies and their Trusts."""

from __future__ import annotations

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line, Name
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench import studies
from flipnb.workbench.study_trusts import StudyTrust, study_trusts


class Study(Document):
    """``kept``: the roster is here, so that bundles can be made and counts be verified; else the hub alone knows it."""

    study: Name
    purpose: Line
    roster: Digest
    kept: bool


class StudyList(Document):
    """The studies of which the hub lets this researcher know."""

    studies: tuple[Study, ...]


class StudyTrusts(Document):
    """A study's Trusts, in the roster's order."""

    trusts: tuple[StudyTrust, ...]


@endpoint("GET", "studies", "studies")
def list_studies(bench: Bench) -> StudyList:
    """The studies in which this researcher has a part, by name."""
    found = studies.list_studies(bench.home)
    return StudyList(
        studies=tuple(
            Study(
                study=study["study"],
                purpose=study["purpose"],
                roster=study["roster"],
                kept=_kept(bench, study["study"], study["roster"]),
            )
            for study in found
        )
    )


@endpoint("GET", "studies/{study}/trusts", "studies")
def list_trusts(bench: Bench, study: Name) -> StudyTrusts:
    """The Trusts of a study: whether they are there, and what they say of themselves."""
    return StudyTrusts(trusts=study_trusts(bench.home, studies.read_roster(bench.home, study)))


def _kept(bench: Bench, study: str, roster: str) -> bool:
    try:
        return studies.read_roster(bench.home, study).digest() == roster
    except FlipError:
        return False
