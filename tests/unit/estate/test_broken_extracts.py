"""Sources that are broken, or are the wrong ones: what can't be read is a reject, and nobody's people go in silence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from estate_rows import rows
from mapped_extract import PEOPLE, write_extract

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.harmonise import delimited

HEADER = b"person_id,gender_concept_id,year_of_birth,person_source_value\n"


def person(number: int) -> bytes:
    return b"%d,8507,1950,p%d\n" % (number, number)


def loaded(tmp_path: Path, content: bytes) -> tuple[list[int], list[tuple[int, str]]]:
    """Ids of the people, and the rejects as (line, reason)."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "person.csv").write_bytes(content)
    report = load(source, "omop-5.4", tmp_path / "estate", max_rejects=0.99)
    people = rows(tmp_path / "estate", "SELECT person_id FROM person ORDER BY 1")
    found = rows(tmp_path / "estate", "SELECT line, reason FROM flip_reject ORDER BY 1")
    assert report.rejected == len(found)
    return [row[0] for row in people], found


CASES = {
    "a field too many": (b"9,8507,1950,x,more\n", [3]),
    "two fields too many": (b"9,8507,1950,x,more,still\n", [3]),
    "a field too few": (b"9,8507,1950\n", [3]),
    "no UTF-8": (b"9,8507,1950,\xff\xfe\n", [3]),
    "a NUL": (b"9,8507,1950,a\0b\n", [3]),
    "text after a quote": (b'9,8507,1950,"a"b\n', [3]),
    "after empty lines": (b"\n\n9,8507,1950,x,more\n\n", [5]),
    "after a text of two lines": (b'8,8507,1950,"a\nb"\n9,8507,1950,x,more\n', [5]),
    "a carriage return": (b"9,8507,19\r50,x\n", [3, 4]),
    "other ends of lines": (b"9,8507,1950,x,more\r\n8,8507,1950,x\r\n", [3]),
    "a row of 100 MB": (b"9,8507,1950," + b"x" * (100 << 20) + b"\n", [3]),
}


@pytest.mark.parametrize(("row", "lines"), CASES.values(), ids=CASES)
def test_a_broken_row_is_a_reject_and_the_others_load(tmp_path: Path, row: bytes, lines: list[int]) -> None:
    people, rejects = loaded(tmp_path, HEADER + person(1) + row + person(2) + person(3))
    assert [one for one in people if one != 8] == [1, 2, 3]
    assert [line for line, _ in rejects] == lines and all(reason for _, reason in rejects)


def test_what_an_open_quote_swallows_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one reject it would be below every limit, however many people it took."""
    broken = HEADER + person(1) + b'9,8507,1950,"open\n' + person(2) + person(3)
    people, rejects = loaded(tmp_path, broken)
    assert people == [1] and [line for line, _ in rejects] == [3, 4, 5]
    assert rejects[1][1] == "within a quote that was opened on line 3 and that nothing closes"
    monkeypatch.setattr(delimited, "MOST_UNREAD", 2)
    (tmp_path / "source" / "person.csv").write_bytes(broken + person(4))
    with pytest.raises(FlipError, match=r"person\.csv, line 3: a quote is opened .* 4 lines") as refused:
        load(tmp_path / "source", "omop-5.4", tmp_path / "estate", max_rejects=0.99)
    assert refused.value.code == "bad-file"


def test_no_row_is_lost_whatever_the_bytes(tmp_path: Path) -> None:
    """People and rejects together are as many as the lines, for any bytes without quotes and ends of lines."""
    dice = random.Random(9)
    noise = [bytes(dice.choice(b"1,x\0\xff\xc3\xa9;\t ") for _ in range(dice.randrange(1, 30))) for _ in range(300)]
    lines = [person(number) if number % 3 else noise[number] + b"\n" for number in range(300)]
    people, rejects = loaded(tmp_path, HEADER + b"".join(lines))
    assert len(people) + len(rejects) == 300 and len(people) >= 200
    assert [line for line, _ in rejects] == sorted({line for line, _ in rejects})


def mapped(tmp_path: Path, people: bytes) -> list[tuple[int, str]]:
    fields = (
        '[[fields]]\nfile = "people"\ncolumn = "sex"\ntable = "observation"\nconcept = 5\ncodes = { f = 6, m = 6 }\n'
    )
    write_extract(tmp_path, PEOPLE + fields, {5: "Observation", 6: "Meas Value"}, {}, {})
    (tmp_path / "extract" / "people.csv").write_bytes(people)
    load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate", max_rejects=0.99)
    return rows(tmp_path / "estate", "SELECT line, reason FROM flip_reject ORDER BY 1")


def test_a_mappings_broken_rows_are_rejects(tmp_path: Path) -> None:
    broken = b'id,sex,born\na,f,1950\nb,m,1950,more\nc,m\n\xff,f,1950\nd\0,f,1950\ne,f,1960\nf,"m,1960\ng,f,1970\n'
    assert mapped(tmp_path, broken) == [
        (3, "4 fields where 3 are expected"),
        (4, "2 fields where 3 are expected"),
        (5, "column id is not utf-8"),
        (6, "a NUL character in column id"),
        (8, "a quote is opened here that nothing closes"),
        (9, "within a quote that was opened on line 8 and that nothing closes"),
    ]
    assert rows(tmp_path / "estate", "SELECT count(*) FROM person") == [(2,)]


def test_an_estate_does_not_lose_all_its_people_unsaid(tmp_path: Path) -> None:
    source, estate = tmp_path / "source", tmp_path / "estate"
    source.mkdir()
    (source / "person.csv").write_bytes(HEADER + b"".join(map(person, range(1, 901))))
    first = load(source, "omop-5.4", estate)
    assert (first.people_before, first.people) == (0, 900)
    (source / "person.csv").write_bytes(HEADER)
    with pytest.raises(FlipError, match=r"has 900 people, and after this load of .* would have none") as refused:
        load(source, "omop-5.4", estate)
    assert refused.value.code == "people-lost" and "--allow-empty" in (refused.value.remedy or "")
    assert Estate.open(estate).current() == first.version
    meant = load(source, "omop-5.4", estate, allow_empty=True)
    assert (meant.people_before, meant.people) == (900, 0)
    # Back and forth, to versions that are there.
    (source / "person.csv").write_bytes(HEADER + b"".join(map(person, range(1, 901))))
    assert load(source, "omop-5.4", estate).people == 900
    (source / "person.csv").write_bytes(HEADER)
    with pytest.raises(FlipError, match="would have none"):
        load(source, "omop-5.4", estate)
    (source / "person.csv").write_bytes(HEADER + person(1))
    assert load(source, "omop-5.4", estate).people_before == 900


def test_files_that_lie_elsewhere_are_named(tmp_path: Path) -> None:
    write_extract(tmp_path, PEOPLE + '[[events]]\nfile = "people"\ncolumn = "sex"\ncodes = "own"\n'
                  'table = "observation"\ndate = { day = 2001-02-03 }\n', {}, {"f": 8532}, {})  # fmt: skip
    outer = tmp_path / "outer"
    outer.mkdir()
    (tmp_path / "extract").rename(outer / "export")
    with pytest.raises(FlipError, match=r"has no file people\.csv, but export/people\.csv") as refused:
        load(outer, tmp_path / "mapping.toml", tmp_path / "estate")
    assert "Name the folder export" in (refused.value.remedy or "")
    (tmp_path / "mapping.toml").rename(outer / "export" / "mapping.toml")
    with pytest.raises(FlipError, match=r"There is no mapping .*; the source has .*export/mapping\.toml"):
        load(outer, outer / "mapping.toml", tmp_path / "estate")


@pytest.mark.parametrize(("name", "text"), [("m.toml", "a = " + "[" * 100_000), ("m.json", '{"a":' * 100_000)])
def test_a_mapping_that_is_nested_without_end_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FlipError, match=f"The mapping file .*{name} is nested too deeply") as refused:
        load(tmp_path, tmp_path / name, tmp_path / "estate")
    assert refused.value.code == "invalid-mapping"
