"""Freezing a cohort: a fresh file with only its members, only the dataset's concepts, under pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.frozen import KIND_REAL, META_DATASET, META_KIND, TABLES
from flipnb.contracts.outputs import Part
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort import compile_cohort
from flipnb.estate.versions import Estate

_SOURCES = ("measurement", "observation", "condition")
_TABLE = {"measurement": "measurement", "observation": "observation", "condition": "condition_occurrence"}


@dataclass(frozen=True)
class FrozenCohort:
    """How many people are in each part, and a salted commitment to who they are (SHA-256, hexadecimal)."""

    train: int
    validation: int
    test: int
    commitment: str


def count(estate: Path, version: str, expression: CohortExpression) -> int:
    """How many people (not rows) a cohort has in one version: exact, for the enclave alone."""
    with _open(estate, version) as connection:
        query = compile_cohort(expression)
        row = connection.execute(f"SELECT count(DISTINCT person_id) FROM ({query})").fetchone()
        return int(row[0]) if row else 0


def freeze(
    estate: Path,
    version: str,
    expression: CohortExpression,
    dataset: Dataset,
    split: Split,
    key: bytes,
    path: Path,
) -> FrozenCohort:
    """Write the cohort's frozen file to ``path``, complete or not at all.

    A pseudonym is HMAC-SHA256(key, person_id), cut to 63 bits; row ids count from 1, in pseudonymous order. A person
    with several cohort periods has the first. Raises FlipError ``exists``, ``unknown-version``, ``stratum-missing``.
    """
    if path.exists():
        raise FlipError("exists", f"{path} exists already.")
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        with _open(estate, version) as source:
            members = source.execute(
                "SELECT person_id, min(start_date), arg_min(end_date, start_date) "
                f"FROM ({compile_cohort(expression)}) GROUP BY 1 ORDER BY 1"
            ).fetchall()
            people = [int(row[0]) for row in members]
            source.execute("CREATE TEMP TABLE member (person_id BIGINT, until DATE)")
            if members:
                source.executemany("INSERT INTO member VALUES (?, ?)", [[row[0], row[2]] for row in members])
            parts = split_people(people, _classes(source, people, dataset, split), split)
            names = {person: _pseudonym(key, person) for person in people}
            with duckdb.connect(str(partial)) as target:
                _write(source, target, dataset, members, parts, names)
        partial.chmod(0o444)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sizes = {part: sum(1 for value in parts.values() if value == part) for part in ("train", "validation", "test")}
    salt = secrets.token_bytes(32)
    commitment = hmac.new(salt, ",".join(map(str, people)).encode(), hashlib.sha256).hexdigest()
    return FrozenCohort(sizes["train"], sizes["validation"], sizes["test"], commitment)


def split_people(people: Iterable[int], classes: Mapping[int, int], split: Split) -> dict[int, Part]:
    """Each person's part, by the rule of ``contracts.dataset.Split``; ``people`` are in ascending order."""
    parts: dict[int, Part] = {}
    ordered = list(people)
    for label in sorted(set(classes.values())):
        group = [person for person in ordered if classes[person] == label]
        shuffled = np.random.Generator(np.random.PCG64([split.seed, label])).permutation(len(group))
        test = len(group) * split.shares.test // split.shares.total
        validation = len(group) * split.shares.validation // split.shares.total
        for rank, index in enumerate(shuffled):
            part: Part = "test" if rank < test else "validation" if rank < test + validation else "train"
            parts[group[int(index)]] = part
    return parts


def _classes(source: duckdb.DuckDBPyConnection, people: list[int], dataset: Dataset, split: Split) -> dict[int, int]:
    """0 or 1 for each person, or 0 for all where the split is not stratified."""
    if split.stratify is None:
        return dict.fromkeys(people, 0)
    name = split.stratify.variable
    variable = next(variable for variable in dataset.variables if variable.name == name)
    if variable.source not in ("measurement", "observation") or variable.value != "number":
        raise FlipError(
            "stratum-missing", f"The split's variable {name!r} is no number of a measurement or observation."
        )
    table = variable.source
    rows = source.execute(
        f"SELECT m.person_id, arg_max(t.value_as_number, (t.{table}_date, t.{table}_id)) FROM member m "
        f"JOIN {table} t ON t.person_id = m.person_id AND t.{table}_concept_id = {variable.concept_id} "
        f"AND t.value_as_number IS NOT NULL AND t.{table}_date <= m.until GROUP BY 1"
    ).fetchall()
    classes = {int(person): int(value > split.stratify.above) for person, value in rows}
    if len(classes) != len(people):
        raise FlipError(
            "stratum-missing",
            f"The split's variable {name!r} is missing for some members.",
            remedy="Ask for it in the cohort's inclusion rules.",
        )
    return classes


def _write(
    source: duckdb.DuckDBPyConnection,
    target: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    members: list[tuple[Any, ...]],
    parts: Mapping[int, Part],
    names: Mapping[int, int],
) -> None:
    for table, columns in TABLES.items():
        target.execute(f"CREATE TABLE {table} ({columns})")
    meta = [[META_DATASET, dataset.model_dump_json()], [META_KIND, KIND_REAL]]
    target.executemany("INSERT INTO meta VALUES (?, ?)", meta)
    _insert(target, "cohort", sorted([names[p], start, end, parts[p]] for p, start, end in members))
    persons = source.execute(
        "SELECT p.person_id, p.gender_concept_id, p.year_of_birth FROM person p JOIN member USING (person_id)"
    ).fetchall()
    _insert(target, "person", sorted([names[int(row[0])], *row[1:]] for row in persons))
    for kind in _SOURCES:
        concepts = sorted({v.concept_id for v in dataset.variables if v.source == kind and v.concept_id is not None})
        if not concepts:
            continue
        table = _TABLE[kind]
        columns = [column.split()[0] for column in TABLES[table].split(", ")][2:]
        rows = source.execute(
            f"SELECT t.person_id, {', '.join('t.' + column for column in columns)} FROM {table} t "
            f"JOIN member USING (person_id) WHERE t.{columns[0]} IN ({', '.join(map(str, concepts))}) "
            f"ORDER BY t.{table}_id"
        ).fetchall()
        ordered = sorted(([names[int(row[0])], *row[1:]] for row in rows), key=lambda row: row[0])
        _insert(target, table, [[number, *row] for number, row in enumerate(ordered, 1)])


def _insert(target: duckdb.DuckDBPyConnection, table: str, rows: list[list[Any]]) -> None:
    if rows:
        target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _pseudonym(key: bytes, person: int) -> int:
    digest = hmac.new(key, str(person).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _open(estate: Path, version: str) -> duckdb.DuckDBPyConnection:
    file = Estate(estate).file(version)
    connection = duckdb.connect(":memory:")
    connection.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS estate (READ_ONLY)")
    connection.execute("SET search_path = 'memory.main,estate.main'")
    return connection
