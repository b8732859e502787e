"""Concepts that a mapping may name: CSV files in the shape of OMOP's CONCEPT table."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.mapping import Mapping
from flipnb.estate.omop.cdm import tables


@dataclass(frozen=True)
class Concept:
    """A concept that a mapping may name, and its whole row for the estate."""

    concept_id: int
    domain_id: str
    vocabulary_id: str
    concept_code: str
    row: tuple[object, ...]


class Vocabulary:
    """Concepts by id; ``rows`` are those of the CDM's table concept, by id."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        self._concepts = {concept.concept_id: concept for concept in concepts}
        self._units = {c.concept_code: c.concept_id for c in self._concepts.values() if c.domain_id == "Unit"}

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """All concepts as rows of OMOP's CONCEPT, in a fixed order."""
        return [self._concepts[key].row for key in sorted(self._concepts)]

    def unit(self, code: str, where: str) -> int:
        """The concept of a UCUM code. Raises FlipError ``unknown-concept``."""
        if code not in self._units:
            raise FlipError("unknown-concept", f"{where}: the vocabulary has no concept of domain Unit for {code!r}.")
        return self._units[code]

    def check(self, mapping: Mapping, path: Path) -> None:
        """A mapping without a vocabulary of its own relies on the estate's, which is not looked at here.

        Raises FlipError ``unknown-concept``, ``wrong-domain``, naming the place in the mapping file.
        """
        if not mapping.vocabulary:
            return
        for place, concept_id, domain in mapping.concepts():
            concept = self._concepts.get(concept_id)
            if concept is None:
                raise FlipError(
                    "unknown-concept", f"The mapping file {path}, {place}: the vocabulary has no concept {concept_id}."
                )
            if concept.domain_id != domain:
                raise FlipError(
                    "wrong-domain",
                    f"The mapping file {path}, {place}: concept {concept_id} is of domain {concept.domain_id}, "
                    f"where one of {domain} is needed.",
                )


def read_vocabulary(mapping: Mapping, mapping_file: Path) -> Vocabulary:
    """Raises FlipError ``no-vocabulary``, ``bad-vocabulary`` (file and line)."""
    concepts: list[Concept] = []
    for name in mapping.vocabulary:
        concepts += _read(mapping_file.parent / name)
    return Vocabulary(concepts)


def _read(path: Path) -> Iterable[Concept]:
    columns = tables()["concept"].columns
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FlipError("no-vocabulary", f"The vocabulary file {path} can't be read: {error.strerror}.") from None
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != columns:
        raise FlipError("bad-vocabulary", f"{path}, line 1: the columns must be {','.join(columns)}.")
    for row in reader:
        try:
            yield _concept(row, columns)
        except (ValueError, TypeError) as error:
            raise FlipError("bad-vocabulary", f"{path}, line {reader.line_num}: {error}.") from None


def _concept(row: dict[str, str], columns: tuple[str, ...]) -> Concept:
    values: dict[str, object] = {name: row[name] or None for name in columns}
    values["concept_id"] = int(row["concept_id"])
    for name in ("valid_start_date", "valid_end_date"):
        values[name] = date.fromisoformat(row[name])
    return Concept(
        concept_id=int(row["concept_id"]),
        domain_id=row["domain_id"],
        vocabulary_id=row["vocabulary_id"],
        concept_code=row["concept_code"],
        row=tuple(values[name] for name in columns),
    )
