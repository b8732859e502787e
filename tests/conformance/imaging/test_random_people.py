"""People, texts and places that nobody chose: what a header says of a person is nowhere in what is released.

Names are letters by chance, so that no list of names and no word of a clinic can have been made for them; texts are put
together from pieces, with the name turned and spelled as people do; and they lie anywhere, in items and private blocks.
"""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date, timedelta

import pydicom
import pytest
from dicom_cases.answer_key import BASIC, RESEARCH
from dicom_cases.headers import dicom_date, encoded, image
from dicom_cases.judge import holds, searched
from dicom_cases.people import ELEANOR, Person, nhs_number
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy, Refused

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

_LETTERS = "bcdfghklmnprstvz" + "äöüéèñçøåæ"
_WORDS = (
    "chest",
    "lung",
    "axial",
    "contrast",
    "nodule",
    "left",
    "right",
    "thorax",
    "routine",
    "venous",
    "bone",
    "tissue",
)
_CLINICAL = ("bone marrow oedema", "lung nodule 4 mm", "T2 FLAIR axial", "portal venous phase")

_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
words = st.text(_LETTERS, min_size=6, max_size=12)


@st.composite
def people(draw) -> Person:
    family, given_name = draw(words), draw(words)
    if draw(st.booleans()):
        family += "-" + draw(words)
    numbers = draw(st.integers(10**8, 10**9 - 1).map(str).filter(_has_check_digit))
    mrn = draw(st.from_regex(r"[A-Z]{0,2}[1-9]{8,9}", fullmatch=True))
    born = date(1930, 1, 1) + timedelta(draw(st.integers(0, 30_000)))
    scanned = date(2015, 1, 1) + timedelta(draw(st.integers(0, 3_600)))
    return replace(
        ELEANOR,
        name=f"{family.title()}^{given_name.title()}",
        mrn=mrn,
        nhs=nhs_number(numbers),
        born=born,
        scanned=scanned,
        words=(*family.split("-"), given_name),
    )


def _has_check_digit(nine: str) -> bool:
    try:
        nhs_number(nine)
    except ValueError:
        return False
    return True


@st.composite
def mentions(draw, person: Person) -> str:
    """Some of what identifies the person, as it is written in a hurry."""
    family, given_name = person.name.split("^")
    turned = draw(
        st.sampled_from(
            (
                f"{given_name} {family}",
                f"{family}, {given_name}",
                f"{family}_{given_name}",
                f"{family}^{given_name}",
                f"{given_name[0]}. {family}",
                f"Mrs {family}",
                f"{family}'s",
            )
        )
    )
    day = draw(st.sampled_from((person.born, person.scanned)))
    other = draw(
        st.sampled_from(
            (
                person.mrn,
                f"MRN{person.mrn}",
                f"{person.nhs[:3]} {person.nhs[3:6]} {person.nhs[6:]}",
                person.nhs,
                day.isoformat(),
                day.strftime("%d/%m/%Y"),
                day.strftime("%d.%m.%y"),
                f"{day.day} {day:%B} {day.year}",
                dicom_date(day),
            )
        )
    )
    spelled = draw(st.sampled_from((str, str.upper, str.lower)))(turned)
    pieces = [spelled, other, *draw(st.lists(st.sampled_from(_WORDS), max_size=3))]
    return draw(st.sampled_from((" ", ", ", " - "))).join(draw(st.permutations(pieces)))


@st.composite
def headers(draw) -> tuple[Person, Dataset]:
    person = draw(people())
    ds = image(person, study=draw(st.integers(2_000, 9_000)))
    ds.SpecificCharacterSet = draw(st.sampled_from(("ISO_IR 100", "ISO_IR 192", "GB18030")))
    for keyword in ("ImageComments", "SeriesDescription", "AdditionalPatientHistory", "ProtocolName"):
        if draw(st.booleans()):
            setattr(ds, keyword, draw(mentions(person)))
    if draw(st.booleans()):
        block = ds.private_block(0x0031, "ACME NOTES", create=True)
        block.add_new(draw(st.integers(0, 200)), draw(st.sampled_from(("LO", "LT", "UT"))), draw(mentions(person)))
    if draw(st.booleans()):
        item = Dataset()
        item.PatientName, item.PatientID = person.name, person.mrn
        item.RequestedProcedureDescription = draw(mentions(person))
        for _ in range(draw(st.integers(0, 3))):
            outer = Dataset()
            outer.ReferencedPatientSequence = [item]
            item = outer
        ds.RequestAttributesSequence = [item]
    return person, ds


def _secrets(person: Person) -> list[str]:
    shapes = [f"{person.nhs[:3]} {person.nhs[3:6]} {person.nhs[6:]}", person.nhs, person.mrn]
    for day in (person.born, person.scanned):
        shapes += [day.isoformat(), day.strftime("%d/%m/%Y"), dicom_date(day), f"{day.day} {day:%B} {day.year}"]
    return [*person.words, *shapes]


@pytest.fixture(scope="module", params=[BASIC, RESEARCH])
def engine(request) -> Deidentifier:
    return Deidentifier(Policy.named(request.param), Keys(b"k" * 32))


_CALM = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@_CALM
@given(drawn=headers())
def test_nothing_of_a_person_is_anywhere_in_what_is_given_back(engine, drawn):
    person, ds = drawn
    data = encoded(ds)
    try:
        texts = searched(engine.deidentify(memoryview(data)).to_bytes())
    except Refused:
        return
    left = {secret: found for secret in _secrets(person) if (found := holds(texts, secret)) is not None}
    assert left == {}


@_CALM
@given(
    person=people(),
    text=st.sampled_from(_CLINICAL),
    syntax=st.sampled_from(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")),
)
def test_clinical_words_and_pixels_of_anybody_stay(person, text, syntax):
    ds = image(person, study=1_999)
    ds.SeriesDescription = text
    engine = Deidentifier(Policy.named(RESEARCH), Keys(b"k" * 32))
    given_back = engine.deidentify(memoryview(encoded(ds, syntax))).to_bytes()
    output = pydicom.dcmread(io.BytesIO(given_back))
    assert output.SeriesDescription == text
    assert output.PixelData == ds.PixelData
    assert output.PatientSex == ds.PatientSex and output.PixelSpacing == ds.PixelSpacing
