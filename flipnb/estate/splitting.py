"""Which part of a frozen cohort each member is in: train, validation or test, as ``contracts.dataset.Split`` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from flipnb.contracts.dataset import Dataset, Split, Variable
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError
from flipnb.records.variable import of_person

if TYPE_CHECKING:
    import duckdb


def parts_of(
    source: duckdb.DuckDBPyConnection, members: Sequence[tuple[int, date, date]], dataset: Dataset, split: Split
) -> dict[int, Part]:
    """Each member's part; ``members`` are person, first and last day of the stay, ascending by person.

    ``source`` is a connection to the estate, in which a temporary table of the members is made. Raises FlipError
    ``stratum-missing``.
    """
    source.execute("CREATE TEMP TABLE member (person_id BIGINT, since DATE, until DATE)")
    _insert(source, "member", ("BIGINT", "DATE", "DATE"), members)
    people = [int(row[0]) for row in members]
    ruled: dict[int, Part] = {}
    if split.by_date is not None:
        found = {int(person): split.by_date.part(start) for person, start, _ in members}
        ruled = {person: part for person, part in found.items() if part is not None}
    if split.by_variable is not None:
        values = _values(source, _named(dataset, split.by_variable.variable))
        chosen = {person: split.by_variable.part(value) for person, value in values.items()}
        ruled = {person: part for person, part in chosen.items() if part is not None}
    return split_people(people, _classes(source, people, dataset, split), split, ruled)


def split_people(
    people: Iterable[int], classes: Mapping[int, int], split: Split, ruled: Mapping[int, Part] | None = None
) -> dict[int, Part]:
    """Each person's part; ``people`` are in ascending order, and ``ruled`` those whom a variable or a date places."""
    import numpy as np

    parts: dict[int, Part] = dict(ruled or {})
    ordered = [person for person in people if person not in parts]
    for label in sorted({classes[person] for person in ordered}):
        group = [person for person in ordered if classes[person] == label]
        shuffled = np.random.Generator(np.random.PCG64([split.seed, label])).permutation(len(group))
        for rank, index in enumerate(shuffled):
            parts[group[int(index)]] = split.part_of(rank, len(group))
    return parts


def _classes(source: duckdb.DuckDBPyConnection, people: list[int], dataset: Dataset, split: Split) -> dict[int, int]:
    """0 or 1 for each person, or 0 for all where the split is not stratified."""
    if split.stratify is None:
        return dict.fromkeys(people, 0)
    name = split.stratify.variable
    variable = _named(dataset, name)
    numbers = variable.source in ("measurement", "observation") and variable.value == "number"
    if not numbers and variable.source != "condition":
        raise FlipError(
            "stratum-missing",
            f"The split's variable {name!r} is neither a condition nor a number of a measurement or observation.",
        )
    classes = {person: int(value > split.stratify.above) for person, value in _values(source, variable).items()}
    if len(classes) != len(people):
        raise FlipError(
            "stratum-missing",
            f"The split's variable {name!r} is missing for some members.",
            remedy="Ask for it in the cohort's inclusion rules.",
        )
    return classes


def _named(dataset: Dataset, name: str) -> Variable:
    variable = next((variable for variable in dataset.variables if variable.name == name), None)
    if variable is None:
        raise FlipError("stratum-missing", f"The split's variable {name!r} is not in the dataset.")
    return variable


def _values(source: duckdb.DuckDBPyConnection, variable: Variable) -> dict[int, float]:
    """A variable's value of each member who has one."""
    if variable.is_windowed:
        value = of_person(variable, "m.person_id", "m.since", "m.until")
    else:
        value = "p.gender_concept_id" if variable.source == "sex" else "year(m.since) - p.year_of_birth"
    rows = source.execute(
        f"SELECT * FROM (SELECT m.person_id, {value} AS value FROM member m JOIN person p ON p.person_id = m.person_id)"
        " WHERE value IS NOT NULL"
    ).fetchall()
    return {int(person): float(value) for person, value in rows}


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Whole columns at once: row by row is a hundred times slower."""
    if rows:
        lists = ", ".join(f"unnest(?::{kind}[])" for kind in types)
        connection.execute(f"INSERT INTO {table} SELECT {lists}", [list(column) for column in zip(*rows, strict=True)])
