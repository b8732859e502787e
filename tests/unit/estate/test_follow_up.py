"""A newcomer's CSV: when people died, how long they were followed, and a sex that nobody knows."""

from __future__ import annotations

from datetime import date

import pytest
from mapped_extract import PEOPLE, write_extract

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load

MAPPING = (
    (
        PEOPLE.replace('columns = ["id", "sex", "born"]', 'columns = ["id", "sex", "born", "died", "first", "last"]')
        .replace("m = 8507", "m = 8507, U = 0")
        .replace(
            "[code_lists]", '[death]\ncolumn = "died"\n\n[follow_up]\nstart = "first"\nend = "last"\n\n[code_lists]'
        )
    )
    + """
[files.values]
path = "values.csv"
columns = ["id", "day", "weight"]

[[fields]]
file = "values"
column = "weight"
date = { column = "day" }
table = "measurement"
concept = 10
unit = "kg"
"""
)
ROWS = "id,sex,born,died,first,last\n"
VALUES = "id,day,weight\na,2000-05-05,70\nb,2010-01-01,80\n"


def loaded(tmp_path, people, mapping=MAPPING, *, rejects=1.0):
    write_extract(
        tmp_path,
        mapping,
        {10: "Measurement", 8843: "Unit"},
        {"x": 10},
        {"people.csv": people, "values.csv": VALUES},
    )
    concepts = tmp_path / "concepts.csv"
    concepts.write_text(
        concepts.read_text().replace("8843,Name,Unit,Local,Local,S,8843", "8843,kilogram,Unit,UCUM,Unit,S,kg")
    )
    report = load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate", max_rejects=rejects)
    with Estate.open(tmp_path / "estate").reading(report.version) as connection:
        fetch = lambda sql: connection.execute(sql).fetchall()  # noqa: E731
        return {
            "sex": fetch("SELECT person_source_value, gender_concept_id FROM person ORDER BY 1"),
            "death": fetch(
                "SELECT person_source_value, death_date FROM death JOIN person USING (person_id) ORDER BY 1"
            ),
            "period": fetch(
                "SELECT person_source_value, observation_period_start_date, observation_period_end_date "
                "FROM observation_period JOIN person USING (person_id) ORDER BY 1"
            ),
            "rejects": fetch("SELECT line, reason FROM flip_reject ORDER BY 1"),
        }


def test_deaths_follow_up_and_an_unknown_sex_are_loaded(tmp_path):
    people = ROWS + "a,f,1950,2005-03-04,1999-01-01,2005-03-04\nb,U,1960,,,2009-09-09\nc,,1970,2003-01-01,,\n"
    found = loaded(tmp_path, people)
    assert found["rejects"] == []
    assert found["sex"] == [("a", 8532), ("b", 0), ("c", 0)]
    assert found["death"] == [("a", date(2005, 3, 4)), ("c", date(2003, 1, 1))]
    day = date(2001, 2, 3)
    assert found["period"] == [
        ("a", date(1999, 1, 1), date(2005, 3, 4)),
        ("b", day, date(2009, 9, 9)),  # what is recorded in 2010 is not observed
        ("c", day, date(2003, 1, 1)),  # a death extends the period
    ]


def test_they_may_be_in_a_file_of_their_own_and_nobodys_sex_be_known(tmp_path):
    mapping = MAPPING.replace('[death]\ncolumn = "died"', '[death]\nfile = "ends"\ncolumn = "died"')
    mapping = mapping.replace('[follow_up]\nstart = "first"\n', '[follow_up]\nfile = "ends"\n')
    mapping = "".join(line for line in mapping.splitlines(keepends=True) if not line.startswith("sex = "))
    mapping = mapping.replace(', "died", "first", "last"]', "]")
    mapping += '[files.ends]\npath = "ends.csv"\ncolumns = ["who", "died", "last"]\nperson = "who"\n'
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "ends.csv").write_text(
        "who,died,last\na,2004-01-01,2004-01-01\na,2004-01-02,\nx,2004-01-01,\nb,,1990-01-01\nc,soon,\n"
    )
    found = loaded(tmp_path, "id,sex,born\na,f,1950\nb,m,1960\nc,m,1970\n", mapping)
    assert found["sex"] == [("a", 0), ("b", 0), ("c", 0)]
    assert found["death"] == [("a", date(2004, 1, 1))]
    assert {who: end for who, _, end in found["period"]}["a"] == date(2004, 1, 1)
    reasons = " / ".join(reason for _, reason in found["rejects"])
    for words in ("death is there twice", "there is no person 'x'", "is no ISO date", "before it starts on 2001-02-03"):
        assert words in reasons, reasons


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('column = "died"', 'column = "gone"', "death: file 'people' has no column 'gone'"),
        ("[death]\n", '[death]\nfile = "none"\n', "death: there is no file 'none'"),
        ('start = "first"\nend = "last"\n', "", "needs a column of its start or its end"),
    ],
)
def test_a_mapping_that_names_what_is_not_there_is_refused(tmp_path, old, new, says):
    with pytest.raises(FlipError, match=says) as caught:
        loaded(tmp_path, ROWS, MAPPING.replace(old, new))
    assert caught.value.code == "invalid-mapping"
