"""What a notebook sees of its people: variables with their windows, tables, and who is in which part of the split."""

from __future__ import annotations

from collections.abc import Iterator

from flipnb.contracts.brief import SeenVariable, Sentence
from flipnb.contracts.dataset import Dataset, FrozenTable, Split, Variable
from flipnb.wording.rest import rest
from flipnb.wording.values import listed, many, number, quoted, visible

_AT_START = {"age", "sex"}


def variable_window(variable: Variable) -> str:
    """Which of a person's records a variable's value is, relative to the index date (the cohort's start)."""
    if variable.source in _AT_START:
        return "at the index date" if variable.source == "age" else "of the person"
    which = "any" if variable.value == "flag" else "last"
    return f"{which}, up to the cohort's end (may be later than the index date)"


def may_be_later(variable: Variable) -> bool:
    """Whether a variable's value may lie after the index date, so that a model could be shown the future."""
    return variable.source not in _AT_START


def seen_variables(dataset: Dataset) -> tuple[SeenVariable, ...]:
    """A row for each variable, those that may be of later than the index date first."""
    rows = [_seen(variable) for variable in dataset.variables]
    return tuple(sorted(rows, key=lambda row: not row.may_be_later))


def _seen(variable: Variable) -> SeenVariable:
    return SeenVariable(
        name=variable.name,
        label=visible(variable.label),
        what=_what(variable),
        window=variable_window(variable),
        may_be_later=may_be_later(variable),
    )


def _what(variable: Variable) -> str:
    """``measurement 3004249, in mm[Hg]``."""
    concept = f" {variable.concept_id}" if variable.concept_id is not None else ""
    value = {"number": "", "concept": ", as a concept", "flag": ", yes or no"}[variable.value]
    unit = f", in {visible(variable.unit)}" if variable.unit is not None else ""
    return f"{variable.source}{concept}{value}{unit}"


def variable_sentences(dataset: Dataset) -> Iterator[Sentence]:
    """Every variable whole, in the plan's order."""
    for variable in dataset.variables:
        label = f", {quoted(variable.label)}" if variable.label else ""
        limits = [
            f"{word} {number(limit)}"
            for word, limit in (("at least", variable.minimum), ("at most", variable.maximum))
            if limit is not None
        ]
        plausible = f"; plausible {listed(limits)}" if limits else ""
        parts = [Sentence(text=f"{quoted(one.label)} ({one.concept_id})") for one in variable.categories]
        known = {"name", "source", "concept_id", "value", "unit", "minimum", "maximum", "categories", "label", "window"}
        yield Sentence(
            text=f"{variable.name}{label}: {_what(variable)}; {variable_window(variable)}{plausible}",
            parts=(*parts, *rest(variable, known)),
        )


def table_sentences(dataset: Dataset) -> Iterator[Sentence]:
    """Every table of which the notebook sees the rows of its people."""
    for table in dataset.tables:
        yield Sentence(text=_table(table))
    yield from rest(dataset, {"variables", "tables"})


def _table(table: FrozenTable) -> str:
    concepts = f", rows of {listed([str(concept) for concept in table.concepts], 'or')} alone" if table.concepts else ""
    return f"The rows of these people in the table {table.name}: {listed(table.columns)}{concepts}."


def split_sentences(split: Split) -> Iterator[Sentence]:
    """Who of a Trust's people is in train, validation and test."""
    shares = split.shares
    named = [("train", shares.train), ("validation", shares.validation), ("test", shares.test)]
    parts = listed([f"{part} {share} of {shares.total}" for part, share in named])
    yield Sentence(text=f"People are drawn into parts within each Trust, by seed {split.seed}: {parts}.")
    if split.stratify is not None:
        above = number(split.stratify.above)
        yield Sentence(text=f"Those with {split.stratify.variable} above {above} and the others are divided alike.")
    if split.folds is not None:
        test = f"Test is part {split.fold} (counted from 0) of {split.folds} equal ones"
        yield Sentence(text=f"{test}, out of {many(split.folds, 'fold')}.")
    elif split.fold:
        yield Sentence(text=f"Fold {split.fold} is named, without folds.")
    yield from rest(split, {"seed", "shares", "stratify", "folds", "fold"})
