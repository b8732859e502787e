"""``flip.data()`` with SQL, FHIR and views, inside a real sandbox: there is no network, and one file to read."""

from __future__ import annotations

from pathlib import Path

import pytest
from drive_runner import drive, order

from flipnb.contracts.dataset import Dataset, FrozenTable, Shares, Split, Variable
from flipnb.contracts.frozen import DATABASE
from flipnb.twin import make

pytestmark = pytest.mark.timeout(120)

SOURCE = """
import flipnb as flip
data = flip.data()
print(len(data), len(data.sql("SELECT * FROM measurement")), len(data.table("drug_exposure")))
found = data.fhir("Observation?code=3025315&_count=5")
print(len(found), found[0]["resourceType"], found[0]["valueQuantity"]["code"])
view = {"resource": "Patient", "select": [{"column": [{"name": "id", "path": "getResourceKey()"}]}]}
print(data.train.view(view).shape)
try:
    data.sql("SELECT * FROM read_text('/etc/hostname')")
except flip_error as error:
    print(error.code)
"""


def test_all_of_it_inside(tmp_path: Path) -> None:
    weight = Variable(name="weight", source="measurement", concept_id=3025315, unit="kg", minimum=40, maximum=120)
    drugs = FrozenTable(name="drug_exposure", columns=("drug_concept_id", "drug_exposure_start_date"))
    dataset = Dataset(variables=(weight,), tables=(drugs,))
    cohort = tmp_path / "cohort"
    make(dataset, Split(seed=1, shares=Shares(train=3, test=1)), cohort, people=40)
    for place in (cohort / DATABASE, cohort, *cohort.parents[:3]):
        place.chmod(0o755)
    limits = {"memory_bytes": 2 << 30}
    first = "from flipnb.contracts.problem import FlipError as flip_error"
    (outcome,) = drive(order(first, SOURCE, cohort=cohort, limits=limits))
    assert outcome.verdict.outcome == "finished", (outcome.verdict, outcome.text())
    assert outcome.text().splitlines() == ["40 40 0", "40 Observation kg", "(30, 1)", "bad-sql"]
