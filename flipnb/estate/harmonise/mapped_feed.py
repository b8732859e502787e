"""``--mapping FILE``: an extract by a declarative mapping of ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from flipnb.contracts.document import sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.build import Build, SourceRecord
from flipnb.estate.harmonise.code_lists import read_code_list
from flipnb.estate.harmonise.eras import derive_eras
from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.fhir_entries import SUFFIXES
from flipnb.estate.harmonise.mapped_rows import MappedRows
from flipnb.estate.harmonise.mapped_values import Converter
from flipnb.estate.harmonise.mapping import read_mapping
from flipnb.estate.harmonise.source import SourceFile, open_source
from flipnb.estate.harmonise.source_database import is_database, write_query
from flipnb.estate.harmonise.units import require_unit
from flipnb.estate.harmonise.vocabulary import read_vocabulary


class MappedFeed:
    """Raises FlipError for the mapping (``no-mapping``, ``invalid-mapping``, ``unknown-unit``, ``unit-conversion``,
    ``unknown-concept``, ``wrong-domain``) and its vocabulary (``no-vocabulary``, ``bad-vocabulary``)."""

    def __init__(self, mapping_file: Path) -> None:
        self._file = mapping_file
        self._mapping = read_mapping(mapping_file)
        self._vocabulary = read_vocabulary(self._mapping, mapping_file)
        self._vocabulary.check(self._mapping, mapping_file)
        self._converters = [
            Converter.of(field, self._vocabulary, f"The mapping file {mapping_file}, fields[{index}]")
            for index, field in enumerate(self._mapping.fields)
        ]
        self._code_lists = {
            name: read_code_list(mapping_file.parent / path) for name, path in self._mapping.code_lists.items()
        }
        for index, events in enumerate(self._mapping.events):
            if events.unit is not None:
                require_unit(events.unit, f"The mapping file {mapping_file}, events[{index}]")
        self.name = self._mapping.source.abbreviation
        self.mapping = mapping_file.name
        self.reviewer = self._mapping.reviewer

    def open(self, source: str, scratch: Path) -> list[SourceFile]:
        """The extract's files that the mapping names, answers to its queries, and the mapping file itself.

        Raises FlipError ``no-source`` for what the mapping names and the source has not.
        """
        asked = {file.path: file for file in self._mapping.files.values() if file.query is not None}
        needed = {file.path for file in self._mapping.files.values() if file.format not in ("sql", "fhir")}
        exports = {file.path for file in self._mapping.files.values() if file.format == "fhir"}

        def is_wanted(name: str) -> bool:
            return name in needed or any(_is_of(name, path) for path in exports)

        found = open_source(Path(source), scratch, is_wanted, needed) if needed or exports else []
        for path in sorted(exports):
            if not any(_is_of(file.name, path) for file in found):
                raise FlipError("no-source", f"{source} has no {path} of FHIR.", remedy="The mapping names it.")
        for path, file in asked.items():
            if not is_database(source):
                raise FlipError("no-source", f"{source} is no database, and the mapping asks one for {path}.")
            write_query(source, file.query or "", file.columns, scratch / path)
        if asked:
            found += open_source(scratch, scratch, asked.__contains__)
        content = self._file.read_bytes()
        return [*found, SourceFile(self._file.name, self._file, sha256(content), len(content))]

    def needs_vocabulary(self) -> bool:
        """Whether it has coded events, mentions or series; plain fields name their concepts themselves."""
        return bool(self._mapping.events or self._mapping.mentions or self._mapping.series)

    def version(self, files: Sequence[SourceFile]) -> str:
        """People are numbered over all files, so that a change of one makes all of them new."""
        concepts = [[str(value) for value in row] for row in self._vocabulary.rows]
        lists = [[name, [astuple(one) for one in codes]] for name, codes in sorted(self._code_lists.items())]
        parts = [lists, self._mapping.model_dump(mode="json"), concepts, [[file.name, file.digest] for file in files]]
        return sha256(json.dumps(["flip/mapping/1", *parts], sort_keys=True).encode())

    def warnings(self, build: Build) -> list[str]:
        """None: what it can't use is rejected by line."""
        return []

    def load(self, build: Build, files: Sequence[tuple[SourceFile, SourceRecord]], progress: Progress) -> list[str]:
        """All files in one transaction: a person's row may be in one and their events in another."""
        with build.together([record for _, record in files]) as loadings:
            opened = [(file, loading) for (file, _), loading in zip(files, loadings, strict=True)]
            own = next(loading for file, loading in opened if file.name == self._file.name)
            rows = MappedRows(self._mapping, self._vocabulary, self._converters, build, own, progress)
            rows.add_code_lists(self._code_lists)
            paths = {file.path for file in self._mapping.files.values()}
            rows.read({path: [one for one in opened if _is_of(one[0].name, path)] for path in paths})
            if self._mapping.events:
                derive_eras(build, own, f"({', '.join(str(loading.source_id) for loading in loadings)})")
        return []


def _is_of(name: str, path: str) -> bool:
    """Whether a file of the source is what a mapping names, or lies in the folder of FHIR files that it names."""
    return name == path or (name.startswith(f"{path}/") and name.lower().endswith(SUFFIXES))
