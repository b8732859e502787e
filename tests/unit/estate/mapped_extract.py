"""An extract with its mapping: what tests of mapping files have in common, the people and the shapes of code lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PEOPLE = """
format = "flip/mapping/1"
vocabulary = ["concepts.csv"]

[source]
name = "Test"
abbreviation = "T"
holder = "Test"
release_date = 2001-02-03

[files.people]
path = "people.csv"
columns = ["id", "sex", "born"]

[person]
file = "people"
id = "id"
sex = { column = "sex", codes = { f = 8532, m = 8507 } }
birth_year = "born"
date = { day = 2001-02-03 }

[code_lists]
own = "codes.csv"
"""
_CODES = (
    "source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,target_vocabulary_id,"
    "valid_start_date,valid_end_date,invalid_reason\n"
)
_CONCEPTS = (
    "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,"
    "valid_end_date,invalid_reason\n"
    "8507,MALE,Gender,Gender,Gender,S,M,1970-01-01,2099-12-31,\n"
    "8532,FEMALE,Gender,Gender,Gender,S,F,1970-01-01,2099-12-31,\n"
)


def write_extract(
    folder: Path, mapping: str, concepts: Mapping[int, str], codes: Mapping[str, int], files: Mapping[str, str]
) -> None:
    """``concepts`` have their domains, ``codes`` of the list ``own`` their concepts; people are a, b and c."""
    (folder / "mapping.toml").write_text(mapping)
    listed = [f"{one},Name,{domain},Local,Local,S,{one},1970-01-01,2099-12-31,\n" for one, domain in concepts.items()]
    (folder / "concepts.csv").write_text(_CONCEPTS + "".join(listed))
    listed = [f"{code},0,x,Name,{concept},Local,1970-01-01,2099-12-31,\n" for code, concept in codes.items()]
    (folder / "codes.csv").write_text(_CODES + "".join(listed))
    (folder / "extract").mkdir(exist_ok=True)
    for name, text in (("people.csv", "id,sex,born\na,f,1950\nb,m,1960\nc,m,1970\n"), *files.items()):
        (folder / "extract" / name).write_text(text)
