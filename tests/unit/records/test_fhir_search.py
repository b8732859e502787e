"""Searches in SQL find exactly the resources that match when the resources themselves are looked at."""

from __future__ import annotations

import functools
import json
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

import pytest
from fhir_samples import sample_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flipnb.contracts.problem import FlipError
from flipnb.records.database import DuckDatabase
from flipnb.records.fhir import Pseudonyms, Search, Store, read, search
from flipnb.records.fhir.resources import RESOURCES
from flipnb.records.fhir.search import search_all

KEY = bytes(range(32))


@functools.cache
def store() -> Store:
    database = DuckDatabase(sample_database())
    return Store(database, Pseudonyms(KEY), version="v", updated=datetime(2024, 5, 1, tzinfo=UTC))


@functools.cache
def everything(kind: str) -> tuple[dict, ...]:
    return tuple(search_all(store(), kind))


def ids(query: str) -> list[str]:
    return [item["id"] for item in search_all(store(), query)]


# The oracle: FHIR's rules on the JSON.


def interval(text: str) -> tuple[datetime, datetime]:
    if "T" in text:
        start = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).replace(tzinfo=None)
        return start, start + timedelta(seconds=1)
    year, month, day = (*map(int, text.split("-")), None, None)[:3]
    start = datetime(year, month or 1, day or 1)
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, datetime(year + month // 12, month % 12 + 1, 1)
    return start, datetime(year + 1, 1, 1)


def dates_of(resource, name):
    """[start, end) of the element that a date parameter is on; None where there is none."""
    text = {
        "birthdate": resource.get("birthDate"),
        "onset-date": resource.get("onsetDateTime"),
        "abatement-date": resource.get("abatementDateTime"),
        "authoredon": resource.get("authoredOn"),
        "started": resource.get("started"),
        "death-date": resource.get("deceasedDateTime"),
        "date": resource.get("effectiveDateTime") or resource.get("performedDateTime"),
    }[name]
    if text is not None:
        return interval(text)
    period = resource.get("period")
    if name == "date" and period is not None:
        end = interval(period["end"])[1] if "end" in period else datetime.max
        return interval(period["start"])[0], end
    return None


def in_range(prefix, own, low, high):
    if own is None:
        return False
    start, end = own
    return {
        "eq": low <= start and end <= high,
        "ne": not (low <= start and end <= high),
        "gt": end > high,
        "lt": start < low,
        "ge": (low <= start and end <= high) or end > high,
        "le": (low <= start and end <= high) or start < low,
        "sa": start >= high,
        "eb": end <= low,
    }[prefix]


def test_resources_are_there():
    counts = {kind: len(everything(kind)) for kind in RESOURCES}
    assert all(counts.values()), counts
    assert len({(item["resourceType"], item["id"]) for kind in RESOURCES for item in everything(kind)}) == sum(
        counts.values()
    )


DATED = [
    ("Patient", "birthdate"), ("Condition", "onset-date"), ("Condition", "abatement-date"), ("Observation", "date"),
    ("MedicationRequest", "authoredon"), ("ImagingStudy", "started"), ("DiagnosticReport", "date"),
]  # fmt: skip
prefixes = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])
dates = st.one_of(
    st.sampled_from(["1951", "1950-02", "1950-02-28", "1999-12-31", "2020", "2019-12", "2020-01-01"]),
    st.dates(min_value=date(2019, 12, 15), max_value=date(2020, 2, 20)).map(str),
)
moments = st.one_of(
    dates,
    st.dates(min_value=date(2019, 12, 20), max_value=date(2020, 2, 18)).flatmap(
        lambda day: st.sampled_from([f"{day}T10:30:15Z", f"{day}T00:00:00Z", f"{day}T11:30+01:00", f"{day}T23:59:59Z"])
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(DATED), prefixes, moments)
def test_dates(where, prefix, value):
    kind, name = where
    if "T" in value and kind == "Patient":
        value = value[:10]
    low, high = interval(value)
    if "T" in value and value.count(":") - value.count("+") < 2:
        high = low + timedelta(minutes=1)
    expected = [r["id"] for r in everything(kind) if in_range(prefix or "eq", dates_of(r, name), low, high)]
    # What has no date at all is found by no comparison.
    assert ids(f"{kind}?" + urlencode({name: prefix + value})) == expected


@settings(max_examples=25)
@given(prefixes, dates)
def test_periods(prefix, value):
    low, high = interval(value)
    found = set(ids("Encounter?" + urlencode({"date": prefix + value})))
    for resource in everything("Encounter"):
        period = resource["period"]
        if "end" in period:  # an end before its start is left out of the resource; the search sees the table's
            assert (resource["id"] in found) == in_range(prefix or "eq", dates_of(resource, "date"), low, high)


def codes(element):
    return {(coding.get("system"), coding["code"]) for coding in (element or {}).get("coding", ())}


SNOMED, ICD10, OHDSI = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10", "https://fhir-terminology.ohdsi.org"


def coded(*wanted):
    """The code is one of these, in any system."""
    return lambda r: any(code in wanted for _, code in codes(r.get("code")))


def in_category(wanted):
    return lambda r: any(code == wanted for c in r.get("category", ()) for _, code in codes(c))


def amount(r):
    return r.get("valueQuantity", {}).get("value", 0)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("Patient?gender=female", lambda r: r["gender"] == "female"),
        ("Patient?gender=other,unknown", lambda r: r["gender"] in ("other", "unknown")),
        ("Patient?gender:not=male", lambda r: r["gender"] != "male"),
        ("Patient?deceased=true", lambda r: "deceasedDateTime" in r),
        ("Patient?deceased=false", lambda r: "deceasedDateTime" not in r),
        ("Patient?death-date=ge2020", lambda r: r.get("deceasedDateTime", "") >= "2020"),
        (f"Condition?code={SNOMED}|44054006", lambda r: (SNOMED, "44054006") in codes(r.get("code"))),
        ("Condition?code=44054006,E11", coded("44054006", "E11")),
        (f"Condition?code={ICD10}|", lambda r: ICD10 in {system for system, _ in codes(r.get("code"))}),
        (f"Condition?code={OHDSI}|201820", coded("201820")),
        ("Condition?code=|44054006", coded()),
        ("Condition?code=urn:flip:source|E11", lambda r: ("urn:flip:source", "E11") in codes(r.get("code"))),
        ("Procedure?code=P1", coded("P1")),
        ("Condition?code=http://example.org/none|1", coded()),
        (f"Condition?code:below={SNOMED}|73211009", coded("44054006", "73211009")),
        (f"Condition?code:in={SNOMED}?fhir_vs%3Disa/73211009", coded("44054006", "73211009")),
        ("Condition?code:not=44054006", lambda r: not coded("44054006")(r)),
        (
            "Condition?code:text=TYPE 2",
            lambda r: any("Type 2" in coding.get("display", "") for coding in r.get("code", {}).get("coding", ())),
        ),
        ("Condition?code:text=100%", coded()),
        ("Condition?clinical-status=resolved", lambda r: "abatementDateTime" in r),
        (
            "Condition?clinical-status=active&category=problem-list-item",
            lambda r: "abatementDateTime" not in r and "encounter" not in r,
        ),
        ("Condition?abatement-date:missing=true", lambda r: "abatementDateTime" not in r),
        ("Observation?category=vital-signs", in_category("vital-signs")),
        ("Observation?category=laboratory", in_category("laboratory")),
        ("Observation?category=survey", in_category("survey")),
        ("Observation?value-quantity=gt70.2", lambda r: amount(r) > 70.2),
        ("Observation?value-quantity=70", lambda r: 69.5 <= amount(r) < 70.5),
        ("Observation?value-quantity=70.0", lambda r: 69.95 <= amount(r) < 70.05),
        (
            "Observation?value-quantity=le120|http://unitsofmeasure.org|kg",
            lambda r: r.get("valueQuantity", {}).get("code") == "kg",
        ),
        ("Observation?status=final&status=amended", lambda r: False),
        ("Observation?_lastUpdated=ge2024", lambda r: True),
        ("Observation?_lastUpdated=gt2024", lambda r: False),
        ("MedicationRequest?status=completed&intent=order", lambda r: r["status"] == "completed"),
        ("Encounter?class=IMP", lambda r: r["class"]["code"] == "IMP"),
        ("ImagingStudy?modality=http://dicom.nema.org/resources/ontology/DCM|CT", None),
        ("DiagnosticReport?code=18748-4", coded("18748-4")),
    ],
)  # fmt: skip
def test_tokens_and_quantities(query, matches):
    kind = query.partition("?")[0]
    found = ids(query)
    if matches is not None:
        assert found == [r["id"] for r in everything(kind) if matches(r)]
    assert len(found) == len(set(found))


def test_patient_and_encounter():
    encounter = next(r for r in everything("Observation") if "encounter" in r)
    patient = encounter["subject"]["reference"]
    mine = [r["id"] for r in everything("Observation") if r["subject"]["reference"] == patient]
    for value in (patient, patient.split("/")[1], f"http://elsewhere/fhir/{patient}"):
        assert ids(f"Observation?patient={value}") == mine == ids(f"Observation?subject={value}")
    assert ids(f"Observation?subject:Patient={patient.split('/')[1]}") == mine
    assert ids("Observation?patient=Practitioner/1") == [] == ids("Observation?patient=nonsense")
    inside = encounter["encounter"]["reference"]
    assert encounter["id"] in ids(f"Observation?encounter={inside}")
    assert ids(f"Patient?identifier=urn:flip:person|{patient.split('/')[1]}") == [patient.split("/")[1]]


@pytest.mark.parametrize("kind", RESOURCES)
@pytest.mark.parametrize("sort", ["", "_id", "-date", "date,-_id", "patient,-date"])
def test_pages_hold_everything_once_in_order(kind, sort):
    everyone = {r["id"] for r in everything(kind)}
    wanted = Search.of(kind, [("_count", "7"), *([("_sort", sort)] if sort else [])])
    found, cursor = [], None
    while True:
        page = search(store(), wanted, cursor)
        assert page.total == len(everyone) and len(page.resources) <= 7
        found += page.resources
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.resources) == 7
    assert len(found) == len(everyone) and {r["id"] for r in found} == everyone
    if "date" in sort and kind == "Observation" and not sort.startswith("patient"):
        days = [r["effectiveDateTime"][:10] for r in found]
        assert days == sorted(days, reverse=sort.startswith("-"))


def test_includes():
    page = search(
        store(), Search.of("Observation", [("_include", "Observation:patient"), ("_include", "Observation:encounter")])
    )
    there = {f"{r['resourceType']}/{r['id']}" for r in page.included}
    assert {r["subject"]["reference"] for r in page.resources} <= there
    assert {r["encounter"]["reference"] for r in page.resources if "encounter" in r} <= there
    page = search(store(), Search.of("Patient", [("_revinclude", "Condition:subject"), ("_count", "3")]))
    patients = {f"Patient/{r['id']}" for r in page.resources}
    assert [r["id"] for r in page.included] == [
        r["id"] for r in everything("Condition") if r["subject"]["reference"] in patients
    ]


def test_read_and_summaries():
    one = everything("Observation")[3]
    assert read(store(), "Observation", one["id"]) == one
    for key in ("", "m-", "m-zz", "1", one["id"][2:], "o-" + one["id"][2:], one["id"].upper()):
        assert read(store(), "Observation", key) is None
    short = search(store(), Search.of("Observation", [("_elements", "code"), ("_id", one["id"])])).resources[0]
    assert (
        "valueQuantity" not in short and short["meta"]["tag"][0]["code"] == "SUBSETTED" and short["code"] == one["code"]
    )
    count = search(store(), Search.of("Observation", [("_summary", "count")]))
    assert count.resources == [] and count.total == len(everything("Observation"))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("Nothing?x=1", "unknown-resource"),
        ("Patient?name=x", "unknown-parameter"),
        ("Patient?birthdate=2020-13", "bad-value"),
        ("Patient?birthdate=yesterday", "bad-value"),
        ("Patient?birthdate:above=2020", "unknown-modifier"),
        ("Patient?_count=-1", "bad-value"),
        ("Patient?_sort=gender", "unknown-parameter"),
        ("Patient?_include=Patient:organization", "unknown-parameter"),
        ("Observation?value-quantity=much", "bad-value"),
        ("Observation?value-quantity=1|2", "bad-value"),
        ("Observation?subject.gender=male", "unknown-parameter"),
        ("Condition?code:in=http://example.org/vs", "unknown-value-set"),
        ("Condition?code:above=1", "unknown-modifier"),
    ],
)
def test_refused(query, code):
    with pytest.raises(FlipError) as error:
        ids(query)
    assert error.value.code == code


def test_unknown_is_ignored_and_said_unless_strict():
    wanted = Search.of("Patient", [("name", "x"), ("gender", "male"), ("_sort", "-name")])
    assert wanted.ignored == ["name", "_sort=-name"] and wanted.used == [("gender", "male")]


@pytest.mark.parametrize("cursor", ["", "x", "W10", "WzEsMiwzXQ", "W251bGwsbnVsbCxudWxsXQ", "eyJhIjoxfQ", "A" * 5000])
def test_broken_cursors(cursor):
    wanted = Search.of("Patient", [])
    if cursor:
        with pytest.raises(FlipError) as error:
            search(store(), wanted, cursor)
        assert error.value.code == "bad-cursor"


@settings(max_examples=200)
@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(RESOURCES))
def test_pseudonyms_are_a_permutation(number, kind):
    pseudonyms = Pseudonyms(KEY)
    text = pseudonyms.encode(kind, number)
    assert pseudonyms.decode(kind, text) == number and len(text) == 16
    assert text != Pseudonyms(KEY[::-1]).encode(kind, number) and text != pseudonyms.encode("other", number)
    plain = Pseudonyms()
    assert plain.decode(kind, plain.encode(kind, number)) == number


def test_nothing_of_the_database_is_in_what_is_given_out():
    """Neither row ids nor what the Trust calls a person."""
    store().database.rows("SELECT 1")
    for resource in everything("Condition"):
        assert len(resource["subject"]["reference"]) == len("Patient/") + 16
    wanted = Search.of("Condition", [("_count", "1")])
    page = search(store(), wanted)
    assert page.cursor is not None and json.dumps(page.cursor).find("WzI") == -1
