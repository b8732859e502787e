"""The judge itself: it finds what was left in a file that nobody touched, and what was lost from an emptied one."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pydicom
import pytest
from dicom_cases.answer_key import ANYWHERE, BASIC, POLICIES, REMOVALS, Action, CaseFile, Fate, write
from dicom_cases.every_case import every_case
from dicom_cases.headers import said
from dicom_cases.judge import compared, find, holds, judge, searched

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
NOT_THERE_TO_BEGIN_WITH = {"segmentation.dcm", "empty_elements.dcm", "no_patient_id.dcm", "truncated_header.dcm"}
"""Files without some of the person's data: what is asked of every file holds for these as it is."""


def test_every_one_of_the_ten_actions_is_asked_for():
    asked = {answer.action for case in every_case() for answer in case.answers}
    assert asked == set(Action)


@pytest.mark.slow
def test_whoever_changes_nothing_fails_every_removal(tmp_path):
    """Each text of the key is in the file for the judge to find: none is asked for in vain."""
    cases = [case for case in every_case() if case.name not in NOT_THERE_TO_BEGIN_WITH]
    write(cases, tmp_path / "in")
    for policy in POLICIES:
        score = judge(cases, {case.name: tmp_path / "in" / case.name for case in cases}, policy)
        for action in REMOVALS:
            passed = _passed(cases, score.failures, action, policy)
            assert score.asked[action] > 0 and passed <= {
                # A name in plain letters, or in a character set that pydicom does not read, is in the file elsewhere.
                ("charset_latin1_plain.dcm", "00100010"),
                ("charset_chinese_2022.dcm", "00100010"),
            }
        lost = {failure[0] for failure in score.lost() if not failure[2].startswith("0012")}
        assert lost == set()


def _passed(cases: Iterable[CaseFile], failures: list, action: Action, policy: str) -> set[tuple[str, str]]:
    asked = {
        (case.name, a.where, a.text)
        for case in cases
        for a in case.answers
        if a.action is action and policy in a.policies
    }
    return {(name, where) for name, where, _ in asked - {(f[0], f[2], f[3]) for f in failures}}


def test_whoever_empties_everything_fails_what_was_to_be_kept(tmp_path):
    case = next(case for case in every_case() if case.name == "slice_1.dcm")
    ds = pydicom.dcmread(io.BytesIO(case.data))
    for element in list(ds):
        if element.tag != 0x00080016:
            del ds[element.tag]
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.save_as(tmp_path / "emptied.dcm")
    score = judge([case], {case.name: tmp_path / "emptied.dcm"}, BASIC)
    assert not score.leaks()
    assert {action for _, action, *_ in score.lost()} == {
        Action.TEXT_RETAINED,
        Action.TEXT_NOTNULL,
        Action.TAG_RETAINED,
        Action.PIXELS_RETAINED,
    }


def test_a_file_that_is_not_released_keeps_its_secret_and_is_lost():
    case = next(case for case in every_case() if case.name == "slice_1.dcm")
    score = judge([case], {}, BASIC)
    assert not score.leaks() and score.lost() and 0 < score.share < 1
    held = next(case for case in every_case() if case.fate[BASIC] is Fate.HELD)
    assert judge([held], {}, BASIC).failures == []


def test_a_uid_that_becomes_two_is_found(tmp_path):
    cases = [case for case in every_case() if case.name in ("slice_1.dcm", "slice_2.dcm")]
    released: dict[str, Path] = {}
    for number, case in enumerate(cases):
        ds = pydicom.dcmread(io.BytesIO(case.data))
        ds.StudyInstanceUID = f"2.25.{number + 1}"
        ds.SeriesInstanceUID = "2.25.9"
        ds.save_as(tmp_path / case.name)
        released[case.name] = tmp_path / case.name
    failed = [f[:3] for f in judge(cases, released, BASIC).failures if f[1] is Action.UID_CONSISTENT]
    assert ("slice_2.dcm", Action.UID_CONSISTENT, "0020000D") in failed
    assert all(place != "0020000E" for _, _, place in failed)


@pytest.mark.parametrize(
    ("value", "text", "retained", "removed"),
    [
        ("1.50", "1.5", 1, 0),
        ("12", "12.5", 0, 1),
        ("0.25\\0.5", "0.250\\0.50", 1, 0),
        ("the lung of her", "Lung", 1, 0),
        ("lung", "lung nodule", 0.5, 0.5),
        ("nothing", "of the", 0, 1),
        ("address is 1261 AR", "1261 Leawood Street", 1 / 3, 2 / 3),
    ],
)
def test_text_is_compared_by_tokens_and_numbers_as_numbers(value, text, retained, removed):
    assert compared(value, text, retain=True) == pytest.approx(retained)
    assert compared(value, text, retain=False) == pytest.approx(removed)


@pytest.mark.parametrize("text", ["whitcombe", "山田", "Любомирова", "길동", "小东"])
def test_every_text_of_a_person_is_found_in_every_syntax(text):
    found = [case for case in every_case() if holds(searched(case.data), text)]
    assert found
    if text == "whitcombe":
        assert {"syntax_native_2.dcm", "preamble_text.dcm", "private_of_every_kind.dcm"} <= {c.name for c in found}


def test_what_must_stay_is_there_to_begin_with():
    for case in every_case():
        ds = pydicom.dcmread(io.BytesIO(case.data), force=True) if case.answers else None
        for answer in case.answers:
            if answer.action is Action.TEXT_RETAINED and not answer.where.startswith(("0012", ANYWHERE)):
                element = find(ds, answer.where)
                assert element is not None and compared(said(element), answer.text, retain=True) == 1, (
                    case.name,
                    answer,
                )
