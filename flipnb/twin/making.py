"""A twin: invented people with a cohort's variables, each drawn by itself, for finding out whether a notebook runs.

From what Trusts told of each variable where they did, else from what its declaration calls plausible. No two variables
hang together: what a model learns of them from a twin is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.dataset import Dataset, Split, Variable
from flipnb.contracts.frozen import DATABASE, IMAGES, KIND_TWIN, META_DATASET, META_KIND, TABLES, definitions
from flipnb.contracts.outputs import Part
from flipnb.contracts.window import Window
from flipnb.files.whole import making
from flipnb.twin.images import add_images
from flipnb.twin.marginals import Marginal, Marginals

if TYPE_CHECKING:
    import numpy as np

_DAY = date(2020, 1, 1)
_GENDERS = (8507, 8532)
_MOST = 50
"""The most records that are made for a person's count of them."""


def make(
    dataset: Dataset,
    split: Split,
    path: Path,
    *,
    people: int = 200,
    seed: int = 0,
    marginals: Marginals | None = None,
) -> None:
    """Write a twin of ``people`` synthetic persons to the folder ``path``, which must not exist: a frozen cohort.

    The same arguments give the same people; each record lies on the day of its variable's window that is nearest to
    the index date. Parts have the split's shares or folds, in order, without stratification;
    of a split by date people enter before and from its days on, and one by a variable goes by what was drawn. Tables
    that the dataset declares are there, with the variables' rows alone, and images as ``twin.images`` says. Without
    ``marginals``, or where they don't tell of a variable, it is drawn from the schema.
    """
    import duckdb
    import numpy as np

    generator = np.random.default_rng(seed)
    with making(path) as folder, duckdb.connect(str(folder / DATABASE)) as connection:
        for table, columns in definitions(dataset.declared, images=bool(dataset.images)).items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
        days = _days(split, people)
        ruled: dict[int, Part] = {}
        rows: dict[str, list[list[Any]]] = {table: [] for table in TABLES}
        rows["meta"] = [[META_DATASET, dataset.model_dump_json()], [META_KIND, KIND_TWIN]]
        told = {v.name: marginals.of(v) if marginals is not None else None for v in dataset.variables}
        for person in range(1, people + 1):
            day, part = days[person - 1]
            if part is not None:
                ruled[person] = part
            drawn: dict[str, float | None] = {}
            gender = _GENDERS[int(generator.integers(2))]
            age = int(generator.integers(30, 80))
            for variable in dataset.variables:
                if variable.source == "age":
                    age = int(_number(variable, generator, told[variable.name]) or age)
                elif variable.source == "sex" and (variable.categories or told[variable.name]):
                    gender = _category(variable, generator, told[variable.name]) or gender
                else:
                    drawn[variable.name] = _add(rows, person, day, variable, generator, told[variable.name])
            rows["person"].append([person, gender, day.year - age])
            drawn |= {v.name: age if v.source == "age" else gender for v in dataset.variables if not v.is_windowed}
            by_value = split.by_variable
            if by_value is not None and (placed := by_value.part(drawn[by_value.variable])) is not None:
                ruled[person] = placed
        parts = _parts(split, people, ruled)
        rows["cohort"] = [[person, day, day, parts[person]] for person, (day, _) in enumerate(days, start=1)]
        rows[IMAGES] = []
        for images in dataset.images:
            ordered = {person: parts[person] for person in range(1, people + 1)}
            rows[IMAGES] += add_images(images, ordered, folder, seed, len(rows[IMAGES]) + 1)
        for table, values in rows.items():
            if values:
                # Whole columns at once: row by row is a hundred times slower.
                described = connection.execute(f"DESCRIBE {table}").fetchall()[: len(values[0])]
                names = ", ".join(row[0] for row in described)
                lists = ", ".join(f"unnest(?::{row[1]}[])" for row in described)
                whole = [list(column) for column in zip(*values, strict=True)]
                connection.execute(f"INSERT INTO {table} ({names}) SELECT {lists}", whole)


def _parts(split: Split, people: int, ruled: Mapping[int, Part]) -> dict[int, Part]:
    """Each person's part: by its rule, else by shares in order, without a shuffle."""
    rest = [person for person in range(1, people + 1) if person not in ruled]
    shared = {person: split.part_of(len(rest) - place, len(rest)) for place, person in enumerate(rest, start=1)}
    return {**shared, **ruled}


def _days(split: Split, people: int) -> list[tuple[date, Part | None]]:
    """Each person's index date; by a split by date a quarter of them are in each of the parts that it makes."""
    by_date = split.by_date
    if by_date is None:
        return [(_DAY, None)] * people
    boundaries = [day for day in (by_date.validation_from, by_date.test_from) if day is not None]
    chosen = [boundaries[0] - timedelta(1)] * (4 - len(boundaries)) + boundaries
    return [(day, by_date.part(day)) for day in (chosen[person % 4] for person in range(people))]


def _add(
    rows: dict[str, list[list[Any]]],
    person: int,
    day: date,
    variable: Variable,
    generator: np.random.Generator,
    told: Marginal | None,
) -> float | None:
    """Draw a person's records of a variable; gives its value, None where it is missing."""
    if variable.source == "condition":
        flag = told.flag(generator) if told is not None else bool(generator.random() < 0.5)
        if flag:
            table = rows["condition_occurrence"]
            table.append([len(table) + 1, person, variable.concept_id, _day_of(variable, day), None])
        return float(flag)
    if variable.source not in ("measurement", "observation"):
        return None
    number = concept = None
    if variable.value == "concept":
        concept = _category(variable, generator, told)
    else:
        number = _number(variable, generator, told)
    if number is None and concept is None:
        return None
    table = rows[variable.source]
    for _ in range(min(int(number or 0), _MOST) if variable.take == "count" else 1):
        drawn = 1.0 if variable.take == "count" else number
        record = [len(table) + 1, person, variable.concept_id, _day_of(variable, day), drawn, concept, variable.unit]
        table.append(record)
    return number if concept is None else concept


def _day_of(variable: Variable, index: date) -> date:
    """A day within the variable's window, the index date where that is."""
    return index + timedelta(variable.window.nearest_day if isinstance(variable.window, Window) else 0)


def _category(variable: Variable, generator: np.random.Generator, told: Marginal | None) -> int | None:
    """A concept id; None where it is missing, which only marginals can say."""
    if told is not None:
        return told.concept(generator)
    return variable.categories[int(generator.integers(len(variable.categories)))].concept_id


def _number(variable: Variable, generator: np.random.Generator, told: Marginal | None) -> float | None:
    """Uniform within the plausible range, or within a bar of it; whole where both ends of the range are whole.

    None where it is missing, which only marginals can say.
    """
    low = variable.minimum if variable.minimum is not None else 0.0
    high = variable.maximum if variable.maximum is not None else low + 1.0
    whole = low == int(low) and high == int(high)
    if told is not None:
        bar = told.number(generator)
        if bar is None:
            return None
        low, high = bar
        if whole:
            first, last = ceil(low), ceil(high) - (high != variable.maximum)
            return float(generator.integers(first, max(first, last) + 1))
    if whole:
        return float(generator.integers(int(low), int(high) + 1))
    return round(float(generator.uniform(low, high)), 3)
