"""A twin drawn from what Trusts told: shares as told, rare values alike, nothing beyond the plausible range."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from test_twin_records import DATASET, NO, SPLIT, YES

from flipnb.contracts.chart import Bar, ChartOfTrust, VariableChart
from flipnb.contracts.dataset import Category, Dataset, Variable
from flipnb.records import Records
from flipnb.twin import Marginals, make

SITE = tuple(Category(concept_id=code, label=str(code)) for code in (11, 12, 13, 14))
COMPLAINT = Variable(name="complaint", source="observation", concept_id=5, value="concept", categories=SITE)
WIDER = Dataset(variables=(*DATASET.variables, COMPLAINT))


def told(name: str, *people: int | None) -> ChartOfTrust:
    (variable,) = (v for v in WIDER.variables if v.name == name)
    chart = VariableChart(variable=variable)
    assert len(chart.labels) == len(people)
    bars = tuple(Bar(label=label, people=n) for label, n in zip(chart.labels, people, strict=True))
    return ChartOfTrust(chart=chart, bars=bars, people=sum(n or 0 for n in people))


def marginals(*trusts: tuple[ChartOfTrust, ...], noise: float = 10.0) -> Marginals:
    named = {f"Trust {number}": charts for number, charts in enumerate(trusts)}
    digest = "0" * 64
    return Marginals(study="heart", cohort=digest, dataset=digest, asked=datetime.now(UTC), noise=noise, trusts=named)


def frame(path, made: Marginals | None, dataset: Dataset = WIDER, people: int = 600):
    make(dataset, SPLIT, path, people=people, marginals=made)
    records = Records(path)
    assert records.is_twin
    import pandas as pd

    return pd.concat([part.frame() for part in (records.train, records.validation, records.test)])


def test_shares_are_those_that_two_trusts_told_together(tmp_path):
    chol = told("chol", None, 200, 200, *[None] * 7, 100)
    other = told("chol", None, 200, 200, *[None] * 7, 100)
    people = frame(tmp_path / "twin", marginals(
        (chol, told("sugar", 300, 100, 0, None), told("stroke", 50, 350), told("sex", 300, 100, None, None)), (other,)
    ))  # fmt: skip
    assert people["chol"].isna().mean() == pytest.approx(0.2, abs=0.07)
    assert people["chol"].dropna().between(120, 159).all()
    assert people["chol"].dropna().between(120, 139).mean() == pytest.approx(0.5, abs=0.09)
    assert (people["sugar"] == YES.concept_id).mean() == pytest.approx(0.75, abs=0.07)
    assert set(people["sugar"]) == {YES.concept_id, NO.concept_id}
    assert people["stroke"].mean() == pytest.approx(0.125, abs=0.06)
    assert (people["sex"] == 8507).mean() == pytest.approx(0.75, abs=0.07)


def test_rare_values_are_drawn_alike_and_noise_is_no_value(tmp_path):
    people = frame(tmp_path / "twin", marginals((told("complaint", 200, 15, None, None, 100, 10),)))
    shares = people["complaint"].value_counts(normalize=True)
    assert not people["complaint"].isna().any()
    assert shares[11] == pytest.approx(2 / 3, abs=0.08)
    assert all(shares[code] == pytest.approx(1 / 9, abs=0.06) for code in (12, 13, 14))


def test_where_nothing_was_told_the_schema_speaks(tmp_path):
    nothing = marginals((told("chol", *[None] * 11),))
    first = frame(tmp_path / "a", nothing, people=50)
    assert first.equals(frame(tmp_path / "b", None, people=50))
