"""FHIRPath as compiled here: the rules of the specification, and agreement with fhirpathpy where that is right."""

from __future__ import annotations

import json
from decimal import Decimal

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given, settings
from hypothesis import strategies as st
from public_data import FHIR_R4

from flipnb.contracts.problem import FlipError
from flipnb.records import temporal
from flipnb.records.fhirpath import Expression
from flipnb.records.fhirpath_values import Node, datum

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "birthDate": "1970-06",
    "_birthDate": {"extension": [{"url": "http://x/time", "valueDateTime": "1970-06-01T10:00:00+02:00"}]},
    "extension": [
        {"url": "http://x/e", "valueCode": "a"},
        {"url": "http://x/e", "valueCode": "b"},
        {"url": "http://x/n", "valueDecimal": 1.50},
    ],
    "name": [
        {"use": "official", "family": "Smith", "given": ["Ann", "Mary"]},
        {"use": "usual", "family": "Jones", "given": ["Ann"]},
    ],
    "contact": [{"name": {"family": "Old"}, "telecom": [{"system": "phone", "value": "1"}, {"system": "email"}]}],
    "multipleBirthInteger": 2,
    "managingOrganization": {"reference": "http://h/fhir/Organization/o1/_history/3"},
    "generalPractitioner": [{"reference": "urn:uuid:0c3151bd", "type": "Practitioner"}, {"reference": "#contained"}],
}


def evaluate(path, resource=PATIENT, **constants):
    found = Expression(path, constants).evaluate(Node.of_resource(resource), constants)
    return [datum(item) for item in found]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Patient.name.family", ["Smith", "Jones"]),
        ("name[1].given", ["Ann"]),
        ("name[7]", []),
        ("name.where(use = 'official').given.join(', ')", ["Ann, Mary"]),
        ("name.given.distinct().count()", [2]),
        ("name.exists(family = 'Smith' and given.exists($this = 'Mary'))", [True]),
        # $this is the outer element again after an inner exists
        ("name.where(given.exists($this = 'Mary') and $this.use = 'official').family", ["Smith"]),
        ("name.given = 'Ann'", [False]),  # collections of different length
        ("(name.given | name.family).count()", [4]),
        ("extension('http://x/e').value", ["a", "b"]),  # both, not the first
        ("extension('http://x/e').value.ofType(code).first()", ["a"]),
        ("extension.value.ofType(decimal)", [Decimal("1.5")]),
        ("birthDate.extension('http://x/time').value > @1970-06-01T07:59:00Z", [True]),
        ("birthDate.extension('http://x/time').value = @1970-06-01T08:00:00Z", [True]),
        ("birthDate = @1970-06-01", []),  # nobody knows
        ("birthDate = @1970-07-01", [False]),
        ("birthDate < @1970-07", [True]),
        ("multipleBirth", [2]),
        ("multipleBirth is integer", [True]),
        ("multipleBirth.ofType(boolean)", []),
        ("deceased", []),
        ("active and deceased", []),
        ("active or deceased", [True]),
        ("active.not() implies deceased", [True]),
        ("name.all(family.exists())", [True]),
        ("name.select(given.count())", [2, 1]),
        ("contact.telecom.where(value.empty()).system", ["email"]),
        ("contact.name.family.upper()", ["OLD"]),
        ("getResourceKey()", ["p1"]),
        ("managingOrganization.getReferenceKey()", ["o1"]),
        ("managingOrganization.getReferenceKey(Organization)", ["o1"]),
        ("managingOrganization.getReferenceKey(Patient)", []),
        ("generalPractitioner.getReferenceKey(Practitioner)", ["0c3151bd"]),
        ("1 + 2 * 3 - 4 / 8", [Decimal("6.5")]),
        ("7 div 2 + -7 mod 4", [0]),
        ("1 / 0", []),
        ("'a' & {} & 'b'", ["ab"]),
        ("0.1 + 0.2 = 0.3", [True]),
        ("4 days = 96 hours", [True]),
        ("1 'kg' > 900 'g'", []),
        ("@2020-01-31 + 1 month", ["2020-02-29"]),
        ("iif(active, 'yes', 'no')", ["yes"]),
        ("name.given.first().substring(1, 2)", ["nn"]),
        ("'2.50'.toDecimal().lowBoundary()", [Decimal("2.495")]),
        ("2.5.highBoundary(0)", [3]),
        ("birthDate.lowBoundary()", ["1970-06-01"]),
        ("@2016-02.highBoundary()", ["2016-02-29"]),
        ("@2010-10-10T10.highBoundary()", ["2010-10-10T10:59:59.999-12:00"]),
        ("@T12:34.lowBoundary()", ["12:34:00.000"]),
        ("birthDate.hasValue()", [True]),
        ("name.aggregate($total + given.count(), 0)", [3]),
        ("descendants().where($this is Coding).empty()", [True]),
        ("'a' in name.given", [False]),
        ("name.given contains 'Mary'", [True]),
        ("'AB  c' ~ 'ab C'", [True]),
        ("%loinc", ["http://loinc.org"]),
        ("%resource.id = %context.id", [True]),
        ("name.`family`.first()", ["Smith"]),
        ("'it\\'s \\u0041'", ["it's A"]),
    ],
)
def test_expression(path, expected):
    assert evaluate(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "@@",
        "a b",
        "name.family(",
        "name.",
        "foo()",
        "%unknown",
        "first(1)",
        "where()",
        "(" * 5000 + "1" + ")" * 5000,
    ],
)
def test_refused_before_any_data(path):
    with pytest.raises(FlipError) as error:
        Expression(path)
    assert error.value.code == "invalid-fhirpath"


@pytest.mark.parametrize("path", ["name.family > 'a'", "active > 1", "-name", "name.given.substring(0)", "active + 1"])
def test_does_not_fit_the_data(path):
    with pytest.raises(FlipError) as error:
        evaluate(path)
    assert error.value.code == "fhirpath"


PATHS = (
    "id",
    "code.coding.code",
    "code.coding.where(system = 'http://loinc.org').code.first()",
    "category.coding.exists(code = 'vital-signs')",
    "value.ofType(Quantity).value",
    "value.ofType(CodeableConcept).coding.display",
    "effective.ofType(dateTime)",
    "subject.reference.startsWith('urn:uuid:')",
    "component.where(code.coding.code = '8480-6').value.value",
    "component.count()",
    "name.where(use = 'official').given.first()",
    "extension.where(url.endsWith('birthPlace')).value.city",
    "address.line.first().upper()",
    "telecom.system | telecom.use",
    "status = 'final' and value.exists()",
    "onset.ofType(dateTime) < '2015' or abatement.empty()",
    "period.start",
    "type.coding.display.first().length()",
)


def test_as_fhirpathpy_on_real_resources():
    seen = 0
    for path in sorted(FHIR_R4.directory().glob("*.json"))[:3]:
        for entry in json.loads(path.read_text(encoding="utf-8"))["entry"][::4]:
            resource = entry["resource"]
            for text in PATHS:
                theirs = COMPILED[text](resource)
                assert [json.dumps(value, default=str) for value in evaluate(text, resource)] == [
                    json.dumps(value, default=str) for value in theirs
                ], (text, resource["id"])
                seen += len(theirs)
    assert seen > 500


COMPILED = {text: fhirpathpy.compile(text, models["r4"]) for text in PATHS}

dates = st.dates(min_value=__import__("datetime").date(1900, 1, 1)).map(str)
partial = st.builds(lambda text, end: text[:end], dates, st.sampled_from([4, 7, 10]))


@settings(max_examples=100)
@given(partial, partial)
def test_partial_dates_are_ordered_only_where_their_boundaries_are(one, other):
    low, high = (temporal.boundary(one, "date", high=which) for which in (False, True))
    others = [temporal.boundary(other, "date", high=which) for which in (False, True)]
    order = temporal.compare(one, other, "dateTime")
    assert (order == -1) == (high < others[0]) and (order == 1) == (low > others[1])
    assert (order == 0) == (one == other)
