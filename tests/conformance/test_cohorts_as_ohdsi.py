"""Our cohorts have the rows of OHDSI's own generated SQL: 59 definitions of its PhenotypeLibrary, two populations."""

from __future__ import annotations

from collections import Counter

import pytest
from ohdsi_reference import definition, definition_ids, generated, reference_rows, synthea
from public_data import PHENOTYPES

from flipnb.contracts import cohort_bounds
from flipnb.contracts.cohort import CohortExpression
from flipnb.estate.cohort.by_concept import write_by_concept
from flipnb.estate.cohort.generation import compiled_for, count_people
from flipnb.estate.database import DuckDBDatabase


class Population:
    """A database, and what our compiler found in it."""

    def __init__(self, connection) -> None:
        self.connection = connection
        self._found: dict[str, list[tuple]] = {}

    def rows(self, name: str) -> list[tuple]:
        if name not in self._found:
            database = DuckDBDatabase(self.connection)
            sql = compiled_for(database, CohortExpression.parse(definition(name))).rows()
            self._found[name] = sorted(database.rows(sql))
        return self._found[name]


@pytest.fixture(scope="module")
def populations():
    """Synthea's as its tables are; the generated one also by concept, as a loaded estate is."""
    by_concept = generated()
    write_by_concept(by_concept)
    return {"synthea": Population(synthea()), "generated": Population(by_concept)}


def test_definitions_are_there():
    assert len(definition_ids()) == 59
    assert len(list(PHENOTYPES.directory().iterdir())) == 2 * 59


def test_bounds_are_three_times_what_any_definition_has_and_most_eight_times(monkeypatch):
    for share, bounds in (
        (8, ("MAXIMUM_BYTES", "MAXIMUM_CONCEPTS", "MAXIMUM_GROUPS", "MAXIMUM_SETS")),
        (3, ("MAXIMUM_CRITERIA", "MAXIMUM_NESTED", "MAXIMUM_PAIRED")),
        (2, ("MAXIMUM_DISTINCT",)),
    ):
        for bound in bounds:
            monkeypatch.setattr(cohort_bounds, bound, getattr(cohort_bounds, bound) // share)
    monkeypatch.setattr(cohort_bounds, "MAXIMUM_TEXT", cohort_bounds.MAXIMUM_TEXT // 2)
    for name in definition_ids():
        CohortExpression.parse(definition(name))


@pytest.mark.parametrize("name", definition_ids())
def test_same_rows(name, populations):
    for label, population in populations.items():
        assert population.rows(name) == reference_rows(population.connection, name), label


def test_populations_are_telling(populations):
    """Equal but empty proves little."""
    filled = {
        label: [name for name in definition_ids() if population.rows(name)] for label, population in populations.items()
    }
    print({label: f"{len(names)} of 59 definitions are not empty" for label, names in filled.items()})
    assert len(filled["synthea"]) == 4, filled["synthea"]
    assert len(filled["generated"]) >= 55, filled["generated"]


LEAVING = {
    "as it is": {},
    "stays that may be empty": {"EndStrategy": {"DateOffset": {"DateField": "EndDate", "Offset": -2}}},
    "a window of dates": {"CensorWindow": {"StartDate": "2010-01-01", "EndDate": "2016-06-30"}},
}


@pytest.mark.parametrize("leaving", LEAVING)
def test_sizes_after_each_rule_in_one_pass(leaving, populations):
    """As those of the definitions that have the first so many rules; who is counted is as many."""
    database = DuckDBDatabase(populations["generated"].connection)
    told = 0
    for name in ("221", "792", "843", "1101"):
        expression = CohortExpression.parse({**definition(name), **LEAVING[leaving]})
        rules = range(len(expression.inclusion_rules) + 1)
        once = compiled_for(database, expression, tuple(rules))
        sizes = [people for _, people in database.rows(once.sizes())]
        parts = [expression.model_copy(update={"inclusion_rules": expression.inclusion_rules[:n]}) for n in rules]
        assert sizes == [count_people(database, part) for part in parts], name
        members = Counter(number for number, _ in database.rows(once.members()))
        assert sizes == [members[number] for number in rules], name
        told += len(set(sizes)) > 1
    assert told, "no funnel narrows"
