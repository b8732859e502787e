"""The studies of images that a cohort's people have, by the headers that were loaded: what a pull asks for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort.generation import compiled_for, read_definition
from flipnb.estate.cohort.subqueries import in_dialect
from flipnb.estate.database import reading


def studies_of(
    definition: Path, estate: Path | str, modalities: Collection[str] = ()
) -> tuple[tuple[tuple[str, str], ...], int]:
    """(StudyInstanceUID, the person's own number in its source or "") of each study, sorted, and the cohort's people.

    With ``modalities`` (as the source writes them) those alone whose first series has one of them.

    Identifies people: for inside an enclave. Raises FlipError as ``generate``.
    """
    expression = CohortExpression.parse(read_definition(definition))
    with reading(estate) as database:
        compiled = compiled_for(database, expression)
        people = {int(row[0]) for row in database.rows(in_dialect(compiled.rows(), database.dialect))}
        found = database.rows(
            "SELECT DISTINCT i.image_study_uid, p.person_source_value, p.person_id, o.procedure_source_value "
            "FROM image_occurrence i JOIN person p ON p.person_id = i.person_id "
            "LEFT JOIN procedure_occurrence o ON o.procedure_occurrence_id = i.procedure_occurrence_id "
            "WHERE i.image_study_uid IS NOT NULL"
        )
        wanted = {
            (str(study), str(number or ""))
            for study, number, person, modality in found
            if person in people and (not modalities or modality in modalities)
        }
    return tuple(sorted(wanted)), len(people)
