"""The researcher's studies and their Trusts."""

from __future__ import annotations

from flipnb.contracts.document import Digest, Document
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line, Name
from flipnb.workbench import studies
from flipnb.workbench.lab.bench import Bench
from flipnb.workbench.lab.endpoint import endpoint


class StudyTrust(Document):
    """A Trust of the roster that this researcher keeps; ``joined``: the hub has its word that it takes part."""

    key: KeyId
    name: Name
    title: Line
    joined: bool


class Study(Document):
    """``kept``: the roster is here, so that bundles can be made and counts be verified; else the hub alone knows it."""

    study: Name
    purpose: Line
    roster: Digest
    kept: bool
    trusts: tuple[StudyTrust, ...]


class StudyList(Document):
    studies: tuple[Study, ...]


@endpoint("GET", "studies", "studies")
def list_studies(bench: Bench) -> StudyList:
    """The studies in which this researcher has a part, by name."""
    return StudyList(studies=tuple(_study(bench, found) for found in studies.list_studies(bench.home)))


def _study(bench: Bench, found: dict[str, object]) -> Study:
    name, joined = str(found["study"]), found["joined"]
    try:
        roster = studies.read_roster(bench.home, name)
    except FlipError:
        trusts: tuple[StudyTrust, ...] = ()
        kept = False
    else:
        kept = roster.digest() == found["roster"]
        trusts = tuple(
            StudyTrust(
                key=trust.key_id,
                name=trust.name,
                title=trust.title,
                joined=isinstance(joined, list) and trust.key_id in joined,
            )
            for trust in roster.trusts
        )
    return Study(study=name, purpose=str(found["purpose"]), roster=str(found["roster"]), kept=kept, trusts=trusts)
