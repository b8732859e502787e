"""Exact tables against plain Python: who is in the cohort, in which bar, and how many after each rule."""

from __future__ import annotations

import random
from datetime import date

import pytest
from small_estate import EVERYBODY, FEMALE, MALE, Person, aged, but_not, fill, group, has, ruled

from flipnb.contracts.chart import AgeChart, MissingChart, SexChart, VariableChart, YearChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Category, Variable
from flipnb.estate.disclosure import tabulate

PRESSURE, ILL, RARE = 50, 7, 8
CHANCE = random.Random(5)
PEOPLE = [
    Person(
        number,
        gender=CHANCE.choice([FEMALE, MALE, 0]),
        born=CHANCE.randint(1915, 2016),
        since=date(CHANCE.randint(2009, 2016), CHANCE.randint(1, 12), 3),
        conditions=frozenset(c for c in (ILL, RARE) if CHANCE.random() < 0.4),
        values={PRESSURE: float(CHANCE.randint(60, 210))} if CHANCE.random() < 0.7 else {},
    )
    for number in range(1, 161)
]
COHORT = ruled(but_not(has([EVERYBODY]), [RARE]), group(aged("gte", 18)), group(aged("lt", 80, FEMALE, MALE)))


def age(person: Person) -> int:
    return person.since.year - person.born


def after(rules: int) -> list[Person]:
    tests = (
        lambda p: RARE not in p.conditions,
        lambda p: age(p) >= 18,
        lambda p: age(p) < 80 and p.gender in (FEMALE, MALE),
    )
    return [person for person in PEOPLE if all(test(person) for test in tests[:rules])]


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("estate")
    return directory, fill(directory, PEOPLE)


def tables(estate, *, rules=(), charts=(), members=False):
    directory, version = estate
    expression = CohortExpression.parse(COHORT)
    return tabulate(directory, version, expression, rules=rules, charts=charts, members=members)


def test_people_after_each_rule(estate):
    found = tables(estate, rules=(0, 1, 2, 3))
    assert [table[0].people for table in found] == [len(after(rules)) for rules in range(4)]


BARS = {
    AgeChart(width=5): lambda p: min(age(p) // 5, 18),
    SexChart(): lambda p: {FEMALE: 0, MALE: 1}.get(p.gender, 2),
    YearChart(first=2010, last=2014): lambda p: min(max(p.since.year - 2009, 0), 6),
    MissingChart(source="measurement", concept_id=PRESSURE): lambda p: 0 if p.values else 1,
    MissingChart(source="condition", concept_id=ILL): lambda p: 0 if ILL in p.conditions else 1,
    VariableChart(variable=Variable(name="bp", source="measurement", concept_id=PRESSURE, minimum=80, maximum=180)):
        lambda p: min(max(int(p.values[PRESSURE] - 80) // 10, 0), 9) if p.values else 10,
    VariableChart(variable=Variable(name="age", source="age", minimum=0, maximum=100)): lambda p: age(p) // 10,
    VariableChart(variable=Variable(name="ill", source="condition", concept_id=ILL, value="flag")):
        lambda p: 0 if ILL in p.conditions else 1,
    VariableChart(variable=Variable(name="sex", source="sex", categories=(Category(concept_id=MALE, label="m"),))):
        lambda p: 0 if p.gender == MALE else 1,
}  # fmt: skip


def test_each_member_is_in_one_bar_of_a_chart(estate):
    found = tables(estate, charts=tuple(BARS))
    for (chart, bar), cells in zip(BARS.items(), found, strict=True):
        expected = [0] * len(chart.labels)
        for person in after(3):
            expected[bar(person)] += 1
        assert [cell.people for cell in cells] == expected, chart


def test_a_digest_of_members_is_of_members(estate):
    plain = tables(estate, rules=(0, 3), charts=(SexChart(),))
    found = tables(estate, rules=(0, 3), charts=(SexChart(),), members=True)
    assert [[cell.people for cell in table] for table in found] == [[c.people for c in table] for table in plain]
    assert found[0][0].members != found[1][0].members
    assert found[1][0].members == tables(estate, rules=(3,), members=True)[0][0].members
    assert {cell.members for table in plain for cell in table} == {""}
