"""Dates and times as DICOM holds them: with zones and fractions, old spellings, in items, and broken."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_cases.answer_key import RESEARCH, Action, CaseFile, Fate
from dicom_cases.headers import case, image
from pydicom.dataset import Dataset


def cases() -> Iterator[CaseFile]:
    for number, value in enumerate(
        (
            "20230503142233.123456+0100",
            "20230503235959.999999-0500",
            "20230503142233+0000",
            "20230503",
            "202305031422",
        )
    ):
        ds = image(study=400 + number)
        ds.AcquisitionDateTime = value
        made = case(f"datetime_{number}.dcm", ds)
        made.add(Action.TEXT_NOTNULL, "0008002A", only=RESEARCH)
        if "." in value:
            made.kept("0008002A", value[14:21], only=RESEARCH)
        yield made
    yield from _many()
    yield from _strange()
    yield from _nested()


def _many() -> Iterator[CaseFile]:
    ds = image(study=410)
    ds.DateOfSecondaryCapture = "20230504"
    ds.add_new(0x00181200, "DA", ["20230101", "20230204"])  # DateOfLastCalibration
    ds.add_new(0x00181201, "TM", ["081500", "091500"])
    yield case("dates_several_values.dcm", ds)
    for instance in (1, 2, 3):
        ds = image(study=411, instance=instance)
        ds.ContentDate = f"2023050{2 + instance}"
        ds.AcquisitionDateTime = f"2023050{2 + instance}142302.120000"
        yield case(f"dates_of_one_study_{instance}.dcm", ds)


def _strange() -> Iterator[CaseFile]:
    for number, value in enumerate(("2023.05.03", "20230231", "18991231", "00010101", "99991231", "202305", "2023")):
        ds = image(study=420 + number)
        ds.add_new(0x00080022, "DA", value)
        yield _may_be_emptied(case(f"date_strange_{number}.dcm", ds))
    ds = image(study=430)
    ds.add_new(0x00080022, "DA", "")
    yield case("date_empty.dcm", ds)
    ds = image(study=431)
    ds.add_new(0x00080022, "LO", "3 May 2023")
    yield _may_be_emptied(case("date_in_another_vr.dcm", ds).gone("3 May 2023"))


def _may_be_emptied(made: CaseFile) -> CaseFile:
    """What is no date cannot be shifted: it is emptied, or the file is held back."""
    made.answers = [a for a in made.answers if not (a.action is Action.TEXT_NOTNULL and a.where == "00080022")]
    return made.held(Fate.ANY)


def _nested() -> Iterator[CaseFile]:
    ds = image(study=440)
    item = Dataset()
    item.RadiopharmaceuticalStartDateTime = "20230503133000"
    item.Radiopharmaceutical = "Fluorodeoxyglucose"
    ds.RadiopharmaceuticalInformationSequence = [item]
    yield case("dates_in_an_item.dcm", ds).kept("00540016[0].00180031", "Fluorodeoxyglucose")
    frame = Dataset()
    content = Dataset()
    content.FrameAcquisitionDateTime = "20230503142302.3"
    content.FrameReferenceDateTime = "20230503142302.4"
    content.StackID, content.InStackPositionNumber = "1", 1
    frame.FrameContentSequence = [content]
    ds = image(study=441)
    ds.PerFrameFunctionalGroupsSequence = [frame]
    yield case("dates_of_frames.dcm", ds).kept("52009230[0].00209111[0].00209057", "1")
    ds = image(study=442)
    deep = Dataset()
    deep.ContentDate, deep.PatientName, deep.CodeMeaning = "20230503", "Whitcombe^Eleanor", "Chest"
    for _ in range(12):
        outer = Dataset()
        outer.ConceptCodeSequence = [deep]
        deep = outer
    ds.AnatomicRegionSequence = [deep]
    yield case("dates_and_names_twelve_deep.dcm", ds)
