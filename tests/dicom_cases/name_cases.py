"""Names where people write them: in descriptions, comments and protocols, in many spellings and character sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dicom_cases.answer_key import ANYWHERE, RESEARCH, CaseFile, Fate
from dicom_cases.headers import case, encoded, image
from dicom_cases.people import APOSTROPHE, ELEANOR, HYPHEN, LUNG, MARROW, SHORT, SMITH, Person
from pydicom.dataset import Dataset

COMMENTS, SERIES, STUDY, PROTOCOL, HISTORY = "00204000", "0008103E", "00081030", "00181030", "001021B0"

# A form of the name in a sentence; what of it must be gone; clinical words beside it that must stay.
FORMS: tuple[tuple[str, Person, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("reversed", ELEANOR, "Eleanor Whitcombe chest follow-up", ("Eleanor Whitcombe",), ("chest", "follow-up")),
    ("comma", ELEANOR, "WHITCOMBE, Eleanor J: axial lung", ("WHITCOMBE", "Eleanor"), ("axial", "lung")),
    ("initials", ELEANOR, "pt E.J. Whitcombe contrast given", ("Whitcombe", "E.J. Whitcombe"), ("contrast",)),
    ("initials_only", ELEANOR, "E.J.W. lung nodule 4 mm", ("E.J.W.",), ("lung nodule", "4 mm")),
    ("lower", ELEANOR, "eleanor whitcombe, lung nodule", ("eleanor", "whitcombe"), ("lung nodule",)),
    ("upper", ELEANOR, "MRS WHITCOMBE LUNG NODULE", ("WHITCOMBE",), ("LUNG NODULE",)),
    ("joined", ELEANOR, "WhitcombeEleanor thorax", ("WhitcombeEleanor",), ("thorax",)),
    ("underscores", ELEANOR, "WHITCOMBE_ELEANOR_CT thorax", ("WHITCOMBE_ELEANOR",), ("thorax",)),
    ("carets", ELEANOR, "Whitcombe^Eleanor^Jane thorax", ("Whitcombe^Eleanor",), ("thorax",)),
    ("possessive", ELEANOR, "Whitcombe's chest, contrast", ("Whitcombe",), ("chest", "contrast")),
    ("given_only", ELEANOR, "Eleanor moved during axial scan", ("Eleanor",), ("axial",)),
    ("mother", ELEANOR, "nee Hartlepool, chest pain", ("Hartlepool",), ("chest", "pain")),
    ("spaced_letters", ELEANOR, "W H I T C O M B E thorax", ("W H I T C O M B E",), ("thorax",)),
    ("double_space", ELEANOR, "Whitcombe  Eleanor   thorax", ("Whitcombe", "Eleanor"), ("thorax",)),
    ("hyphenated", HYPHEN, "Smythe-Okonkwo abdomen contrast", ("Smythe-Okonkwo",), ("abdomen contrast",)),
    ("hyphen_gone", HYPHEN, "Smythe Okonkwo abdomen", ("Smythe", "Okonkwo"), ("abdomen",)),
    ("half", HYPHEN, "Okonkwo C abdomen contrast", ("Okonkwo",), ("abdomen contrast",)),
    ("apostrophe", APOSTROPHE, "O'Shaughnessy pelvis", ("O'Shaughnessy",), ("pelvis",)),
    ("apostrophe_gone", APOSTROPHE, "OSHAUGHNESSY N pelvis", ("OSHAUGHNESSY",), ("pelvis",)),
    ("titled", SMITH, "PA for Mr Smith, chest", ("Smith",), ("PA", "chest")),
    ("referrer", ELEANOR, "Dr Farquharson requests chest", ("Farquharson",), ("chest",)),
    ("operator", ELEANOR, "KIT TATTERSALL axial repeat", ("TATTERSALL",), ("axial", "repeat")),
    ("short_name", SHORT, "CXR for Ng Wei Li", ("Ng Wei Li",), ("CXR",)),
)
PLACES = (("ImageComments", COMMENTS), ("SeriesDescription", SERIES), ("StudyDescription", STUDY))


def cases() -> Iterator[CaseFile]:
    for number, (name, person, text, gone, kept) in enumerate(FORMS):
        for offset, (keyword, place) in enumerate(PLACES):
            ds = image(person, study=100 + number, series=1 + offset)
            setattr(ds, keyword, text)
            made = case(f"name_{name}_{keyword}.dcm", ds, person)
            # Letters one by one are in every other word: these are looked for as they stand.
            made.gone(*gone, where=ANYWHERE if name == "spaced_letters" else place)
            yield made.kept(place, *kept, only=RESEARCH)
    yield from _clinical_words()
    yield from _charsets()
    yield from _where_no_row_looks()


def _clinical_words() -> Iterator[CaseFile]:
    """The patient's name is a word of the report: the word stays where it is one, the name goes where it names."""
    for number, (person, text, kept) in enumerate(
        (
            (MARROW, "bone marrow oedema, lung window", ("bone marrow oedema", "lung")),
            (LUNG, "Axial 1.5 mm lung window", ("lung window",)),
            (LUNG, "lung bases may be partial", ("lung bases",)),
        )
    ):
        ds = image(person, study=150 + number)
        ds.SeriesDescription = text
        yield case(f"name_clinical_word_{number}.dcm", ds, person).kept(SERIES, *kept, only=RESEARCH)
    for number, (person, text, gone) in enumerate(
        (
            (MARROW, "Drake Marrow, bone oedema", ("Drake",)),
            (LUNG, "May Lung chest axial", ("May Lung",)),
        )
    ):
        ds = image(person, study=155 + number)
        ds.SeriesDescription = text
        made = case(f"name_clinical_person_{number}.dcm", ds, person).held(Fate.ANY)
        for form in gone:
            made.gone(form, where=SERIES)
        yield made


# DICOM's character sets, a name in each as PN has it, the same in a sentence, and what of it must be nowhere.
CHARSETS: tuple[tuple[str, str | list[str], str, str, tuple[str, ...]], ...] = (
    ("latin1", "ISO_IR 100", "Müller-Lüdenscheidt^Jürgen", "Jürgen MÜLLER lung", ("Lüdenscheidt", "Jürgen", "Müller")),
    ("latin1_plain", "ISO_IR 100", "Brückner^Zoë", "BRUCKNER, Zoe lung", ("Bruckner", "Brückner")),
    ("latin2", "ISO_IR 101", "Wałęsiński^Władysław", "Władysław lung", ("Wałęsiński", "Władysław")),
    ("cyrillic", "ISO_IR 144", "Любомирова^Ксения", "ксения любомирова lung", ("Любомирова", "Ксения")),
    ("arabic", "ISO_IR 127", "قباني^لنزار", "قباني lung", ("قباني", "لنزار")),
    ("greek", "ISO_IR 126", "Διονυσιος^Παππας", "Παππας lung", ("Διονυσιος", "Παππας")),
    ("hebrew", "ISO_IR 138", "שרון^דבורה", "דבורה lung", ("שרון", "דבורה")),
    ("turkish", "ISO_IR 148", "Çavuşoğlu^Işıl", "Işıl lung", ("Çavuşoğlu", "Işıl")),
    ("thai", "ISO_IR 166", "ทองคำ^สมชาย", "สมชาย lung", ("ทองคำ", "สมชาย")),
    ("katakana", "ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ﾔﾏﾀﾞ lung", ("ﾔﾏﾀﾞ", "ﾀﾛｳ")),
    ("japanese", ["", "ISO 2022 IR 87"], "Yamadori^Tarou=山田^太郎=やまだ^たろう", "山田 lung", ("Yamadori", "山田")),
    ("korean", ["", "ISO 2022 IR 149"], "Hongsoo^Gildong=洪^吉洞=홍^길동", "길동 lung", ("Gildong", "吉洞", "길동")),
    ("chinese_2022", ["", "ISO 2022 IR 58"], "Zhangwei^XiaoDong=张^小东", "小东 lung", ("Zhangwei", "小东")),
    ("utf8", "ISO_IR 192", "Wangxiu^XiaoDong=王^小东", "王小东 lung", ("Wangxiu", "小东")),
    ("utf8_many", "ISO_IR 192", "Łukasiewicz^Žofie", "žofie ŁUKASIEWICZ lung", ("Łukasiewicz", "Žofie")),
    ("gb18030", "GB18030", "Wangxiu^XiaoDong=王^小东", "王小东 lung", ("Wangxiu", "小东")),
    ("gbk", "GBK", "Wangxiu^XiaoDong=王^小东", "王小东 lung", ("Wangxiu", "小东")),
    # In GB18030 the second byte of 乗 is 0x5C, a backslash: who splits bytes there tears the character.
    ("gb18030_backslash", "GB18030", "Xuejiu^Yimou=乗^学究", "学究 乗 lung", ("Xuejiu", "学究")),
    ("latin1_by_extension", ["", "ISO 2022 IR 100"], "Bäckström^Håkan", "Håkan lung", ("Bäckström", "Håkan")),
)  # fmt: skip


def _charsets() -> Iterator[CaseFile]:
    for number, (name, charset, person_name, text, gone) in enumerate(CHARSETS):
        person = replace(ELEANOR, name=person_name, mrn=f"CS{number:02}5521", words=gone)
        ds = image(person, study=200 + number)
        ds.SpecificCharacterSet = charset
        ds.ImageComments = text
        item = Dataset()
        item.PatientName, item.PatientID = person_name, person.mrn
        ds.ReferencedPatientSequence = [item]
        made = case(f"charset_{name}.dcm", ds, person)
        for form in gone:
            made.gone(form, where="00100010")
        yield made.kept(COMMENTS, "lung", only=RESEARCH)
    # The bytes are UTF-8, and the header says nothing of it.
    person = replace(ELEANOR, name="Sjöbergsson^Åke", mrn="CS995521", words=("Sjöbergsson",))
    ds = image(person, study=230)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageComments = "Sjöbergsson lung"
    data = encoded(ds).replace(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 6  ")
    yield case("charset_undeclared_utf8.dcm", ds, person, data)


def _where_no_row_looks() -> Iterator[CaseFile]:
    """Texts of a person in elements that Table E.1-1 does not name: to be cleaned, or the file held back."""
    for number, (keyword, text) in enumerate(
        (
            ("BodyPartExamined", "WHITCOMBE"),
            ("ImageType", "ORIGINAL\\PRIMARY\\WHITCOMBE"),
            ("ConvolutionKernel", "WHITCOMBE B70f"),
            ("WindowCenterWidthExplanation", "for Whitcombe"),
            ("ManufacturerModelName", "Helix of Whitcombe"),
            ("ScanOptions", "WHITCOMBE"),
            ("SequenceName", "*whitcombe1"),
            ("PositionReferenceIndicator", "Eleanor Whitcombe"),
            ("FilterType", "WHITCOMBE"),
            ("PatientPosition", "WHITCOMBE"),
        )
    ):
        ds = image(ELEANOR, study=250 + number)
        setattr(ds, keyword, text.split("\\") if "\\" in text else text)
        made = case(f"name_outside_the_table_{keyword}.dcm", ds)
        made.answers = [a for a in made.answers if not (a.action == "text_retained" and ("hitcombe" in a.text.lower()))]
        yield made.held(Fate.ANY)
    ds = image(ELEANOR, study=270)
    meaning = Dataset()
    meaning.CodeValue, meaning.CodingSchemeDesignator, meaning.CodeMeaning = "T-D3000", "SRT", "Chest of Mrs Whitcombe"
    ds.AnatomicRegionSequence = [meaning]
    yield case("name_in_code_meaning.dcm", ds).held(Fate.ANY)
    ds = image(ELEANOR, study=271)
    meaning = Dataset()
    meaning.CodeValue, meaning.CodingSchemeDesignator, meaning.CodeMeaning = "51185008", "SCT", "Chest"
    ds.AnatomicRegionSequence = [meaning]
    yield (
        case("code_meaning_stays.dcm", ds)
        .kept("00082218[0].00080104", "Chest")
        .kept("00082218[0].00080100", "51185008")
    )
