"""Which variables of a cohort's members a kernel may see, and how the members are split."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from flipnb.contracts.cohort_values import ConceptId, Quantity
from flipnb.contracts.document import Document, Later
from flipnb.contracts.frozen import DECLARABLE
from flipnb.contracts.images import MOST_SETS, ImageSet
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier, Line
from flipnb.contracts.window import ALWAYS, UNTIL_COHORT_END, Window

Take = Literal["last", "first", "minimum", "maximum", "mean", "count"]
Source = Literal["age", "sex", "measurement", "observation", "condition"]


class Category(Document):
    """One concept that a coded variable may have as its value."""

    concept_id: ConceptId
    label: Line


class Variable(Document):
    """A column of ``flip.data().train.frame()``: one value per person.

    ``age`` is in years at the cohort's start, ``sex`` a gender concept id. A measurement or observation is of the days
    of its ``window``: ``value='number'`` (in ``unit``, UCUM) or ``'concept'`` (a concept id); a condition is
    ``'flag'``, 1 where one starts within the window. ``"until-cohort-end"`` is every day up to the cohort's end, which
    may lie after the index date; it is what earlier datasets meant. ``take`` says which of the window's values: the
    last or the first (by date, then by the record's id), of numbers also the least, the largest, the mean, and how
    many there are, 0 where there is none. Otherwise missing stays missing. ``role`` says whether it is what a model is
    to find out, and so may lie after the index date. ``minimum``, ``maximum`` and ``categories`` say what is
    plausible; the twin draws from them, nothing is cut off by them.
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
    window: Annotated[Window | Literal["until-cohort-end"], Later(UNTIL_COHORT_END)] = UNTIL_COHORT_END
    take: Annotated[Take, Later("last")] = "last"
    role: Annotated[Literal["feature", "outcome"], Later("feature")] = "feature"

    @model_validator(mode="after")
    def _consistent(self) -> Variable:
        if self.source in ("age", "sex"):
            if self.concept_id is not None:
                raise ValueError(f"variable {self.name}: {self.source} needs no concept_id")
            if isinstance(self.window, Window):
                raise ValueError(f"variable {self.name}: {self.source} is of the index date and needs no window")
        elif self.concept_id is None:
            raise ValueError(f"variable {self.name}: a {self.source} needs a concept_id")
        if self.value == "concept" and self.source in ("measurement", "observation") and not self.categories:
            raise ValueError(f"variable {self.name}: a coded value needs its categories")
        of_numbers = self.source in ("measurement", "observation") and self.value == "number"
        if self.take not in ("last", "first") and not of_numbers:
            raise ValueError(f"variable {self.name}: the {self.take} is of numbers")
        if self.take == "first" and self.source not in ("measurement", "observation"):
            raise ValueError(f"variable {self.name}: a {self.source} has no first value")
        return self

    @property
    def is_windowed(self) -> bool:
        """Whether it is read from records, of which a window says the days; age and sex are not."""
        return self.source not in ("age", "sex")

    @property
    def may_be_later(self) -> bool:
        """Whether its value may come from a day after the index date, the cohort's start."""
        return self.is_windowed and (not isinstance(self.window, Window) or self.window.may_be_later)

    @property
    def window_words(self) -> str:
        """Which value of which days, for people: ``the last value up to the index date``."""
        if not self.is_windowed:
            return "at the index date"
        days = (
            self.window.words
            if isinstance(self.window, Window)
            else ("up to the cohort's end, which may lie after the index date")
        )
        if self.source == "condition":
            return f"whether one starts {days}"
        taken = {"last": "the last value", "first": "the first value", "minimum": "the least value",
                 "maximum": "the largest value", "mean": "the mean of the values",
                 "count": "how many values there are"}[self.take]  # fmt: skip
        return f"{taken} {days}"


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
    images: Annotated[tuple[ImageSet, ...], Later(())] = Field(default=(), max_length=MOST_SETS)

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
        if len({images.name for images in self.images}) != len(self.images):
            raise ValueError("two sets of images have the same name")
        return self

    def image_set(self, name: str) -> ImageSet:
        """The set of images of this name. Raises FlipError ``no-images`` that names those there are."""
        found = next((images for images in self.images if images.name == name), None)
        if found is None:
            names = ", ".join(images.name for images in self.images) or "none"
            raise FlipError("no-images", f"The dataset has no images {name[:80]!r}; it has {names}.")
        return found


def leakage(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """What may let a model know what comes after the index date: (a variable's name, a sentence for people) each.

    A feature whose window may end after day 0, or which shares days with the window of an outcome: any day where both
    are of one concept, a day after day 0 otherwise, since a record says no hour. So it is of images that are no
    outcome, too.
    """
    of_variables = (
        (variable.name, sentence)
        for variable in dataset.variables
        if variable.is_windowed and variable.role == "feature"
        for sentence in (*_later(variable), *_within_outcomes(variable, dataset))
    )
    of_images = (
        (
            images.name,
            f"The images {images.name} may lie after the index date (window {images.window.words}). "
            "End it at 0, unless that is meant.",
        )
        for images in dataset.images
        if images.role == "feature" and images.may_be_later
    )
    return (*of_variables, *of_images)


def _later(variable: Variable) -> Iterator[str]:
    name = variable.name
    if not isinstance(variable.window, Window):
        yield (
            f"{name} may lie after the index date: it is read up to the cohort's end. "
            "Give it a window that ends at 0, unless that is meant."
        )
    elif variable.window.may_be_later:
        yield (
            f"{name} may lie after the index date (window {variable.window.words}). End it at 0, unless that is meant."
        )


def _within_outcomes(variable: Variable, dataset: Dataset) -> Iterator[str]:
    own = variable.window if isinstance(variable.window, Window) else ALWAYS
    for outcome in dataset.variables:
        if outcome.role != "outcome" or not outcome.is_windowed:
            continue
        shared = own.shares(outcome.window if isinstance(outcome.window, Window) else ALWAYS)
        if shared is None:
            continue
        same = (variable.source, variable.concept_id) == (outcome.source, outcome.concept_id)
        if same or shared[1] is None or shared[1] > 0:
            yield (
                f"The window of {variable.name} shares days with that of the outcome {outcome.name}, "
                f"so that {variable.name} may hold what is to be found out."
            )


def require_windows(dataset: Dataset) -> None:
    """ValueError that names the variables which leave it open what days they are read from, and says what to write."""
    silent = [v.name for v in dataset.variables if v.is_windowed and "window" not in v.model_fields_set]
    if silent:
        names = f"{', '.join(silent[:10])}{' and others' if len(silent) > 10 else ''}"
        raise ValueError(
            f"{names}: the window is not stated, the days around the index date that a variable is read from. "
            'Write "window": {"start_days": null, "end_days": 0} for what was recorded up to the index date, or '
            '"window": "until-cohort-end" for what was recorded up to the cohort\'s end, which may lie after it'
        )


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


class SplitByVariable(Document):
    """Members whose ``variable`` has one of these values are in validation or in test: a centre, a ward, a flag.

    Numbers and concept ids, 1 and 0 of a condition. Every other member, and one without a value, is of the rest.
    """

    variable: Identifier
    validation: tuple[Quantity, ...] = Field(default=(), max_length=1000)
    test: tuple[Quantity, ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _apart(self) -> SplitByVariable:
        if not (self.validation or self.test):
            raise ValueError("a split by a variable needs values of validation or of test")
        if set(self.validation) & set(self.test):
            raise ValueError("a value of the split is both in validation and in test")
        return self

    def part(self, value: float | None) -> Part | None:
        """The part of who has this value; None of the rest."""
        return "test" if value in self.test else "validation" if value in self.validation else None


class SplitByDate(Document):
    """Members who enter the cohort on ``test_from`` or later are in test, of the others those from
    ``validation_from`` on in validation; all earlier ones are the rest."""

    validation_from: date | None = None
    test_from: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> SplitByDate:
        given = [day for day in (self.validation_from, self.test_from) if day is not None]
        if not given or given != sorted(set(given)):
            raise ValueError("a split by date needs validation_from or test_from, and the first before the second")
        return self

    def part(self, start: date) -> Part | None:
        """The part of who enters on this day; None of the rest."""
        if self.test_from is not None and start >= self.test_from:
            return "test"
        return "validation" if self.validation_from is not None and start >= self.validation_from else None


class Split(Document):
    """How members are divided, within each Trust and each class.

    Of m members of a class, ``test`` gets floor(m·test/total), ``validation`` likewise, ``train`` the rest,
    so that a class with one member is in train. Members are ordered by the estate's person id and then shuffled by
    NumPy's PCG64 seeded with ``[seed, class]``.
    With ``folds`` test is the part number ``fold`` (from 0) of so many equal ones, from floor(m·fold/folds) on in that
    order, so that over all folds each member is in test once; shares divide the others between train and validation.
    With ``by_variable`` or ``by_date`` shares divide the rest, who are of neither of its parts. A part that one of
    these rules makes has no share.
    """

    seed: int = Field(ge=0, lt=2**31)
    shares: Shares
    stratify: Stratify | None = None
    folds: Annotated[int | None, Later(None)] = Field(default=None, ge=2, le=100)
    fold: Annotated[int, Later(0)] = Field(default=0, ge=0, lt=100)
    by_variable: Annotated[SplitByVariable | None, Later(None)] = None
    by_date: Annotated[SplitByDate | None, Later(None)] = None

    @model_validator(mode="after")
    def _one_rule(self) -> Split:
        if sum(rule is not None for rule in (self.folds, self.by_variable, self.by_date)) > 1:
            raise ValueError("a split is by folds, by a variable or by date, not by two of them")
        if self.fold and (self.folds is None or self.fold >= self.folds):
            raise ValueError(f"there is no fold {self.fold} of {self.folds or 'none'}; they count from 0")
        for part, share in (("validation", self.shares.validation), ("test", self.shares.test)):
            if share and part in self._ruled:
                raise ValueError(f"the split says by a rule who is in {part}: its share is 0 then")
        return self

    @property
    def _ruled(self) -> frozenset[str]:
        """The parts that folds, a variable or a date make."""
        by_value, by_date = self.by_variable, self.by_date
        found = {
            "test": self.folds or (by_value and by_value.test) or (by_date and by_date.test_from),
            "validation": (by_value and by_value.validation) or (by_date and by_date.validation_from),
        }
        return frozenset(part for part, rule in found.items() if rule)

    @property
    def has_validation(self) -> bool:
        """Whether anybody may be in validation."""
        return self.shares.validation > 0 or "validation" in self._ruled

    def part_of(self, rank: int, members: int) -> Part:
        """The part of the one at ``rank`` (from 0) of a class's so many shuffled members, who are of no rule's part."""
        shares = self.shares
        if self.folds is None:
            first, last = 0, members * shares.test // shares.total
        else:
            first, last = members * self.fold // self.folds, members * (self.fold + 1) // self.folds
        if first <= rank < last:
            return "test"
        others = members if self.folds is None else members - (last - first)
        place = rank if rank < first else rank - (last - first)
        return "validation" if place < others * shares.validation // shares.total else "train"
