"""Charts in words: what is read is what is written, and nonsense is refused by name."""

import json

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.workbench.chart_words import chart_words, read_chart
from flipnb.workbench.counting import price


@pytest.mark.parametrize("words", ["age:5", "age:10", "sex", "year:2010-2020", "missing:measurement:3004249"])
def test_words_are_read_and_written(words):
    assert chart_words(read_chart(words)) == words
    assert read_chart("age") == read_chart("age:10")


@pytest.mark.parametrize(
    "words", ["", "age:7", "age:x", "year", "year:2020-2010", "year:1900-2100", "sex:1", "missing:drug:1", "colour"]
)
def test_nonsense_is_refused_by_name(words):
    with pytest.raises(FlipError) as caught:
        read_chart(words)
    assert caught.value.code == "unknown-chart"
    assert repr(words) in caught.value.message


def test_prices(tutorial):
    cohort = json.loads(tutorial.with_name("heart_disease.cohort.json").read_text())
    rules = len(cohort["InclusionRules"])
    assert price(cohort) == 1
    assert price(cohort, funnel=True) == rules + 1
    assert price(cohort, charts=[read_chart("sex"), read_chart("age"), read_chart("age:10")]) == 1 + 4
