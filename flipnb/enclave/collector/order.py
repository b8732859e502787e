"""What a collector is started for, and what it says: lines of JSON on its standard input and output."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Document
from flipnb.contracts.problem import Problem
from flipnb.contracts.text import Name

HEADERS = "headers.csv"
"""In the collector's directory: where a table of headers lies until it is taken."""


class AskHeaders(Document):
    """Write a table of series; ``patients`` are asked for, unless days or accession numbers are: then they are those
    whose studies are taken."""

    do: Literal["headers"] = "headers"
    pacs: Name
    patients: tuple[str, ...] = ()
    accessions: tuple[str, ...] = ()
    by_days: bool = False
    since: date | None = None
    until: date | None = None


class GoOn(Document):
    """Work on a pull of the store."""

    do: Literal["pull"] = "pull"
    pull: int


class LookAt(Document):
    """Say for the doctor how an archive is."""

    do: Literal["look"] = "look"
    pacs: Name


class PutScript(Document):
    """Have an XNAT apply a DicomEdit script to all that it takes in."""

    do: Literal["script"] = "script"
    pacs: Name
    script: str = Field(min_length=1, max_length=1 << 20)


class Look(Document):
    """One thing that was looked at; ``remedy`` where ``good`` is False."""

    what: str
    good: bool
    detail: str
    remedy: str = ""


class Order(Document):
    """The one line that a collector reads."""

    order: AskHeaders | GoOn | LookAt | PutScript = Field(discriminator="do")


class Told(Document):
    """The one line that it writes, at its end: what went wrong, or what came of it."""

    problem: Problem | None = None
    state: str = ""
    studies: int = 0
    series: int = 0
    instances: int = 0
    left_out: dict[str, int] = Field(default_factory=dict)
    looks: tuple[Look, ...] = ()
