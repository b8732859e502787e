"""FHIR R4 into OMOP: real bundles counted independently, and each rule on resources written for it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from estate_rows import rows
from public_data import FHIR_R4

from flipnb.contracts.problem import FlipError
from flipnb.estate import Estate, load
from flipnb.estate.harmonise import fhir_entries
from flipnb.estate.harmonise.events import stable_id
from flipnb.estate.omop.cdm import tables

SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"

# Invented concepts: id, domain, vocabulary, code, standard.
CONCEPTS = [
    (2000000001, "Condition", "SNOMED", "c1", "S"),
    (2000000002, "Observation", "SNOMED", "o1", "S"),
    (2000000003, "Measurement", "LOINC", "m1", "S"),
    (2000000004, "Drug", "RxNorm", "d1", "S"),
    (2000000005, "Unit", "UCUM", "mm[Hg]", "S"),
    (2000000006, "Condition", "ICD10", "i1", ""),
    (2000000007, "Procedure", "SNOMED", "p1", "S"),
    (2000000008, "Observation", "ICD10", "z1", ""),
    (2000000009, "Meas Value", "SNOMED", "v1", "S"),
    (2000000010, "Measurement", "SNOMED", "both1", "S"),
]
RELATIONS = [
    (2000000006, 2000000001, "Maps to"),
    (2000000006, 2000000010, "Maps to"),
    (2000000008, 2000000002, "Maps to"),
    (2000000008, 2000000001, "Maps to value"),
]


def vocabulary(directory: Path) -> Path:
    directory.mkdir()
    lines = [",".join(tables()["concept"].columns)]
    lines += [f"{i},name,{d},{v},x,{s},{c},1970-01-01,2099-12-31," for i, d, v, c, s in CONCEPTS]
    (directory / "concept.csv").write_text("\n".join(lines) + "\n")
    lines = [",".join(tables()["concept_relationship"].columns)]
    lines += [f"{a},{b},{r},1970-01-01,2099-12-31," for a, b, r in RELATIONS]
    (directory / "concept_relationship.csv").write_text("\n".join(lines) + "\n")
    (directory / "source_to_concept_map.csv").write_text(
        "source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,"
        "target_vocabulary_id,valid_start_date,valid_end_date,invalid_reason\n"
        "local,0,urn:trust,,2000000003,LOINC,1970-01-01,2099-12-31,\nold,0,urn:trust,,2000000003,LOINC,1970-01-01,2000-01-01,D\n"
        "mmHg,0,units,,2000000005,UCUM,1970-01-01,2099-12-31,\n"
    )
    return directory


def coded(system: str, *codes: str) -> dict:
    return {"coding": [{"system": system, "code": code, "display": code} for code in codes]}


PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960-05"}


def resource(kind: str, identity: str, **fields) -> dict:
    return {"resourceType": kind, "id": identity, "subject": {"reference": "Patient/p"}, **fields}


def ndjson(path: Path, *resources: dict | str) -> Path:
    lines = (item if isinstance(item, str) else json.dumps(item) for item in resources)
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def estate(tmp_path):
    load(vocabulary(tmp_path / "vocabulary"), "omop-5.4", tmp_path / "estate")
    return tmp_path / "estate"


def test_real_bundles_counted_independently(tmp_path):
    bundles = FHIR_R4.directory()
    kinds, values = Counter(), Counter()
    for file in sorted(bundles.glob("*.json")):
        for entry in json.loads(file.read_text())["entry"]:
            kind = entry["resource"]["resourceType"]
            kinds[kind] += 1
            kinds["series"] += len(entry["resource"].get("series", ()))
            for part in entry["resource"].get("component", [entry["resource"]]) if kind == "Observation" else ():
                values["number" if "valueQuantity" in part else "other"] += 1
    report = load(bundles, "fhir-r4", tmp_path / "estate")
    assert report.people == kinds["Patient"] == report.rows["observation_period"] and report.rejected == 0
    assert report.rows["visit_occurrence"] == kinds["Encounter"]
    assert report.rows["condition_occurrence"] == kinds["Condition"]
    assert report.rows["drug_exposure"] == kinds["MedicationRequest"] + kinds["Immunization"]
    assert report.rows["procedure_occurrence"] == kinds["Procedure"] + kinds["ImagingStudy"]
    assert report.rows["image_occurrence"] == kinds["series"] > 0
    images = (
        "SELECT count(*) FROM image_occurrence JOIN procedure_occurrence USING (procedure_occurrence_id, person_id)"
    )
    assert rows(tmp_path / "estate", images) == [(kinds["series"],)]
    uids = "SELECT image_study_uid, image_series_uid FROM image_occurrence WHERE image_series_uid LIKE '%.87309432.%'"
    assert rows(tmp_path / "estate", uids) == [
        ("1.2.840.99999999.16429925.1559319190100", "1.2.840.99999999.1.87309432.1559319190100")
    ]
    assert report.rows["measurement"] == values["number"] + kinds["DiagnosticReport"]
    assert report.rows["observation"] == values["other"]
    lost = "SELECT count(*) FROM measurement m LEFT JOIN person p USING (person_id) WHERE p.person_id IS NULL"
    assert rows(tmp_path / "estate", lost) == [(0,)]
    with_visit = "SELECT count(*) FROM measurement JOIN visit_occurrence USING (visit_occurrence_id, person_id)"
    assert rows(tmp_path / "estate", with_visit) == [(report.rows["measurement"],)]
    height = "SELECT value_as_number, unit_source_value, unit_concept_id FROM measurement WHERE measurement_id = ?"
    one = stable_id("Observation/45ab3c67-45b1-410b-a1e6-d7bbd833cc65")
    assert rows(tmp_path / "estate", height.replace("?", str(one))) == [(169.96286274540023, "cm", 0)]
    before = Estate.open(tmp_path / "estate").current()
    assert load(bundles, "fhir-r4", tmp_path / "estate").version == before


def test_the_domain_of_the_concept_decides_the_table(tmp_path, estate):
    source = ndjson(
        tmp_path / "export" / "all.ndjson",
        PATIENT,
        resource(
            "Condition",
            "1",
            code=coded(SNOMED, "c1"),
            onsetDateTime="2001-02-03T04:05:06+02:00",
            abatementDateTime="2001-03",
            clinicalStatus=coded("x", "resolved"),
        ),
        resource("Condition", "2", code=coded(SNOMED, "o1"), recordedDate="2001-02-03"),
        resource("Condition", "3", code=coded("http://hl7.org/fhir/sid/icd-10", "i1"), onsetDateTime="2001-02-03"),
        resource("Condition", "4", code=coded("http://hl7.org/fhir/sid/icd-10", "z1"), onsetDateTime="2001-02-03"),
        resource("Condition", "5", code=coded("urn:nowhere", "n1"), onsetDateTime="2001-02-03"),
        resource("Procedure", "6", code=coded("urn:trust", "local"), performedDateTime="2001-02-03"),
        resource("Procedure", "7", code=coded("urn:trust", "old"), performedDateTime="2001-02-03"),
        resource(
            "Observation",
            "8",
            code={"coding": [{"system": "urn:a", "code": "b"}, {"system": SNOMED, "code": "p1"}]},
            effectiveDateTime="2001-02-03",
            valueString="seen",
        ),
    )
    report = load(source, "fhir-r4", estate)
    assert report.rejected == 0
    conditions = rows(
        estate,
        "SELECT condition_concept_id, condition_source_concept_id, condition_source_value, "
        "condition_start_datetime::VARCHAR, condition_end_date::VARCHAR "
        "FROM condition_occurrence ORDER BY 3",
    )
    assert conditions == [
        (2000000001, 2000000001, "c1", "2001-02-03 04:05:06", "2001-03-01"),
        (2000000001, 2000000006, "i1", None, None),
        (0, 0, "n1", None, None),
    ]
    assert rows(estate, "SELECT measurement_concept_id, measurement_source_value FROM measurement ORDER BY 2") == [
        (2000000010, "i1"),
        (2000000003, "local"),
    ]
    seen = "SELECT observation_concept_id, value_as_concept_id, observation_source_value FROM observation ORDER BY 3"
    assert rows(estate, seen) == [(2000000002, None, "o1"), (2000000002, 2000000001, "z1")]
    done = "SELECT procedure_concept_id, procedure_source_value FROM procedure_occurrence ORDER BY 2"
    assert rows(estate, done) == [(0, "old"), (2000000007, "p1")]
    ids = rows(
        estate, "SELECT condition_occurrence_id FROM condition_occurrence UNION SELECT measurement_id FROM measurement"
    )
    assert len(ids) == 5 and (stable_id("Condition/1"),) in ids


def test_values_units_components_and_ranges(tmp_path, estate):
    vital = [coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")]
    quantity = {"value": 120, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]", "comparator": "<="}
    source = ndjson(
        tmp_path / "x.ndjson",
        PATIENT,
        resource(
            "Observation",
            "bp",
            category=vital,
            code=coded(LOINC, "panel"),
            effectiveDateTime="2001-02-03",
            component=[
                {
                    "code": coded(LOINC, "m1"),
                    "valueQuantity": quantity,
                    "referenceRange": [{"low": {"value": 90}, "high": {"value": 140}}],
                },
                {"code": coded(LOINC, "m2"), "valueQuantity": {"value": 80, "unit": "mmHg"}},
            ],
        ),
        resource(
            "Observation",
            "coded",
            code=coded(LOINC, "m1"),
            effectivePeriod={"start": "2001"},
            valueCodeableConcept=coded(SNOMED, "v1"),
        ),
        resource(
            "Observation",
            "uncoded",
            category=vital,
            code=coded(LOINC, "m3"),
            effectiveDateTime="2001-02-03",
            valueCodeableConcept=coded(SNOMED, "v9"),
        ),
        resource("Observation", "no", status="entered-in-error", code=coded(LOINC, "m1"), effectiveDateTime="2001"),
    )
    load(source, "fhir-r4", estate)
    found = rows(
        estate,
        "SELECT measurement_source_value, measurement_concept_id, value_as_number, operator_concept_id, "
        "unit_concept_id, unit_source_value, range_low, range_high, value_as_concept_id, value_source_value "
        "FROM measurement ORDER BY 1, 3 NULLS LAST",
    )
    assert found == [
        ("m1", 2000000003, 120, 4171754, 2000000005, "mm[Hg]", 90, 140, None, "120.0"),
        ("m1", 2000000003, None, None, None, None, None, None, 2000000009, "v1"),
        ("m2", 0, 80, None, 2000000005, "mmHg", None, None, None, "80.0"),
        ("m3", 0, None, None, None, None, None, None, 0, "v9"),
    ]
    assert rows(estate, "SELECT measurement_id FROM measurement WHERE measurement_source_value = 'm2'") == [
        (stable_id("Observation/bp#2"),)
    ]


def test_medicines_allergies_deaths_and_visits(tmp_path, estate):
    drug = "http://www.nlm.nih.gov/research/umls/rxnorm"
    source = tmp_path / "bulk"
    ndjson(
        source / "MedicationAdministration.ndjson",
        resource(
            "MedicationAdministration",
            "a",
            medicationReference={"reference": "Medication/m"},
            effectivePeriod={"start": "2001-02-03T10:00:00Z", "end": "2001-02-05T10:00:00Z"},
            dosage={"dose": {"value": 5, "code": "mg"}, "route": coded(SNOMED, "r1")},
        ),
    )
    ndjson(source / "Medication.ndjson", {"resourceType": "Medication", "id": "m", "code": coded(drug, "d1")})
    ndjson(
        source / "rest.ndjson",
        {**PATIENT, "deceasedDateTime": "2010-01-02T03:04:05Z"},
        resource(
            "MedicationRequest",
            "r",
            intent="order",
            authoredOn="2001-01-01",
            medicationCodeableConcept=coded(drug, "d1"),
            dispenseRequest={"expectedSupplyDuration": {"value": 30}, "numberOfRepeatsAllowed": 2},
        ),
        resource(
            "MedicationRequest",
            "not",
            intent="proposal",
            authoredOn="2001-01-01",
            medicationCodeableConcept=coded(drug, "d1"),
        ),
        resource("Immunization", "i", status="not-done", occurrenceDateTime="2001", vaccineCode=coded(drug, "d1")),
        {
            **resource("AllergyIntolerance", "al", recordedDate="2001-01-01", code=coded(drug, "d1")),
            "patient": {"reference": "Patient/p"},
        },
        resource("Encounter", "e", **{"class": {"code": "IMP"}}, period={"start": "2001-01-01", "end": "2001-01-04"}),
        resource(
            "DiagnosticReport",
            "d",
            code=coded(LOINC, "m1"),
            effectiveDateTime="2001-01-01",
            conclusion="All well",
            encounter={"reference": "https://server/fhir/Encounter/e/_history/2"},
        ),
        {
            "resourceType": "Device",
            "id": "dev",
            "patient": {"reference": "Patient/p"},
            "manufactureDate": "2001-01-01",
            "type": coded(SNOMED, "dv"),
            "udiCarrier": [{"deviceIdentifier": "udi"}],
        },
    )
    report = load(source, "fhir-r4", estate)
    assert report.rejected == 0
    drugs = rows(
        estate,
        "SELECT drug_concept_id, drug_exposure_start_date::VARCHAR, drug_exposure_end_date::VARCHAR, days_supply, "
        "refills, drug_type_concept_id, quantity, route_source_value FROM drug_exposure ORDER BY 2",
    )
    assert drugs == [
        (2000000004, "2001-01-01", "2001-01-30", 30, 2, 32838, None, None),
        (2000000004, "2001-02-03", "2001-02-05", None, None, 32818, 5, "r1"),
    ]
    assert rows(estate, "SELECT observation_concept_id, value_as_concept_id FROM observation") == [(439224, 2000000004)]
    assert rows(estate, "SELECT death_date::VARCHAR FROM death") == [("2010-01-02",)]
    visit = rows(estate, "SELECT visit_concept_id, visit_occurrence_id FROM visit_occurrence")
    assert visit == [(9201, stable_id("Encounter/e"))]
    assert rows(estate, "SELECT note_text, visit_occurrence_id FROM note") == [("All well", stable_id("Encounter/e"))]
    assert rows(estate, "SELECT unique_device_id FROM device_exposure") == [("udi",)]
    period = (
        "SELECT observation_period_start_date::VARCHAR, observation_period_end_date::VARCHAR FROM observation_period"
    )
    assert rows(estate, period) == [("2001-01-01", "2001-02-05")]


def test_what_cannot_be_read_is_named(tmp_path, estate):
    source = ndjson(
        tmp_path / "x.ndjson",
        PATIENT,
        "{broken",
        resource("Condition", "1", code=coded(SNOMED, "c1")),
        resource("Condition", "2", code=coded(SNOMED, "c1"), onsetDateTime="yesterday"),
        resource("Condition", "3", code=["wrong"], onsetDateTime="2001-01-01", subject="Patient/p"),
        {"resourceType": "Condition", "id": "4", "onsetDateTime": "2001-01-01", "subject": {"reference": "Group/g"}},
        '"text"',
        {"resourceType": "Patient", "id": "q"},
        resource("Claim", "5"),
    )
    with pytest.raises(FlipError, match="line 2: no JSON"):
        load(source, "fhir-r4", estate)
    report = load(source, "fhir-r4", estate, max_rejects=1)
    assert report.rejected == 7 and report.ignored_files == ("Claim (1 resources)",)
    assert [line for (line,) in rows(estate, "SELECT line FROM flip_reject ORDER BY line")] == [2, 3, 4, 5, 6, 7, 8]


def test_bundles_urls_streams_and_changes(tmp_path, estate, monkeypatch):
    """Full URLs that differ from ids; a file too large to parse at once; only what changed is read again."""
    monkeypatch.setattr(fhir_entries, "_WHOLE", 10)
    condition = resource("Condition", "1", code=coded(SNOMED, "c1"), onsetDateTime="2001-01-01")
    condition["subject"] = {"reference": "urn:uuid:other"}
    again = {**condition, "id": "2", "subject": {"reference": "Patient/p"}}
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"fullUrl": "urn:uuid:other", "resource": PATIENT}, {"resource": condition}],
    }
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.json").write_text(json.dumps(bundle, indent=1))
    (source / "b.json").write_text(json.dumps([{**PATIENT, "id": "q"}, PATIENT, again]))
    first = load(source, "fhir-r4", estate)
    assert first.people == 2
    found = rows(estate, "SELECT person_id, condition_concept_id FROM condition_occurrence")
    assert found == [(stable_id("Patient/p"), 2000000001)] * 2
    (source / "b.json").write_text(json.dumps([{**PATIENT, "id": "r"}]))
    second = load(source, "fhir-r4", estate)
    assert set(second.read) == {"b.json", "(observation periods)"} and "a.json" in second.unchanged
    assert {person for (person,) in rows(estate, "SELECT person_id FROM person")} == {
        stable_id("Patient/p"),
        stable_id("Patient/r"),
    }
    assert rows(estate, "SELECT count(*) FROM concept") == [(len(CONCEPTS),)]
