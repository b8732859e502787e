"""Eras against a plain reading of their definition."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.estate.harmonise.build import SOURCE_ID, Build, Loading
from flipnb.estate.harmonise.eras import derive_eras

DAY = date(2001, 1, 1)
records = st.lists(
    st.tuples(st.integers(1, 2), st.integers(5, 6), st.integers(0, 200), st.none() | st.integers(0, 40)), max_size=12
)


def expected(rows) -> list[tuple]:
    """A record joins an era whose end lies at most 30 days before its start."""
    eras: list[list] = []
    for person, concept, start, lasts in sorted(rows, key=lambda row: (row[0], row[1], row[2], row[3] or 1)):
        end = start + (1 if lasts is None else lasts)
        last = eras[-1] if eras else None
        if last is not None and last[:2] == [person, concept] and start <= last[3] + 30:
            last[3], last[4] = max(last[3], end), last[4] + 1
        else:
            eras.append([person, concept, start, end, 1])
    return [(p, c, DAY + timedelta(s), DAY + timedelta(e), n) for p, c, s, e, n in eras]


@settings(max_examples=10)
@given(records)
def test_condition_eras(tmp_path_factory, rows):
    with Build.open(tmp_path_factory.mktemp("eras") / "estate.duckdb") as build:
        for number, (person, concept, start, lasts) in enumerate(rows):
            begin = DAY + timedelta(start)
            build.connection.execute(
                "INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, "
                f"condition_start_date, condition_end_date, {SOURCE_ID}) VALUES (?, ?, ?, ?, ?, 1)",
                [number, person, concept, begin, None if lasts is None else begin + timedelta(lasts)],
            )
        derive_eras(build, Loading(2), "(1)")
        found = build.connection.execute(
            "SELECT person_id, condition_concept_id, condition_era_start_date, condition_era_end_date, "
            "condition_occurrence_count FROM condition_era ORDER BY 1, 2, 3"
        ).fetchall()
        assert found == expected(rows)


def test_drug_eras_are_of_ingredients(tmp_path):
    with Build.open(tmp_path / "estate.duckdb") as build:
        sql = build.connection.execute
        sql(
            "INSERT INTO concept (concept_id, concept_class_id, standard_concept) "
            "VALUES (7, 'Ingredient', 'S'), (8, 'x', 'S')"
        )
        sql("INSERT INTO concept_ancestor VALUES (7, 8, 1, 1, 1), (8, 8, 0, 0, 1)")
        for number, start in enumerate((0, 30, 100)):
            begin = DAY + timedelta(start)
            sql(
                "INSERT INTO drug_exposure (drug_exposure_id, person_id, drug_concept_id, drug_exposure_start_date, "
                f"drug_exposure_end_date, {SOURCE_ID}) VALUES (?, 1, 8, ?, ?, 1)",
                [number, begin, begin + timedelta(10)],
            )
        derive_eras(build, Loading(2), "(1)")
        found = sql(
            "SELECT drug_concept_id, drug_era_start_date, drug_exposure_count, gap_days FROM drug_era ORDER BY 2"
        )
        assert found.fetchall() == [(7, DAY, 2, 20), (7, DAY + timedelta(100), 1, 0)]
