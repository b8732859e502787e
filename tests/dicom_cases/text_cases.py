"""Numbers, dates, addresses and the like in texts: they go, and what is clinical beside them stays."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_cases.answer_key import RESEARCH, CaseFile, Fate
from dicom_cases.headers import case, image
from dicom_cases.name_cases import COMMENTS, HISTORY, PROTOCOL, SERIES, STUDY
from dicom_cases.people import ELEANOR, OLD

_NHS = ELEANOR.nhs
_SPACED = f"{_NHS[:3]} {_NHS[3:6]} {_NHS[6:]}"
_HYPHENED = f"{_NHS[:3]}-{_NHS[3:6]}-{_NHS[6:]}"

# name, keyword, place, text, what must be gone, what must stay (under the research policy)
TEXTS: tuple[tuple[str, str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("mrn_series", "SeriesDescription", SERIES, "Thorax 00451873 axial", ("00451873",), ("Thorax", "axial")),
    ("mrn_protocol", "ProtocolName", PROTOCOL, "MRN00451873 thorax", ("00451873",), ("thorax",)),
    ("mrn_comments", "ImageComments", COMMENTS, "hosp no 00451873: lung nodule", ("00451873",), ("lung nodule",)),
    ("mrn_file_name", "ImageComments", COMMENTS, "IM_00451873_0001.dcm lung", ("00451873",), ("lung",)),
    ("mrn_no_zeros", "ImageComments", COMMENTS, "hosp no 451873: lung", ("451873",), ("lung",)),
    ("mrn_split", "ImageComments", COMMENTS, "0045 1873 lung", ("0045 1873",), ("lung",)),
    ("mrn_study", "StudyDescription", STUDY, "00451873^CT thorax", ("00451873",), ("CT thorax",)),
    ("path", "ImageComments", COMMENTS, "E:\\Whitcombe\\CT\\00451873 lung", ("Whitcombe", "00451873"), ()),
    ("nhs", "ImageComments", COMMENTS, f"NHS {_NHS} lung", (_NHS,), ("lung",)),
    ("nhs_spaced", "ImageComments", COMMENTS, f"NHS {_SPACED} lung", (_SPACED,), ("lung",)),
    ("nhs_hyphens", "SeriesDescription", SERIES, f"{_HYPHENED} lung", (_HYPHENED,), ("lung",)),
    ("nhs_of_another", "ImageComments", COMMENTS, "mother 485 777 3456 lung", ("485 777 3456",), ("lung",)),
    ("accession", "SeriesDescription", SERIES, "RAD7741209 lung", ("RAD7741209",), ("lung",)),
    ("study_id", "ImageComments", COMMENTS, "see ST99120 lung", ("ST99120",), ("lung",)),
    ("date_words", "ImageComments", COMMENTS, "compared with 3 May 23 lung", ("3 May 23",), ("lung",)),
    ("date_long", "ImageComments", COMMENTS, "prior of May 3rd, 2023: lung", ("May 3rd, 2023",), ("lung",)),
    ("date_iso", "SeriesDescription", SERIES, "2023-05-03 lung axial", ("2023-05-03",), ("lung axial",)),
    ("date_dots", "ImageComments", COMMENTS, "CT 03.05.23 lung", ("03.05.23",), ("lung",)),
    ("date_slashes", "StudyDescription", STUDY, "CT 03/05/2023 thorax", ("03/05/2023",), ("thorax",)),
    ("date_hyphens", "ImageComments", COMMENTS, "since 3-May-2023 lung", ("3-May-2023",), ("lung",)),
    ("date_dicom", "SeriesDescription", SERIES, "20230503 lung", ("20230503",), ("lung",)),
    ("date_other", "ImageComments", COMMENTS, "operated 17 August 2021 lung", ("17 August 2021",), ("lung",)),
    ("date_capitals", "ImageComments", COMMENTS, "03MAY2023 LUNG", ("03MAY2023",), ("LUNG",)),
    ("birth_in_text", "ImageComments", COMMENTS, "DOB 12/04/1948 lung", ("12/04/1948",), ("lung",)),
    ("birth_words", "AdditionalPatientHistory", HISTORY, "born 12 April 1948, cough", ("12 April 1948",), ("cough",)),
    ("birth_american", "ImageComments", COMMENTS, "04/12/1948 lung", ("04/12/1948",), ("lung",)),
    ("postcode", "ImageComments", COMMENTS, "lives HG2 7QW lung", ("HG2 7QW",), ("lung",)),
    ("postcode_joined", "ImageComments", COMMENTS, "HG27QW lung", ("HG27QW",), ("lung",)),
    ("postcode_other", "ImageComments", COMMENTS, "son at LS1 3EX lung", ("LS1 3EX",), ("lung",)),
    ("address", "ImageComments", COMMENTS, "14 Larkspur Rise lung", ("Larkspur",), ("lung",)),
    ("phone", "ImageComments", COMMENTS, "ring 01423 496 0182 lung", ("01423 496 0182", "496 0182"), ("lung",)),
    ("phone_other", "ImageComments", COMMENTS, "ring +44 7700 900461 lung", ("7700 900461",), ("lung",)),
    ("email", "ImageComments", COMMENTS, "e.whitcombe@example.org lung", ("e.whitcombe@example.org",), ("lung",)),
    ("email_other", "ImageComments", COMMENTS, "granny48@example.org lung", ("granny48@example.org",), ("lung",)),
    ("web", "ImageComments", COMMENTS, "https://pas.example.org/p?id=77 lung", ("pas.example.org",), ("lung",)),
    ("hospital", "ImageComments", COMMENTS, "from Nidderdale Royal Infirmary lung", ("Nidderdale",), ("lung",)),
)  # fmt: skip


def cases() -> Iterator[CaseFile]:
    for number, (name, keyword, place, text, gone, kept) in enumerate(TEXTS):
        ds = image(study=300 + number)
        if "\\" in text:
            ds.add_new(int(place, 16), "LT", text)
        else:
            setattr(ds, keyword, text)
        made = case(f"text_{name}.dcm", ds)
        # Of a date that was shifted a part may be as it was: the whole is looked for, in the whole file.
        if not name.startswith(("date_", "birth_")):
            made.gone(*gone, where=place)
        only = RESEARCH if name == "hospital" else None
        made.gone(*(form for form in gone if len(form) > 5 and only is None))
        yield made.kept(place, *kept, only=RESEARCH)
    yield from _identifiers_elsewhere()
    yield from _clinical_texts()


def _identifiers_elsewhere() -> Iterator[CaseFile]:
    ds = image(study=360)
    ds.StudyID = "19480412"
    yield case("birth_date_in_study_id.dcm", ds).gone("19480412", where="00200010")
    ds = image(study=361)
    ds.RequestedContrastAgent = "iohexol for 00451873"
    yield case("mrn_in_contrast.dcm", ds).gone("00451873")
    ds = image(study=362)
    ds.AcquisitionDeviceProcessingDescription = "00451873 sharp"
    yield case("mrn_in_processing.dcm", ds).gone("00451873")
    ds = image(study=363)
    ds.DeviceSerialNumber = "00451873"
    yield case("mrn_as_serial_number.dcm", ds).held(Fate.ANY)
    ds = image(OLD, study=364)
    yield case("age_94.dcm", ds, OLD).gone("094Y", where="00101010")
    ds = image(study=365)
    ds.PatientAge = "075Y"
    ds.ImageComments = "94 year old woman, lung"
    yield case("age_in_text.dcm", ds).gone("94", where=COMMENTS).kept(COMMENTS, "lung", only=RESEARCH)
    ds = image(study=366)
    ds.PatientAge = "008W"
    yield case("age_in_weeks.dcm", ds).kept("00101010", "008W", only=RESEARCH)


def _clinical_texts() -> Iterator[CaseFile]:
    """Nothing of a person in them: whoever takes a word of these has lost something."""
    texts = (
        "T2 FLAIR axial 5mm post gad",
        "Abdomen 5.0 B30f venous phase",
        "CT head without contrast, 1.25 mm",
        "PE protocol 100 kV 1.0/0.7",
        "Follow-up of 4 mm right upper lobe nodule",
        "AP supine mobile",
        "Left hip lateral",
        "Crohn disease, small bowel MR enterography",
        "Hodgkin lymphoma staging, PET",
        "Parkinson disease DaT scan",
        "SmartPrep 2.5 x 2.5 mm HiRes",
        "ax dwi b0 b1000 ADC 3.0",
        "Baker cyst, knee sag PD FS",
        "W 1500 L -600",
    )
    for number, text in enumerate(texts):
        ds = image(study=380 + number)
        ds.SeriesDescription = text
        yield case(f"clinical_text_{number:02}.dcm", ds).kept(SERIES, text, only=RESEARCH)
