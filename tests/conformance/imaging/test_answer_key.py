"""The engine against the answer key: nothing of a person is left, and 99.9 % of all that is asked holds."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pydicom
import pytest
from dicom_cases.answer_key import ANYWHERE, POLICIES, RESEARCH, Fate
from dicom_cases.headers import elements
from dicom_cases.judge import find
from dicom_cases.people import ELEANOR, HYPHEN
from dicom_cases.reference_cases import LATER, OF_ANOTHER, RTSTRUCT, SEG, SLICES, WEEKS_LATER

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]
BAR = 0.999


@pytest.mark.parametrize("policy", POLICIES)
def test_every_file_is_accounted_for(answered, policy):
    told = answered(policy)
    assert Counter(one.file for one in told.outcomes) == Counter(dict.fromkeys(told.cases, 1))
    assert {one.state for one in told.outcomes} <= {"released", "quarantined", "refused"}
    assert told.code == 0
    for one in told.outcomes:
        assert (one.to is not None and one.to.is_file()) == (one.state == "released"), one
        assert one.reason or one.state == "released", one


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_of_a_person_is_left(score, policy):
    leaks = score(policy).leaks()
    assert leaks == [], f"{len(leaks)} leaks"


@pytest.mark.parametrize("policy", POLICIES)
def test_what_should_stay_stays(score, policy):
    judged = score(policy)
    lost = Counter((action, place) for _, action, place, *_ in judged.lost())
    assert judged.share >= BAR, (judged.share, lost.most_common(20), judged.lost()[:20])


@pytest.mark.parametrize("policy", POLICIES)
def test_what_must_be_released_is_and_what_must_not_be_is_not(answered, policy):
    told = answered(policy)
    states = {one.file: (one.state, one.reason) for one in told.outcomes}
    wanted = [name for name, case in told.cases.items() if case.fate[policy] is Fate.RELEASED]
    held_back = {name: states[name] for name in wanted if states[name][0] != "released"}
    assert len(held_back) <= 0.01 * len(wanted), held_back
    let_go = [
        name
        for name, case in told.cases.items()
        if case.fate[policy] is Fate.HELD and states[name][0] == "released" and "burned" not in name
    ]
    assert let_go == []


@pytest.mark.parametrize("policy", POLICIES)
def test_neither_reasons_nor_places_tell_of_a_person(answered, policy):
    """A file's own name is said once, to whoever gave it; what came of it has a name without a person."""
    told = answered(policy)
    secrets = {word.lower() for person in (ELEANOR, HYPHEN) for word in (*person.words, person.mrn, person.nhs)}
    for one in told.outcomes:
        place = "" if one.to is None else one.to.relative_to(told.to.parent).as_posix()
        text = f"{one.reason} {place}".lower()
        assert not [secret for secret in secrets if secret in text], one
        asked = {a.text.lower() for a in told.cases[one.file].answers if a.where == ANYWHERE and len(a.text) > 6}
        assert not [secret for secret in asked if secret in text], one


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_again_is_the_same(answered, policy, tmp_path):
    """Two outputs of one person, read by pydicom: the same pseudonym; of two persons: not the same."""
    told = answered(policy)
    outputs = {name: pydicom.dcmread(path) for name, path in told.released.items() if name in _STUDY}
    assert set(outputs) == set(_STUDY)
    first, later, another = outputs[SLICES[0]], outputs[LATER], outputs[OF_ANOTHER]
    assert first.PatientID and first.PatientID == later.PatientID == outputs[SEG].PatientID != another.PatientID
    assert len({outputs[name].StudyInstanceUID for name in (*SLICES, SEG, RTSTRUCT)}) == 1
    assert len({outputs[name].StudyInstanceUID for name in (SLICES[0], LATER, OF_ANOTHER)}) == 3
    assert len({outputs[name].SOPInstanceUID for name in _STUDY}) == len(_STUDY)
    for ds in outputs.values():
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID


_STUDY = (*SLICES, SEG, RTSTRUCT, LATER, OF_ANOTHER)


@pytest.mark.parametrize("policy", POLICIES)
def test_references_still_resolve(answered, policy):
    """Segmentation and contours name the slices that were released, and their frame of reference."""
    told = answered(policy)
    outputs = {name: pydicom.dcmread(path) for name, path in told.released.items() if name in _STUDY}
    slices = {outputs[name].SOPInstanceUID for name in SLICES}
    named = [outputs[SEG].ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    frames = outputs[SEG].PerFrameFunctionalGroupsSequence
    named += [frame.DerivationImageSequence[0].SourceImageSequence for frame in frames]
    frame_of_reference = outputs[RTSTRUCT].ReferencedFrameOfReferenceSequence[0]
    series = frame_of_reference.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    named.append(series.ContourImageSequence)
    assert {item.ReferencedSOPInstanceUID for items in named for item in items} == slices
    contour = outputs[RTSTRUCT].ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert contour.ReferencedSOPInstanceUID == outputs[SLICES[1]].SOPInstanceUID
    assert frame_of_reference.FrameOfReferenceUID == outputs[SLICES[0]].FrameOfReferenceUID
    assert outputs[SEG].FrameOfReferenceUID == outputs[SLICES[0]].FrameOfReferenceUID
    assert series.SeriesInstanceUID == outputs[SLICES[0]].SeriesInstanceUID


def test_dates_of_a_person_move_together(answered):
    """Intervals are kept within a person's files, the shift is never none, and no two persons' need be the same."""
    told = answered(RESEARCH)
    paths = told.released
    first, later, another = (pydicom.dcmread(paths[name]) for name in (SLICES[0], LATER, OF_ANOTHER))
    assert _day(later.StudyDate) - _day(first.StudyDate) == WEEKS_LATER
    shift = _day(first.StudyDate) - ELEANOR.scanned
    assert shift.days != 0
    assert _day(first.InstanceCreationDate) - _day(first.StudyDate) == date(2023, 5, 4) - date(2023, 5, 3)
    assert first.AcquisitionDateTime.startswith(first.StudyDate) and first.AcquisitionDateTime.endswith("142302.120000")
    assert first.StudyTime == "142233"
    shifts = {_day(another.StudyDate) - WEEKS_LATER - HYPHEN.scanned, shift}
    for name in ("age_94.dcm", "name_titled_ImageComments.dcm", "name_apostrophe_ImageComments.dcm"):
        shifts.add(_day(pydicom.dcmread(paths[name]).StudyDate) - ELEANOR.scanned)
    assert len(shifts) > 1


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


@pytest.mark.parametrize("policy", POLICIES)
def test_how_it_was_done_is_written(answered, policy):
    """PS3.15 E.1.1: the attribute says YES, and the method is told in codes of CID 7050."""
    told = answered(policy)
    seen = set()
    for name, path in told.released.items():
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert ds.PatientIdentityRemoved == "YES", name
        codes = {code.CodeValue for code in ds.DeidentificationMethodCodeSequence}
        assert "113100" in codes and {
            code.CodingSchemeDesignator for code in ds.DeidentificationMethodCodeSequence
        } == {"DCM"}
        seen.add(frozenset(codes))
        shifted = ds.get("LongitudinalTemporalInformationModified")
        assert shifted == ("REMOVED" if policy != RESEARCH else "MODIFIED"), name
    assert len(seen) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_lies_around_the_dataset(answered, policy):
    """No preamble, no application's titles, no private information, and under basic no private element at all."""
    told = answered(policy)
    for name, path in told.released.items():
        assert path.read_bytes()[:128] == b"\0" * 128, name
        ds = pydicom.dcmread(path)
        kept = {element.tag.element for element in ds.file_meta}
        assert kept <= {0x0000, 0x0001, 0x0002, 0x0003, 0x0010, 0x0012, 0x0013}, name
        private = [place for place, element in elements(ds) if element.tag.is_private]
        assert not private or policy == RESEARCH, (name, private)
        assert not [element.tag for element in ds if element.tag.element == 0], name


def test_a_kept_age_is_ninety_at_most(answered):
    told = answered(RESEARCH)
    path = told.released["age_94.dcm"]
    age = find(pydicom.dcmread(path), "00101010")
    assert age is None or age.value in ("", "090Y")
