"""How fast, when and how much an archive may be asked, whatever it speaks."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from flipnb.contracts.document import Document

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _stays_below(path: str) -> str:
    if any(not part or part.startswith(".") for part in path.split("/")):
        raise ValueError("a file is named below the configuration's folder")
    return path


File = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,200}$"), AfterValidator(_stays_below)]
"""A path below the configuration's folder: the collector sees that file, and nothing beside it."""


class Hours(Document):
    """When studies may be asked for, in this machine's local time; ``until`` before ``since`` goes over midnight, and
    then ``days`` are those on which it begins."""

    since: time = Field(alias="from")
    until: time
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1, max_length=7)


class Asking(Document):
    """The bounds of asking one archive.

    ``patience_s``: an archive that sends no instance for so long is not waited for. ``attempts`` is how often a study
    is begun before it is partial or failed.
    """

    connections: int = Field(default=2, ge=1, le=8)
    studies_per_minute: float = Field(default=0.0, ge=0, le=1e6)
    megabytes_per_second: float = Field(default=0.0, ge=0, le=1e6)
    hours: tuple[Hours, ...] = Field(default=(), max_length=20)
    patience_s: float = Field(default=300.0, ge=1, le=86_400)
    attempts: int = Field(default=3, ge=1, le=20)
    most_series: int = Field(default=1000, ge=1, le=10_000)
    most_instances: int = Field(default=20_000, ge=1, le=1_000_000)
    most_gigabytes: float = Field(default=20.0, gt=0, le=10_000)
    most_answers: int = Field(default=100_000, ge=1, le=1_000_000)
    keep_free_gigabytes: float = Field(default=1.0, ge=0, le=100_000)
