"""A twin from the schema alone: nothing of any real person goes into it, not even a distribution.

Every variable is drawn independently from what its declaration calls plausible. Models that learn from it learn
nothing about patients; it is for finding out whether a notebook runs.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.dataset import Dataset, Split, Variable
from flipnb.contracts.frozen import KIND_TWIN, META_DATASET, META_KIND, TABLES, definitions
from flipnb.contracts.outputs import Part

if TYPE_CHECKING:
    import numpy as np

_DAY = date(2020, 1, 1)
_GENDERS = (8507, 8532)


def make(dataset: Dataset, split: Split, path: Path, *, people: int = 200, seed: int = 0) -> None:
    """Write a twin of ``people`` synthetic persons to ``path`` (a DuckDB file that must not exist).

    The same arguments give the same people. Parts have the split's shares, in order, without stratification. Tables
    that the dataset declares are there, with the variables' rows alone.
    """
    import duckdb
    import numpy as np

    generator = np.random.default_rng(seed)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with duckdb.connect(str(partial)) as connection:
        for table, columns in definitions(dataset.declared).items():
            connection.execute(f"CREATE TABLE {table} ({columns})")
        parts = _parts(split, people)
        rows: dict[str, list[list[Any]]] = {table: [] for table in TABLES}
        rows["meta"] = [[META_DATASET, dataset.model_dump_json()], [META_KIND, KIND_TWIN]]
        for person in range(1, people + 1):
            rows["cohort"].append([person, _DAY, _DAY, parts[person - 1]])
            gender = _GENDERS[int(generator.integers(2))]
            age = int(generator.integers(30, 80))
            for variable in dataset.variables:
                if variable.source == "age":
                    age = int(_number(variable, generator))
                elif variable.source == "sex" and variable.categories:
                    gender = _category(variable, generator)
                else:
                    _add(rows, person, variable, generator)
            rows["person"].append([person, gender, _DAY.year - age])
        for table, values in rows.items():
            if values:
                # Whole columns at once: row by row is a hundred times slower.
                described = connection.execute(f"DESCRIBE {table}").fetchall()[: len(values[0])]
                names = ", ".join(row[0] for row in described)
                lists = ", ".join(f"unnest(?::{row[1]}[])" for row in described)
                whole = [list(column) for column in zip(*values, strict=True)]
                connection.execute(f"INSERT INTO {table} ({names}) SELECT {lists}", whole)
    partial.replace(path)


def _parts(split: Split, people: int) -> list[Part]:
    test = people * split.shares.test // split.shares.total
    validation = people * split.shares.validation // split.shares.total
    parts: list[Part] = ["train"] * (people - test - validation)
    return parts + ["validation"] * validation + ["test"] * test


def _add(rows: dict[str, list[list[Any]]], person: int, variable: Variable, generator: np.random.Generator) -> None:
    if variable.source == "condition":
        if generator.random() < 0.5:
            table = rows["condition_occurrence"]
            table.append([len(table) + 1, person, variable.concept_id, _DAY, None])
        return
    if variable.source not in ("measurement", "observation"):
        return
    number = concept = None
    if variable.value == "concept":
        concept = _category(variable, generator)
    else:
        number = _number(variable, generator)
    table = rows[variable.source]
    table.append([len(table) + 1, person, variable.concept_id, _DAY, number, concept, variable.unit])


def _category(variable: Variable, generator: np.random.Generator) -> int:
    return variable.categories[int(generator.integers(len(variable.categories)))].concept_id


def _number(variable: Variable, generator: np.random.Generator) -> float:
    """Uniform within the plausible range; whole where both ends are whole."""
    low = variable.minimum if variable.minimum is not None else 0.0
    high = variable.maximum if variable.maximum is not None else low + 1.0
    if low == int(low) and high == int(high):
        return float(generator.integers(int(low), int(high) + 1))
    return round(float(generator.uniform(low, high)), 3)
