"""What an agent asks of its estate worker and what that answers: one JSON object per line, in turn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from flipnb.contracts.chart import Chart
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.document import Digest, Document
from flipnb.contracts.images import ImageCount
from flipnb.contracts.problem import FlipError, Problem

LINE_BYTES = 32 << 20


class Open(Document):
    """Open a version, so that the next question about it starts at once."""

    verb: Literal["open"] = "open"
    version: str


CHECK_WALL_S = 20.0
"""How long a question may take to be planned by the clock, on a machine that has other things to do."""


class Check(Document):
    """Compile a question and run it over the version's tables without their rows: answered where it can be asked.

    Within so many seconds of a processor, whatever else the machine does, and ``CHECK_WALL_S`` by the clock, or it is
    refused as too complex.
    """

    verb: Literal["check"] = "check"
    version: str
    cohort: dict[str, Any]
    rules: tuple[int, ...] = ()
    charts: tuple[Chart, ...] = ()
    cpu_seconds: float


class Count(Document):
    """How many people a cohort has in one version: exact, for the agent alone. Interrupted after ``seconds``."""

    verb: Literal["count"] = "count"
    version: str
    cohort: dict[str, Any]
    seconds: float


class Tabulate(Document):
    """The exact tables of a question, for the agent's disclosure control: a cell for each of ``rules``, then charts.

    ``members`` asks for a digest of who is in each cell too; the secret that is laid over it stays with the agent.
    Interrupted after ``seconds``.
    """

    verb: Literal["tabulate"] = "tabulate"
    version: str
    cohort: dict[str, Any]
    rules: tuple[int, ...] = ()
    charts: tuple[Chart, ...] = ()
    members: bool = False
    seconds: float


class Freeze(Document):
    """Freeze a cohort into the folder ``name`` of the directory that both know. ``key``: 32 bytes, hexadecimal."""

    verb: Literal["freeze"] = "freeze"
    version: str
    cohort: dict[str, Any]
    dataset: Dataset
    split: Split
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(pattern=r"^[0-9a-f]{32}$")


AnyRequest = Open | Check | Count | Tabulate | Freeze
WorkerRequest = Annotated[AnyRequest, Field(discriminator="verb")]
WORKER_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(WorkerRequest)


class ExactCell(Document):
    """An exact number of people, and the digest of who they are where it was asked for."""

    people: int = Field(ge=0)
    members: str = ""


class FrozenFacts(Document):
    """What the agent keeps of a frozen cohort: people per part, the commitment to the members, what opens it, and what
    became of its images."""

    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    commitment: Digest
    salt: str = Field(pattern=r"^[0-9a-f]{64}$")
    images: tuple[ImageCount, ...] = ()


class Answer(Document):
    """``problem``; or the verb's result: ``people``, ``tables`` or ``frozen``, nothing for ``open`` and ``check``.

    ``stopped`` says, in place of tables, that counting took too long or failed over what it read.
    """

    people: int | None = Field(default=None, ge=0)
    tables: tuple[tuple[ExactCell, ...], ...] | None = None
    stopped: bool = False
    frozen: FrozenFacts | None = None
    problem: Problem | None = None


def unanswerable(why: str) -> FlipError:
    """What a question gets that no database could answer, whatever is in it."""
    return FlipError("unanswerable-cohort", f"The cohort can't be asked of a database. {why}", remedy="Say it simpler.")
