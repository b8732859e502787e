"""What other de-identifiers take away under the basic profile, ours takes away; what they leave is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dicom_cases.answer_key import BASIC, Fate
from dicom_cases.rivals import HELD_OF_PYDICOM, dicom_anonymizer, orthanc, parsed
from dicom_cases.survivors import elements_said, public_tag, survivors

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

_CODES = "a coded term says nothing of a person, and what is told in words beside it is cleaned"
_STRUCTURE = "says of what kind an item is: a report without it is no report"
_CLASS = "the class of what is referred to, whose instance has a new UID: references still resolve"
JUSTIFIED = {
    "00080100 CodeValue": _CODES,
    "00080102 CodingSchemeDesignator": _CODES,
    "00080103 CodingSchemeVersion": _CODES,
    "00080104 CodeMeaning": _CODES,
    "0008010C CodingSchemeUID": _CODES,
    "0040A010 RelationshipType": _STRUCTURE,
    "0040A040 ValueType": _STRUCTURE,
    "0040A050 ContinuityOfContent": _STRUCTURE,
    "0040A130 TemporalRangeType": _STRUCTURE,
    "0040DB73 ReferencedContentItemIdentifier": _STRUCTURE,
    "00700023 GraphicType": _STRUCTURE,
    "00080016 SOPClassUID": _CLASS,
    "00081150 ReferencedSOPClassUID": _CLASS,
    "00081160 ReferencedFrameNumber": _CLASS,
}
"""Elements that another takes away with the sequence that they are in, and ours keeps, each with its reason."""


@pytest.fixture(scope="module")
def compared(of_pydicom, answered) -> list[tuple[str, Path, Path]]:
    """Name, original and our output: pydicom's files, and the hard cases that are to be released."""
    told = answered(BASIC)
    pairs = [(name, of_pydicom.source / name, path) for name, path in of_pydicom.released.items()]
    return pairs + [
        (name, told.source / name, path)
        for name, path in told.released.items()
        if told.cases[name].fate[BASIC] is Fate.RELEASED
    ]


def _left_standing(pairs: list[tuple[str, Path, Path]], theirs: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """Values that they changed or took away and that stand in ours, by tag and file."""
    for name, before, after in pairs:
        data = before.read_bytes()
        other = theirs(data)
        if other is None:
            continue
        original, ours = dict(elements_said(parsed(data))), dict(elements_said(parsed(after.read_bytes())))
        they = dict(elements_said(parsed(other)))
        for place, text in original.items():
            # A well-known UID is DICOM's own: a frame of reference of an atlas is the same for everybody.
            if text.startswith("1.2.840.10008."):
                continue
            if text and they.get(place) != text and ours.get(place) == text:
                tag = public_tag(place)
                if tag not in JUSTIFIED or "." not in place:
                    yield f"{tag} in {name}: {text[:40]!r}"


def test_what_dicom_anonymizer_removes_ours_removes(compared):
    assert Counter(_left_standing(compared, dicom_anonymizer)) == Counter()


def test_what_orthanc_removes_ours_removes(compared, orthanc_server):
    with orthanc_server.client() as client:
        assert Counter(_left_standing(compared, lambda data: orthanc(client, data))) == Counter()


def test_no_value_of_the_table_survives_ours(compared, orthanc_server):
    """On the same files the others leave some: the count of ours is none, whatever theirs is."""
    counts: dict[str, Counter[str]] = {"ours": Counter(), "dicom-anonymizer": Counter(), "Orthanc": Counter()}
    with orthanc_server.client() as client:
        for name, before, after in compared:
            data = before.read_bytes()
            original = parsed(data)
            outputs = {
                "ours": after.read_bytes(),
                "dicom-anonymizer": dicom_anonymizer(data),
                "Orthanc": orthanc(client, data),
            }
            for who, output in outputs.items():
                if output is not None:
                    counts[who].update(f"{public_tag(p)} in {name}" for p in survivors(original, parsed(output)))
    assert counts["ours"] == Counter(), counts["ours"].most_common(30)
    assert counts["dicom-anonymizer"] and counts["Orthanc"], "the counting finds nothing at all"


def test_of_pydicoms_files_each_is_accounted_for_and_all_are_released_that_can_be(of_pydicom):
    assert Counter(one.file for one in of_pydicom.outcomes) == Counter(p.name for p in of_pydicom.source.iterdir())
    assert of_pydicom.code == 0
    held = {one.file: (one.state, one.reason) for one in of_pydicom.outcomes if one.state != "released"}
    assert {name: why for name, why in held.items() if name not in HELD_OF_PYDICOM} == {}
