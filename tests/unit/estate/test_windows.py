"""A variable's value in its window: frozen cohort, chart and stratified split against a plain Python evaluator.

One estate of random people, and hundreds of random variables over it.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pandas as pd
import pytest
from small_estate import EVERYBODY, Person, fill, has
from window_evaluator import value_of, within

from flipnb.contracts.chart import VariableChart
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Category, Dataset, Shares, Split, Stratify, Variable
from flipnb.contracts.window import Window
from flipnb.estate import freeze
from flipnb.estate.disclosure import tabulate
from flipnb.estate.splitting import split_people
from flipnb.records import Records
from flipnb.twin import make

NUMBER, CODE, ILL, ALWAYS_THERE = 50, 60, 7, 51
CODES = (61, 62, 63)
TAKES = ("last", "first", "minimum", "maximum", "mean", "count")
STAY = 20
CHANCE = Random(20261201)
EVERYONE = CohortExpression.parse(
    has([EVERYBODY]) | {"EndStrategy": {"DateOffset": {"DateField": "StartDate", "Offset": STAY}}}
)
WHOLE = Split(seed=1, shares=Shares(train=1))
CATEGORIES = tuple(Category(concept_id=code, label=str(code)) for code in CODES)


def day():
    return CHANCE.randint(-30, 45)


def person(number):
    since = date(2015, CHANCE.randint(1, 12), 3)
    numbers = [(NUMBER, since + timedelta(day()), CHANCE.choice((None, CHANCE.randint(0, 20) / 4)), None)
               for _ in range(CHANCE.randint(0, 5))]  # fmt: skip
    codes = [(CODE, since + timedelta(day()), None, CHANCE.choice((None, *CODES)))
             for _ in range(CHANCE.randint(0, 4))]  # fmt: skip
    always = [(ALWAYS_THERE, since + timedelta(offset), float(CHANCE.randint(0, 1)), None) for offset in (-9, 0, 9)]
    ill = [(ILL, since + timedelta(day())) for _ in range(CHANCE.randint(0, 2))]
    return Person(number, since=since, measured=(*numbers, *codes, *always), recorded=tuple(ill))


PEOPLE = [person(number) for number in range(1, 81)]


def window():
    if CHANCE.random() < 0.15:
        return "until-cohort-end"
    start, end = sorted((day(), day()))
    return Window(start_days=CHANCE.choice((start, start, None)), end_days=CHANCE.choice((end, end, None)))


def variable(number):
    name, days = f"v{number}", window()
    kind = CHANCE.choice(("number", "number", "concept", "flag"))
    if kind == "number":
        take = CHANCE.choice(TAKES)
        return Variable(
            name=name, source="measurement", concept_id=NUMBER, window=days, take=take, minimum=0, maximum=5
        )
    if kind == "flag":
        return Variable(name=name, source="condition", concept_id=ILL, value="flag", window=days)
    take = CHANCE.choice(("last", "first"))
    return Variable(
        name=name, source="measurement", concept_id=CODE, value="concept", window=days, take=take, categories=CATEGORIES
    )


VARIABLES = tuple(variable(number) for number in range(90))


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("estate") / "e"
    return directory, fill(directory, PEOPLE)


def frozen(estate, path, *variables, split=WHOLE):
    freeze(*estate, EVERYONE, Dataset(variables=variables), split, b"k" * 32, path)
    return Records(path)


def expected(one, variable):
    return value_of(variable, one, one.since, one.since + timedelta(STAY))


def rounded(values):
    """Comparable, in order, with None for what is missing."""
    return sorted(repr(None if pd.isna(value) else round(float(value), 9)) for value in values)


def bar(chart, value):
    """The bar that a value belongs in, by what the chart's labels say."""
    if chart.variable.source == "condition":
        return chart.labels.index("yes" if value else "no")
    if value is None:
        return chart.labels.index("missing")
    if chart.variable.value == "concept":
        return chart.labels.index(str(value))
    return sum(value >= edge for edge in chart.edges)


@pytest.mark.parametrize("first", range(0, 90, 15))
def test_frozen_values_are_those_of_plain_python(estate, tmp_path, first):
    variables = VARIABLES[first : first + 15]
    frame = frozen(estate, tmp_path / "f", *variables).train.frame()
    for variable in variables:
        assert rounded(frame[variable.name]) == rounded(expected(one, variable) for one in PEOPLE), variable


def test_charts_are_those_of_plain_python(estate):
    charts = tuple(VariableChart(variable=variable) for variable in VARIABLES[:60])
    tables = tabulate(*estate, EVERYONE, rules=(), charts=charts)
    for chart, cells in zip(charts, tables, strict=True):
        bars = [bar(chart, expected(one, chart.variable)) for one in PEOPLE]
        assert [cell.people for cell in cells] == [bars.count(number) for number in range(len(chart.labels))], chart


@pytest.mark.parametrize("number", range(5))
def test_no_row_beyond_the_windows_is_frozen(estate, tmp_path, number):
    variables = VARIABLES[number * 3 : number * 3 + 3]
    rows = frozen(estate, tmp_path / "f", *variables).sql(
        "SELECT m.measurement_concept_id AS concept, m.measurement_date - c.cohort_start_date AS day "
        "FROM measurement m JOIN cohort c ON c.subject_id = m.person_id"
    )
    wanted = [
        (concept, (day - one.since).days)
        for one in PEOPLE
        for concept, day, _, _ in one.measured
        if any(
            (variable.source, variable.concept_id) == ("measurement", concept)
            and (variable.window == "until-cohort-end" or within(variable, day, one.since, one.since))
            for variable in variables
        )
    ]
    assert sorted(zip(rows["concept"], rows["day"], strict=True)) == sorted(wanted)


@pytest.mark.parametrize(("start", "end"), [(-20, -1), (0, 0), (1, None), (None, None)])
def test_classes_of_a_stratified_split_are_of_the_window(estate, tmp_path, start, end):
    variable = Variable(
        name="v", source="measurement", concept_id=ALWAYS_THERE, window=Window(start_days=start, end_days=end)
    )
    split = Split(seed=3, shares=Shares(train=1, test=1), stratify=Stratify(variable="v", above=0.5))
    test = frozen(estate, tmp_path / "f", variable, split=split).test.frame()["v"]
    classes = {one.number: int(expected(one, variable) > 0.5) for one in PEOPLE}
    parts = split_people(classes, classes, split)
    assert sorted(test) == sorted(float(classes[number]) for number, part in parts.items() if part == "test")


def test_a_twins_records_lie_within_the_windows(tmp_path):
    for variable in VARIABLES[:10]:
        path = tmp_path / variable.name
        make(Dataset(variables=(variable,)), WHOLE, path, people=8)
        values = Records(path).train.frame()[variable.name]
        if variable.source == "condition":
            assert set(values) <= {0, 1}
        elif variable.value == "concept":
            assert set(values) <= set(CODES)
        else:
            assert not values.isna().any() and values.between(0, 5).all(), variable


@pytest.mark.parametrize("take", TAKES)
def test_the_index_date_and_both_ends_are_within(take):
    since = date(2015, 6, 1)
    measured = tuple((NUMBER, since + timedelta(day), float(day), None) for day in (-11, -10, 0, 1))
    window = Window(start_days=-10, end_days=0)
    variable = Variable(name="v", source="measurement", concept_id=NUMBER, window=window, take=take)
    value = value_of(variable, Person(1, since=since, measured=measured), since, since)
    assert value == {"last": 0, "first": -10, "minimum": -10, "maximum": 0, "mean": -5, "count": 2}[take]
