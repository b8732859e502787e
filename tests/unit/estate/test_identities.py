"""Whose number is whose: the map against a plain evaluator, and controllers' files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.identities import Claim, IdentityMap, closes_circle, normal

DAY = date(2020, 1, 1)
SYSTEMS = ("A", "B", "ehr")
NUMBERS = ("1", "2", "3", "4")
moments = st.one_of(st.none(), st.integers(0, 6).map(lambda days: DAY + timedelta(days)))


@dataclass(frozen=True)
class World:
    own: dict[tuple[str, str], set[int]]
    claims: tuple[Claim, ...]


@st.composite
def worlds(draw) -> World:
    people = draw(st.dictionaries(st.sampled_from(NUMBERS), st.integers(1, 9), max_size=4))
    more = draw(st.dictionaries(st.sampled_from(NUMBERS), st.integers(10, 12), max_size=2))
    own = {("ehr", n): {p} for n, p in people.items()} | {("lab", n): {p} for n, p in more.items()}
    claims = []
    for _ in range(draw(st.integers(0, 7))):
        merge = draw(st.booleans())
        target = draw(st.sampled_from(NUMBERS))
        since, until = draw(moments), draw(moments)
        claims.append(
            Claim(
                draw(st.sampled_from(SYSTEMS)),
                draw(st.sampled_from(NUMBERS)),
                None if merge else target,
                target if merge else None,
                since,
                until,
                draw(st.sampled_from([None, "ehr", "lab"])),
            )
        )
    return World(own, tuple(claims))


def plainly(world: World, system: str | None, number: str, moment: date | None) -> set[int]:
    """By walking over every path: a set of steps, repeated until nothing new is reached; merged numbers pass on."""

    def step(node: tuple[str, str, str]) -> set[tuple[str, str, str]] | set[int]:
        kind, where, what = node
        there = [c for c in world.claims if (c.system, c.number) == (where, what)]
        stated = [c for c in there if c.feed is None]
        there = stated or there
        now = [c for c in there if moment is None or ((c.since or date.min) <= moment <= (c.until or date.max))]
        merges = {("number", where, c.merged_into) for c in now if c.merged_into}
        if merges:
            return merges
        if kind == "person":
            return world.own[where, what]
        reached: set = set() if stated else set(world.own.get((where, what), ()))
        for c in now:
            for feed, value in world.own:
                if value == c.person and c.feed in (None, feed):
                    reached.add(("person", feed, value))
        return reached

    all_systems = {s for s, n in [*world.own, *((c.system, c.number) for c in world.claims)] if n == number}
    waiting = [("number", one, number) for one in (all_systems if system is None else {system})]
    seen: set = set()
    people: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for one in step(node):
            if isinstance(one, int):
                people.add(one)
            else:
                waiting.append(one)
    return people


@given(worlds(), st.sampled_from([None, *SYSTEMS, "lab"]), st.sampled_from(NUMBERS), moments)
def test_a_number_is_whose_a_walk_over_all_claims_finds(world, system, number, moment):
    found = IdentityMap(world.own, world.claims).lookup(system, number, moment)
    assert found.people == plainly(world, system, number, moment)
    assert (found.person is not None) == (found.state == "one") == (len(found.people) == 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_merges_that_are_let_in_never_lead_back(pairs):
    merges: dict[str, list[str]] = {}
    for one, other in pairs:
        if not closes_circle(merges, str(one), str(other)):
            merges.setdefault(str(one), []).append(str(other))

    def depth(number: str, left: int) -> None:
        assert left, "a circle"
        for into in merges.get(number, ()):
            depth(into, left - 1)

    for number in list(merges):
        depth(number, 8)


def test_how_numbers_are_written():
    assert normal(" 943 476 5919 ") == normal("943-476-5919") == "9434765919"
    assert normal("AB 12") == "AB 12"
    assert normal("007") == "007"


def people(folder: Path, *numbers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{n},8532,1960,0,0,{value}" for n, value in enumerate(numbers, 1)]
    head = "person_id,gender_concept_id,year_of_birth,race_concept_id,ethnicity_concept_id,person_source_value"
    (folder / "person.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def stated(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["system,number,person,from,to,merged_into", *rows]) + "\n")
    return path


def known(estate: Path) -> IdentityMap:
    opened = Estate.open(estate)
    with opened.reading(opened.current() or "") as connection:
        return IdentityMap.of(connection)


def test_a_controllers_file_of_numbers(tmp_path):
    estate = tmp_path / "estate"
    load(people(tmp_path / "people", "p1", "p2"), "omop-5.4", estate)
    file = stated(
        tmp_path / "numbers.csv",
        "PACS,100,p1,,2010-12-31,",
        "PACS,100,p2,2011-01-01,,",
        "PACS,101,,,,100",
        "PACS,102,,,,101",
        "NHS,943 476 5919,p2,,,",
        "NHS,1,gone,,,",
    )
    report = load(file, "identities", estate)
    assert report.new and report.people == 2 and report.rejected == 0
    assert report.warnings == ("1 numbers are of nobody in the estate: 1 of NHS",)
    found = known(estate)
    assert found.lookup("PACS", "102", date(2010, 1, 1)).person == 1
    assert found.lookup("PACS", "102", date(2015, 1, 1)).person == 2
    assert found.lookup("PACS", "100").state == "several"
    assert found.lookup(None, "9434765919", date(2015, 1, 1)).person == 2
    assert found.lookup("omop-5.4", "p1").person == 1
    assert found.lookup("elsewhere", "100", date(2010, 1, 1)).state == "nobody"
    again = load(file, "identities", estate)
    assert not again.new and again.version == report.version
    # People who come with other ids are found by the same numbers.
    load(people(tmp_path / "people", "p0", "p2", "p1"), "omop-5.4", estate)
    assert known(estate).lookup("PACS", "102", date(2010, 1, 1)).person == 3


def test_what_a_file_of_numbers_says_wrongly_is_named_by_line(tmp_path):
    estate = tmp_path / "estate"
    load(people(tmp_path / "people", "p1"), "omop-5.4", estate)
    bad = [
        ("PACS,,p1,,,", "column number is missing"),
        (",1,p1,,,", "column system is missing"),
        ("PACS,1,p1,,,2", "either person or merged_into"),
        ("PACS,1,,,,", "either person or merged_into"),
        ("PACS,1,p1,2011-13-01,,", "is no date"),
        ("PACS,1,p1,2011-02-01,2011-01-01,", "it ends on 2011-01-01"),
        ("PACS,7,,,,7", "into itself"),
        ("PACS,3,,,,1", "closes a circle"),
        ("PACS,1,p1", "3 columns"),
        ("PACS,2,,,,3", "there twice"),
        (f"PACS,{'9' * 65},p1,,,", "more than 64 characters"),
        ("PACS,1\0,p1,,,", "no text"),
    ]
    good = ["PACS,1,,,,2", "PACS,2,,,,3", "PACS,9,p1,,,"]
    file = stated(tmp_path / "numbers.csv", *good, *(row for row, _ in bad))
    with pytest.raises(FlipError) as refused:
        load(file, "identities", estate)
    assert refused.value.code == "too-many-rejects"
    report = load(file, "identities", estate, max_rejects=1.0)
    assert report.rejected == len(bad)
    with duckdb.connect(str(Estate.open(estate).file(report.version)), read_only=True) as connection:
        rows = connection.execute("SELECT line, reason FROM flip_reject ORDER BY line").fetchall()
    assert [line for line, _ in rows] == list(range(5, 5 + len(bad)))
    for (_, reason), (_, expected) in zip(rows, bad, strict=True):
        assert expected in reason
    assert known(estate).lookup("PACS", "9").person == 1
    with pytest.raises(FlipError, match="the columns must be"):
        load(people(tmp_path / "other", "x") / "person.csv", "identities", estate)


def test_numbers_of_fhir_patients_and_who_replaced_whom(tmp_path):
    nhs = "https://fhir.nhs.uk/Id/nhs-number"
    patients = [
        {
            "resourceType": "Patient",
            "id": "a",
            "birthDate": "1950-01-01",
            "identifier": [
                {"system": nhs, "value": "9434765919", "type": {"coding": [{"code": "NH"}]}},
                {"system": "mrn", "value": "77", "period": {"start": "2001-01-01", "end": "2009-12-31"}},
                {"system": "mrn", "value": "88", "period": {"start": "soon"}},
                {"value": "of no system"},
            ],
            "link": [{"type": "replaced-by", "other": {"reference": "Patient/b"}}],
        },
        {"resourceType": "Patient", "id": "b", "birthDate": "1950-01-01"},
        {
            "resourceType": "Patient",
            "id": "c",
            "birthDate": "1980-01-01",
            "identifier": {"system": "mrn", "value": "77", "period": {"start": "2010-01-01"}},
        },
    ]
    source = tmp_path / "Patient.ndjson"
    source.write_text("".join(json.dumps(one) + "\n" for one in patients))
    report = load(source, "fhir-r4", tmp_path / "estate")
    assert report.people == 3 and report.rejected == 0
    found = known(tmp_path / "estate")
    b, c = (found.lookup("fhir-r4", one).person for one in "bc")
    assert None not in (b, c) and b != c
    assert found.lookup(nhs, "943 476 5919").person == found.lookup("fhir-r4", "a").person == b
    assert found.lookup("mrn", "77", date(2005, 1, 1)).person == b
    assert found.lookup(None, "77", date(2015, 1, 1)).person == c
    assert found.lookup("mrn", "77").state == "several"
    assert found.lookup("mrn", "88").state == "nobody"
