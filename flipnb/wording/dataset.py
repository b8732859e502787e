"""What a notebook sees of its people: variables with their windows, tables, and who is in which part of the split."""

from __future__ import annotations

from collections.abc import Iterator

from flipnb.contracts.brief import SeenVariable, Sentence
from flipnb.contracts.dataset import Dataset, FrozenTable, Split, Variable
from flipnb.contracts.images import Segment
from flipnb.wording.rest import rest
from flipnb.wording.values import listed, many, number, quoted, visible


def may_be_later(variable: Variable) -> bool:
    """Whether a feature's value may lie after the index date, so that a model could be shown the future."""
    return variable.role == "feature" and variable.may_be_later


def seen_variables(dataset: Dataset) -> tuple[SeenVariable, ...]:
    """A row for each variable, those that may be of later than the index date first."""
    rows = [_seen(variable) for variable in dataset.variables]
    return tuple(sorted(rows, key=lambda row: not row.may_be_later))


def _seen(variable: Variable) -> SeenVariable:
    return SeenVariable(
        name=variable.name,
        label=visible(variable.label),
        what=_what(variable),
        window=_window(variable),
        may_be_later=may_be_later(variable),
    )


def _window(variable: Variable) -> str:
    outcome = "; the outcome" if variable.role == "outcome" else ""
    return f"{variable.window_words}{outcome}"


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
        known = {"name", "source", "concept_id", "value", "unit", "minimum", "maximum", "categories", "label", "window",
                 "take", "role"}  # fmt: skip
        yield Sentence(
            text=f"{variable.name}{label}: {_what(variable)}; {_window(variable)}{plausible}",
            parts=(*parts, *rest(variable, known)),
        )


def table_sentences(dataset: Dataset) -> Iterator[Sentence]:
    """Every table of which the notebook sees the rows of its people."""
    for table in dataset.tables:
        yield Sentence(text=_table(table))
    yield from rest(dataset, {"variables", "tables", "images"})


def _table(table: FrozenTable) -> str:
    concepts = f", rows of {listed([str(concept) for concept in table.concepts], 'or')} alone" if table.concepts else ""
    return f"The rows of these people in the table {table.name}: {listed(table.columns)}{concepts}."


def image_sentences(dataset: Dataset) -> Iterator[Sentence]:
    """Every set of images whole: whose, of which days, in which form, with which labels."""
    for images in dataset.images:
        parts = [f"concept {concept}" for concept in images.body_parts]
        where = f", of {listed(parts, 'or')}" if parts else ""
        outcome = "; the outcome" if images.role == "outcome" else ""
        most = f"at most {many(images.per_person, 'image')} of a person, {many(images.most_bytes, 'byte')} of all here"
        yield Sentence(
            text=f"The images {images.name}: {images.words}{where}, {images.form_words}; {most}{outcome}.",
            parts=(*(Sentence(text=_segment(one)) for one in images.labels), *rest(images, _SAID_OF_IMAGES)),
        )


_SAID_OF_IMAGES = {
    "name", "modalities", "dimensions", "window", "body_parts", "take", "per_person", "size", "spacing", "labels",
    "most_bytes", "role",
}  # fmt: skip


def _segment(segment: Segment) -> str:
    return f"The label {segment.name}: segments called {quoted(segment.label)}."


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
        yield Sentence(text=f"{test}, out of {many(split.folds, 'fold')}; the shares divide the others.")
    if split.by_variable is not None:
        by = split.by_variable
        for part, values in (("validation", by.validation), ("test", by.test)):
            if values:
                among = listed([number(value) for value in values], "or")
                yield Sentence(
                    text=f"In {part} are those whose {by.variable} is {among}; the shares divide the others."
                )
    if split.by_date is not None:
        for part, day in (("validation", split.by_date.validation_from), ("test", split.by_date.test_from)):
            if day is not None:
                yield Sentence(
                    text=f"In {part} are those who enter on {day:%d %b %Y} or later; the shares divide the others."
                )
    yield from rest(split, {"seed", "shares", "stratify", "folds", "fold", "by_variable", "by_date"})
