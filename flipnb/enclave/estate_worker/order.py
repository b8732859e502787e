"""What an agent asks of its estate worker and what that answers: one JSON object per line, in turn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from flipnb.contracts.chart import Chart
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.document import Digest, Document
from flipnb.contracts.problem import Problem

LINE_BYTES = 32 << 20


class Current(Document):
    """Which estate version is current: answered by Answer.value, a version or None."""

    verb: Literal["current"] = "current"


class Count(Document):
    """How many people a cohort has in one version: exact, for the agent alone."""

    verb: Literal["count"] = "count"
    version: str
    cohort: dict[str, Any]


class Tabulate(Document):
    """The exact tables of a question, for the agent's disclosure control: a cell for each of ``rules``, then charts.

    ``members`` asks for a digest of who is in each cell too; the secret that is laid over it stays with the agent.
    """

    verb: Literal["tabulate"] = "tabulate"
    version: str
    cohort: dict[str, Any]
    rules: tuple[int, ...] = ()
    charts: tuple[Chart, ...] = ()
    members: bool = False


class Freeze(Document):
    """Freeze a cohort into the folder ``name`` of the directory that both know. ``key``: 32 bytes, hexadecimal."""

    verb: Literal["freeze"] = "freeze"
    version: str
    cohort: dict[str, Any]
    dataset: Dataset
    split: Split
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    name: str = Field(pattern=r"^[0-9a-f]{32}$")


WorkerRequest = Annotated[Current | Count | Tabulate | Freeze, Field(discriminator="verb")]
WORKER_REQUEST: TypeAdapter[Current | Count | Tabulate | Freeze] = TypeAdapter(WorkerRequest)


class ExactCell(Document):
    """An exact number of people, and the digest of who they are where it was asked for."""

    people: int = Field(ge=0)
    members: str = ""


class FrozenFacts(Document):
    """What the agent keeps of a frozen cohort: people per part, the commitment to the members, and what opens it."""

    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    commitment: Digest
    salt: str = Field(pattern=r"^[0-9a-f]{64}$")


class Answer(Document):
    """Either ``problem``, or the verb's result: ``version`` (may be None), ``people``, ``tables`` or ``frozen``."""

    version: str | None = None
    people: int | None = Field(default=None, ge=0)
    tables: tuple[tuple[ExactCell, ...], ...] | None = None
    frozen: FrozenFacts | None = None
    problem: Problem | None = None
