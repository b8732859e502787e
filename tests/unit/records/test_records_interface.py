"""``flip.data()``: SQL, tables, FHIR resources and views over a frozen cohort and over its twin, and nothing else."""

from __future__ import annotations

import duckdb
import pytest
from fhir_samples import sample_estate

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, FrozenTable, Shares, Split, Variable
from flipnb.contracts.frozen import DECLARABLE
from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, freeze
from flipnb.records import Records
from flipnb.twin import make

WEIGHT = Variable(name="weight", source="measurement", concept_id=3025315, unit="kg")
SPLIT = Split(seed=1, shares=Shares(train=2, test=1))


def whole(name, **more):
    return FrozenTable(name=name, columns=tuple(DECLARABLE[name]), **more)


NARROW = Dataset(variables=(WEIGHT,))
WIDE = Dataset(variables=(WEIGHT,), tables=tuple(whole(name) for name in DECLARABLE))
EVERYBODY = CohortExpression.model_validate(
    {
        "ConceptSets": [],
        "PrimaryCriteria": {
            "CriteriaList": [{"ConditionOccurrence": {}}],
            "ObservationWindow": {"PriorDays": 0, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": "First"},
        },
        "QualifiedLimit": {"Type": "First"},
        "ExpressionLimit": {"Type": "First"},
        "InclusionRules": [],
        "CollapseSettings": {"CollapseType": "ERA", "EraPad": 0},
    }
)


def observed(path):
    """The sample estate with an observation period for everybody, which a cohort needs."""
    estate = Estate.open(path)
    sample_estate(path)

    def write(target):
        with duckdb.connect(str(estate.file(estate.current()))) as source:
            source.execute(f"ATTACH '{target}' AS target")
            source.execute("COPY FROM DATABASE estate TO target")
            source.execute(
                "INSERT INTO target.observation_period SELECT person_id, person_id, DATE '2019-01-01', "
                "DATE '2021-01-01', 0 FROM target.person"
            )
            source.execute("DETACH target")
        return f"{9:032x}"

    estate.file(estate.current()).chmod(0o644)
    return estate, estate.add(write)


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    return observed(tmp_path_factory.mktemp("estate") / "e")


@pytest.fixture(scope="module")
def frozen(estate, tmp_path_factory):
    where, version = estate
    path = tmp_path_factory.mktemp("frozen") / "cohort"
    freeze(where.directory, version, EVERYBODY, WIDE, SPLIT, b"k" * 32, path)
    return Records(path)


@pytest.fixture(scope="module")
def narrow(estate, tmp_path_factory):
    where, version = estate
    path = tmp_path_factory.mktemp("frozen") / "cohort"
    freeze(where.directory, version, EVERYBODY, NARROW, SPLIT, b"k" * 32, path)
    return Records(path)


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    path = tmp_path_factory.mktemp("twin") / "twin"
    make(WIDE, SPLIT, path, people=60)
    return Records(path)


def test_parts_and_the_whole(frozen):
    sizes = [len(frozen.train), len(frozen.validation), len(frozen.test)]
    assert len(frozen) == sum(sizes) and sizes[1] == 0 and min(sizes[0], sizes[2]) > 0
    for name in ("person", "measurement", "visit_occurrence", "drug_exposure", "death"):
        assert len(frozen.table(name)) == sum(len(part.table(name)) for part in (frozen.train, frozen.test))
    assert len(frozen.train.table("concept")) == len(frozen.table("concept")) > 5
    with pytest.raises(FlipError) as error:
        frozen.table("note")
    assert error.value.code == "no-table" and "drug_exposure" in error.value.message


def test_what_is_declared_is_there_and_nothing_else(frozen, narrow, estate):
    columns = {name: set(frozen.table(name).columns) for name in DECLARABLE}
    assert all(columns[name] >= set(DECLARABLE[name]) for name in DECLARABLE)
    assert set(narrow.table("measurement")["measurement_concept_id"]) == {3025315}
    assert set(frozen.table("measurement")["measurement_concept_id"]) > {3025315}
    with pytest.raises(FlipError):
        narrow.table("drug_exposure")
    where, version = estate
    with where.reading(version) as source:
        people = {row[0] for row in source.execute("SELECT person_id FROM person").fetchall()}
    for name in columns:
        assert not people & set(frozen.table(name)["person_id"])
    text = str(frozen.sql("SELECT * FROM frozen.meta")) + "".join(frozen.table(name).to_csv() for name in columns)
    assert "source_value" not in text.replace("unit_source_value", "").replace("declared", "")


def test_references_to_visits_follow(frozen):
    joined = frozen.sql(
        "SELECT count(*) AS n, count(v.visit_occurrence_id) AS found, bool_and(v.person_id = m.person_id) AS same "
        "FROM measurement m LEFT JOIN visit_occurrence v USING (visit_occurrence_id) "
        "WHERE m.visit_occurrence_id IS NOT NULL"
    ).iloc[0]
    assert joined["n"] == joined["found"] > 0 and joined["same"]


def test_concepts_can_be_chosen(estate, tmp_path):
    where, version = estate
    chosen = whole("measurement", concepts=(3027114,))
    dataset = Dataset(variables=(WEIGHT,), tables=(chosen, whole("drug_exposure", concepts=(1,))))
    freeze(where.directory, version, EVERYBODY, dataset, SPLIT, b"k" * 32, tmp_path / "c")
    records = Records(tmp_path / "c")
    assert set(records.table("measurement")["measurement_concept_id"]) == {3025315, 3027114}
    assert len(records.table("drug_exposure")) == 0


@pytest.mark.parametrize(
    ("table", "columns", "reason"),
    [
        ("note", ("note_text",), "can't be frozen"),
        ("measurement", ("measurement_source_value",), "can't be frozen"),
        ("person", ("person_source_value",), "can't be frozen"),
        ("drug_exposure", ("refills",), "needs"),
        ("measurement", ("range_low", "range_low"), "twice"),
    ],
)
def test_what_can_not_be_declared(table, columns, reason):
    with pytest.raises(ValueError, match=reason):
        FrozenTable(name=table, columns=columns)


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('https://example.org/x')",
    "SELECT * FROM parquet_metadata('/tmp/x')",
    "SELECT * FROM secret_frame",
    "SELECT getenv('HOME')",
    "ATTACH '/tmp/other.duckdb'",
    "COPY person TO '/tmp/out.csv'",
    "EXPORT DATABASE '/tmp/out'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE SECRET x (TYPE s3)",
    "DROP VIEW person",
    "INSERT INTO frozen.person VALUES (1, 2, 3)",
    "WITH x AS (INSERT INTO frozen.meta VALUES ('a', 'b') RETURNING *) SELECT * FROM x",
    "UPDATE frozen.cohort SET split = 'train'",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY person TO '/tmp/out.csv'",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "",
    "not SQL at all",
]


@pytest.mark.parametrize("query", HOSTILE)
def test_sql_reads_the_tables_and_nothing_else(frozen, query, tmp_path):
    import pandas as pd

    secret_frame = pd.DataFrame({"a": [1]})  # noqa: F841
    for records in (frozen, frozen.train):
        before = len(records)
        with pytest.raises(FlipError) as error:
            records.sql(query)
        assert error.value.code in ("no-select", "bad-sql")
        assert len(records) == before and len(records.table("person")) > 0


def test_sql_takes_parameters_and_explains(frozen):
    result = frozen.sql("SELECT count(*) AS n FROM measurement WHERE value_as_number > ?", [100])
    assert result["n"][0] > 0
    assert len(frozen.sql("EXPLAIN SELECT * FROM person")) == 1
    assert len(frozen.sql("FROM cohort")) == len(frozen)
    assert len(frozen.sql("WITH a AS (SELECT 1 AS x) SELECT * FROM a UNION ALL VALUES (2)")) == 2


@pytest.mark.parametrize("kind", ["Patient", "Condition", "Observation", "MedicationRequest", "Procedure", "Encounter"])
def test_fhir_of_the_frozen_cohort(frozen, kind):
    found = frozen.fhir(kind)
    assert len(found) == len(frozen.train.fhir(kind)) + len(frozen.test.fhir(kind)) > 0
    people = {f"Patient/{number}" for number in frozen.table("person")["person_id"]}
    assert all(r.get("subject", {}).get("reference", f"Patient/{r['id']}") in people for r in found)


def test_fhir_codes_units_and_searches(frozen):
    weights = frozen.fhir("Observation?code=http://loinc.org|29463-7&value-quantity=gt1|http://unitsofmeasure.org|kg")
    assert weights and weights[0]["valueQuantity"]["code"] == "kg"
    assert weights == frozen.fhir("Observation?code=3025315&value-quantity=gt1||kg")
    one = frozen.fhir("Condition?_include=Condition:patient&clinical-status=resolved")
    assert {item["resourceType"] for item in one} == {"Condition", "Patient"}
    assert frozen.fhir("ImagingStudy") == [] == frozen.fhir("DiagnosticReport")
    for query, code in (("Nothing", "unknown-resource"), ("Patient?name=x", "unknown-parameter")):
        with pytest.raises(FlipError) as error:
            frozen.fhir(query)
        assert error.value.code == code


VIEW = {
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "patient", "path": "subject.getReferenceKey(Patient)", "type": "id"},
                {"name": "value", "path": "value.ofType(Quantity).value", "type": "decimal"},
                {"name": "unit", "path": "value.ofType(Quantity).code", "type": "code"},
            ]
        }
    ],
    "where": [{"path": "code.coding.exists(code = '3025315')"}],
}


@pytest.mark.parametrize("kind", ["frozen", "twin", "narrow"])
def test_views_are_the_same_everywhere(kind, request):
    records = request.getfixturevalue(kind)
    result = records.view(VIEW)
    table = records.sql("SELECT person_id, value_as_number FROM measurement WHERE measurement_concept_id = 3025315")
    assert sorted(result["patient"]) == sorted(table["person_id"].astype(str)) and len(result) > 0
    assert result["value"].sum() == pytest.approx(table["value_as_number"].sum())
    assert set(result["unit"].dropna()) == {"kg"}
    assert len(records.fhir("Observation?code=3025315")) == len(result)
    assert len(records.fhir("Patient")) == len(records)
    with pytest.raises(FlipError) as error:
        records.view({"resource": "Observation"})
    assert error.value.code == "invalid-view"


def test_a_twin_has_the_declared_tables(twin, frozen):
    for name in DECLARABLE:
        assert list(twin.table(name).columns) == list(frozen.table(name).columns)
