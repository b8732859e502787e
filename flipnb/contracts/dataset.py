"""Which variables of a cohort's members a kernel may see, and how the members are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from flipnb.contracts.cohort_values import ConceptId, Quantity
from flipnb.contracts.document import Document, Later
from flipnb.contracts.frozen import DECLARABLE
from flipnb.contracts.text import Identifier, Line

Source = Literal["age", "sex", "measurement", "observation", "condition"]


class Category(Document):
    """One concept that a coded variable may have as its value."""

    concept_id: ConceptId
    label: Line


class Variable(Document):
    """A column of ``flip.data().train.frame()``: one value per person.

    ``age`` is in years at the cohort's start, ``sex`` a gender concept id. A measurement or observation is the last
    one up to the cohort's end: ``value='number'`` (in ``unit``, UCUM) or ``'concept'`` (a concept id);
    a condition is ``'flag'``. Missing stays missing. ``minimum``, ``maximum`` and ``categories`` say
    what is plausible; the twin draws from them, nothing is cut off by them.
    """

    name: Identifier
    source: Source
    concept_id: ConceptId | None = None
    value: Literal["number", "concept", "flag"] = "number"
    unit: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,40}$")
    minimum: Quantity | None = None
    maximum: Quantity | None = None
    categories: tuple[Category, ...] = Field(default=(), max_length=1000)
    label: Line = ""

    @model_validator(mode="after")
    def _consistent(self) -> Variable:
        if self.source in ("age", "sex"):
            if self.concept_id is not None:
                raise ValueError(f"variable {self.name}: {self.source} needs no concept_id")
        elif self.concept_id is None:
            raise ValueError(f"variable {self.name}: a {self.source} needs a concept_id")
        if self.value == "concept" and self.source in ("measurement", "observation") and not self.categories:
            raise ValueError(f"variable {self.name}: a coded value needs its categories")
        return self


class FrozenTable(Document):
    """A table of the CDM of which the kernel sees the members' rows: ``columns`` of those in ``frozen.DECLARABLE``.

    Its key, the person and the columns that a frozen table has always are there as well. ``concepts`` leaves only rows
    of these concepts; without any all rows are there.
    """

    name: Identifier
    columns: tuple[Identifier, ...] = Field(min_length=1, max_length=40)
    concepts: tuple[ConceptId, ...] = Field(default=(), max_length=10_000)

    @model_validator(mode="after")
    def _declarable(self) -> FrozenTable:
        known = DECLARABLE.get(self.name)
        if known is None:
            raise ValueError(f"table {self.name} can't be frozen; {', '.join(sorted(DECLARABLE))} can")
        unknown = sorted(set(self.columns) - set(known))
        if unknown:
            raise ValueError(f"table {self.name}: {', '.join(unknown)} can't be frozen; {', '.join(known)} can")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"table {self.name}: a column is there twice")
        missing = sorted(name for name, kind in known.items() if "NOT NULL" in kind and name not in self.columns)
        if missing:
            raise ValueError(f"table {self.name} needs {', '.join(missing)}")
        if self.concepts and self.name in ("person", "observation_period", "death"):
            raise ValueError(f"table {self.name} is not of concepts")
        return self


class Dataset(Document):
    """What is frozen for a run, beside the cohort itself: nothing else can be seen by the kernel."""

    variables: tuple[Variable, ...] = Field(min_length=1, max_length=2000)
    tables: tuple[FrozenTable, ...] = Field(default=(), max_length=len(DECLARABLE))

    @property
    def declared(self) -> dict[str, tuple[str, ...]]:
        """Table → columns, as ``frozen.definitions`` takes them."""
        return {table.name: table.columns for table in self.tables}

    @model_validator(mode="after")
    def _unique(self) -> Dataset:
        if len({variable.name for variable in self.variables}) != len(self.variables):
            raise ValueError("two variables have the same name")
        if len({table.name for table in self.tables}) != len(self.tables):
            raise ValueError("a table is declared twice")
        return self


class Stratify(Document):
    """Two classes: ``variable`` > ``above``, and not."""

    variable: Identifier
    above: Quantity


class Shares(Document):
    """Integer shares of the three parts, for example 2 : 0 : 1 for two thirds and one third."""

    train: int = Field(ge=1, le=1000)
    validation: int = Field(default=0, ge=0, le=1000)
    test: int = Field(default=0, ge=0, le=1000)

    @property
    def total(self) -> int:
        """The sum of the three shares, by which each is divided."""
        return self.train + self.validation + self.test


class Split(Document):
    """How members are divided, within each Trust and each class.

    Of m members of a class, ``test`` gets floor(m·test/total), ``validation`` likewise, ``train`` the rest,
    so that a class with one member is in train. Members are ordered by the estate's person id and then shuffled by
    NumPy's PCG64 seeded with ``[seed, class]``.
    With ``folds`` test is the part number ``fold`` (from 0) of so many equal ones.
    """

    seed: int = Field(ge=0, lt=2**31)
    shares: Shares
    stratify: Stratify | None = None
    folds: Annotated[int | None, Later(None)] = Field(default=None, ge=2, le=100)
    fold: Annotated[int, Later(0)] = Field(default=0, ge=0, lt=100)
