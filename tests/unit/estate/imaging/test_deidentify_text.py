"""Texts: what names a person goes, in any spelling and character set; what is clinical stays to the letter."""

from datetime import date, timedelta

import pytest
from dicom_files import ct, encoded, read
from hypothesis import given
from hypothesis import strategies as st

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy
from flipnb.estate.imaging.deidentify.charsets import Charset
from flipnb.estate.imaging.deidentify.cleaning import Context, clean
from flipnb.estate.imaging.deidentify.identity import Identity
from flipnb.estate.imaging.deidentify.values import capped, shifted

KEYS = Keys(b"k" * 32)
RESEARCH = Deidentifier(Policy.named("research"), KEYS)
ASCII = Charset()
DAYS = 7 * 40


def identity(*names, ids=(), birth="19480412"):
    seen = [("name", name.encode(), Charset(b"ISO_IR 192")) for name in names]
    seen += [("identifier", one.encode(), ASCII) for one in ids]
    return Identity([*seen, ("birth", birth.encode(), ASCII)])


ELEANOR = identity(
    "Whitcombe^Eleanor^Jane", "Farquharson^Fiona^^Dr", "Li^Ng", "Lung^Anna", ids=("00451873", "ST 99120")
)


def cleaned(text, who=ELEANOR, days=DAYS, description=True):
    return clean(text, Context(who, days, KEYS.uid), description=description).text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("PA for Mr Smith, chest", "PA for , chest"),
        ("PA for Mr Smith and CT", "PA for and CT"),
        ("WHITCOMBE_ELEANOR_CT thorax", "CT thorax"),
        ("WhitcombeEleanor thorax", "thorax"),
        ("Whitcombe's chest", "chest"),
        ("E.J.W. nodule 4 mm", "nodule 4 mm"),
        ("pt E.J. Whitcombe contrast", "pt contrast"),
        ("W H I T C O M B E thorax", "thorax"),
        ("Ng Li: axial slices", "axial slices"),
        ("Anna Lung, lung window", "lung window"),
        ("for Lung: lung window", "for : lung window"),
        ("hosp no 00451873: nodule", "hosp no : nodule"),
        ("451873 nodule", "nodule"),
        ("see ST 99120 nodule", "see nodule"),
        ("MRN: AB-12345 nodule", "nodule"),
        ("NHS 943 476 5919 nodule", "NHS nodule"),
        ("9434765919 nodule", "nodule"),
        ("lives HG2 7QW, nodule", "lives , nodule"),
        ("ring 01423 496 0182 nodule", "ring nodule"),
        ("ring +44 7700 900461 nodule", "ring nodule"),
        ("x.y-z+w@example.org nodule", "nodule"),
        ("see https://pas.example.org/p?id=7 nodule", "see nodule"),
        ("14 Larkspur Road, nodule", "nodule"),
        ("94 year old woman, nodule", "woman, nodule"),
        ("Patient: Doe, nodule", ""),
        ("born 12 April 1948, cough", "born , cough"),
        ("04/12/1948 nodule", "nodule"),
        ("series of 1.2.840.113619.2.55.3.2831.99, nodule", "series of {uid}, nodule"),
        ("of class 1.2.840.10008.5.1.4.1.1.2 nodule", "of class 1.2.840.10008.5.1.4.1.1.2 nodule"),
    ],
)
def test_what_names_somebody_goes(text, wanted):
    assert cleaned(text) == wanted.format(uid=KEYS.uid(b"1.2.840.113619.2.55.3.2831.99").decode())


@pytest.mark.parametrize(
    "text",
    [
        "T2 FLAIR axial 5mm post gad", "Abdomen 5.0 B30f venous phase", "CT head without contrast, 1.25 mm",
        "PE protocol 100 kV 1.0/0.7", "Follow-up of 4 mm right upper lobe nodule", "Crohn disease, small bowel",
        "Parkinson disease DaT scan", "SmartPrep 2.5 x 2.5 mm HiRes", "ax dwi b0 b1000 ADC 3.0", "W 1500 L -600",
        "75 year old woman, 12 mm nodule in the left upper lobe", "scanner sleeping annular", "T1 1.5.10 v2.0",
        "lung window", "S1 nerve root L5/S1", "A.P. supine", "120 kVp 300 mAs 0.5 s 1.2.3", "IM_0001",
    ],
)  # fmt: skip
def test_clinical_texts_stay_to_the_letter(text):
    assert cleaned(text) == text


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%Y%m%d",
        "%d.%m.%y",
        "%d/%m/%Y",
        "%Y.%m.%d",
        "%d %B %Y",
        "%d-%b-%Y",
        "%B %d, %Y",
        "%d%b%Y",
        "%d %b %y",
    ],
)
@given(day=st.dates(date(1970, 1, 1), date(2060, 12, 28)), weeks=st.integers(-200, 200).filter(bool))
def test_dates_in_text_move_in_their_own_spelling(form, day, weeks):
    """Python's own calendar is the judge; by a policy that removes dates, none is left."""
    if "%y" in form and not 1970 <= (day + timedelta(weeks=weeks)).year <= 2067:
        return
    if day.month == 5 and "%B" in form:
        return  # May is its own abbreviation
    told = f"prior of {day.strftime(form)} lung"
    moved = (day + timedelta(weeks=weeks)).strftime(form)
    found = cleaned(told, identity("A^B"), 7 * weeks)
    said = " ".join(word.lstrip("0") if "%B" in form or "%b" in form else word for word in found.split())
    wanted = f"prior of {moved} lung"
    assert said == " ".join(word.lstrip("0") if "%B" in form or "%b" in form else word for word in wanted.split())
    assert cleaned(told, days=None) == "prior of lung"


@given(
    st.lists(st.text("abcdefghijklmnoprstuvwxyzäöüßéñ", min_size=5, max_size=12), min_size=2, max_size=3, unique=True),
    st.sampled_from([str.upper, str.lower, str.title]),
    st.sampled_from(["{0} {1} lung", "{1}, {0} lung", "lung_{0}_{1}", "ct{0}1 lung", "{0}^{1} lung", "{0}'s lung"]),
)
def test_no_part_of_a_name_survives(parts, case, form):
    who = identity("^".join(parts))
    text = form.format(*(case(part) for part in parts))
    left = cleaned(text, who).casefold()
    for part in set(parts) & set(text.casefold().replace("_", " ").replace("^", " ").split()):
        assert part not in left.split()
    assert "lung" in left


@pytest.mark.parametrize(
    ("charset", "name", "text"),
    [
        ("ISO_IR 100", "Brückner^Zoë", "BRUECKNER, Zoe lung"),
        ("ISO_IR 100", "Brückner^Zoë", "Brückner Zoë lung"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东", "王小东 lung"),
        ("GB18030", "Wang^XiaoDong=王^小东", "王小东 lung"),
        ("ISO_IR 144", "Люкceмбypг^Anna", "ЛЮКCEМБYPГ lung"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "山田太郎 lung"),
    ],
)
def test_names_in_other_scripts(charset, name, text):
    ds = ct()
    ds.SpecificCharacterSet = charset.split("\\")
    ds.PatientName = name
    ds.ImageComments = text
    made = RESEARCH.deidentify(encoded(ds)).to_bytes()
    assert read(made).ImageComments == "lung"


def test_a_backslash_inside_a_letter_is_none():
    """GB18030 writes 乗 as 81 5C: cut there, half a letter and a second value would be left."""
    ds = ct(SpecificCharacterSet="GB18030")
    ds.SeriesDescription = "乗 Whitcombe 乗"
    assert "乗".encode("gb18030").endswith(b"\\")
    made = RESEARCH.deidentify(encoded(ds)).to_bytes()
    assert read(made).SeriesDescription == "乗 乗"


def test_a_text_that_nobody_can_decode_goes():
    data = encoded(ct(SeriesDescription="Axial Q", SpecificCharacterSet="ISO_IR 192"))
    made = RESEARCH.deidentify(data.replace(b"Axial Q ", b"Axia1 \xff\xfe"))
    assert read(made.to_bytes()).SeriesDescription == ""


def test_what_stays_is_searched_for_what_went():
    """A name in an attribute that no table lists, in CS and in binary: found by the whole file's own identity."""
    ds = ct(BodyPartExamined="WHITCOMBE", ManufacturerModelName="Whitcombe 900", PositionReferenceIndicator="00451873")
    ds.add_new(0x00282000, "OB", b"an ICC profile of Whitcombe.")
    made = RESEARCH.deidentify(encoded(ds)).to_bytes()
    assert b"hitcombe" not in made and b"WHITCOMBE" not in made and b"00451873" not in made
    assert read(made).ManufacturerModelName == "900"


def test_a_word_that_is_a_name_too_is_told():
    made = RESEARCH.deidentify(encoded(ct(PatientName="Lung^Eleanor", SeriesDescription="Lung for Eleanor Lung 5 mm")))
    assert read(made.to_bytes()).SeriesDescription == "Lung for 5 mm"
    assert made.facts.kept_words == ("(0008,103E)",)


@given(
    st.dates(date(1900, 1, 1), date(2080, 1, 1)),
    st.integers(-2000, 2000),
    st.sampled_from(["", "101112.123456+0100", "10"]),
)
def test_dates_move_and_nothing_else_does(day, days, time):
    value = day.strftime("%Y%m%d") + time
    moved = shifted(value.encode(), days)
    wanted = (day + timedelta(days)).strftime("%Y%m%d") + time
    assert moved == wanted.encode()
    assert shifted(moved, -days) == value.encode()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"1997.05.03", b"1997.05.10"), (b"20230101\\20230204 ", b"20230108\\20230211"), (b"2023", b"2023"),
        (b"202305+0100", b"202305+0100"), (b"20230231", b""), (b"99991231", b""), (b"3 May 2023", b""), (b"", b""),
        (b"20230503 Whitcombe", b"20230510"),
    ],
)  # fmt: skip
def test_dates_by_the_book_and_not(value, wanted):
    assert shifted(value, 7) == wanted


@given(st.binary(min_size=1, max_size=64))
def test_a_persons_shift_is_whole_weeks_and_never_none(person):
    days = KEYS.days(person)
    assert days % 7 == 0 and days != 0 and abs(days) <= 7 * 260
    assert Keys(b"k" * 32).days(person) == days


@given(st.from_regex(r"[12](\.(0|[1-9][0-9]{0,9})){3,9}", fullmatch=True))
def test_a_uid_becomes_another_and_always_the_same(uid):
    new = KEYS.uid(uid.encode())
    if uid.startswith("1.2.840.10008."):
        assert new == uid.encode()
    else:
        assert new != uid.encode() and new.startswith(b"2.25.") and len(new) <= 64
        assert Keys(b"k" * 32).uid(uid.encode()) == new != Keys(b"j" * 32).uid(uid.encode())


@pytest.mark.parametrize(
    ("age", "wanted"),
    [(b"094Y", b"090Y"), (b"090Y", b"090Y"), (b"089Y", b"089Y"), (b"008W", b"008W"), (b"999M", b"999M"), (b"94", b"")],
)
def test_ages_are_ninety_at_most(age, wanted):
    assert capped(age, 90) == wanted


@pytest.mark.parametrize(
    "piece",
    [
        "ID ",
        " ",
        "-",
        "1.",
        "a",
        "Whitcombe ",
        "a ",
        "a.",
        "1 ",
        "20230503 ",
        "Aaa ",
        "Mr ",
        "01234 ",
        "name:",
        "a.a@a.",
        "\n",
    ],
)
def test_a_text_of_one_thing_many_times_ends(piece):
    """No pattern takes more than a glance per letter: with one that did, this would take hours."""
    clean("ID" + piece * (60_000 // len(piece)) + "x", Context(ELEANOR, 70, KEYS.uid), description=True)


def test_reports_keep_their_tree():
    """SR content: names, dates and UIDs in it are replaced, codes and measurements stay; under basic alone codes do."""
    from pydicom.dataset import Dataset

    def item(kind, **values):
        ds = Dataset()
        ds.ValueType = kind
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        return ds

    ds = ct(Modality="SR")
    del ds.PixelData
    measured = item("NUM")
    measured.MeasuredValueSequence = [Dataset()]
    measured.MeasuredValueSequence[0].NumericValue = "4.5"
    tree = [
        item("PNAME", PersonName="Farquharson^Fiona"),
        item("TEXT", TextValue="Nodule seen by Dr Farquharson, 3 May 2023"),
        item("DATE", Date="20230503"),
        item("UIDREF", UID=ds.SOPInstanceUID),
        measured,
    ]
    ds.ContentSequence = [item("CONTAINER", ContentSequence=tree)]
    for name, text in (("basic", "REMOVED"), ("research", None)):
        made = Deidentifier(Policy.named(name), KEYS).deidentify(encoded(ds)).to_bytes()
        after = read(made)
        names, texts, dates, uids, numbers = after.ContentSequence[0].ContentSequence
        assert names.PersonName == "REMOVED" and b"arquharson" not in made
        assert after.SOPInstanceUID == uids.UID
        if text:
            assert not numbers.MeasuredValueSequence
            assert texts.TextValue == text
        else:
            assert numbers.MeasuredValueSequence[0].NumericValue == 4.5
            assert dates.Date == after.StudyDate
            assert texts.TextValue.startswith("Nodule seen by , ") and "2023" not in texts.TextValue[:17]


def test_what_is_drawn_and_measured_goes_as_a_form_under_basic():
    """Coordinates, channels and offsets become as many zeros; kinds, codes and classes of references stay."""
    from pydicom.dataset import Dataset

    ds = ct(Modality="SR")
    del ds.PixelData
    drawn, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121071", "DCM", "Finding"
    drawn.ValueType, drawn.RelationshipType, drawn.GraphicType = "SCOORD", "INFERRED FROM", "POLYLINE"
    drawn.GraphicData, drawn.ReferencedTimeOffsets = [4.0, 5.0, 6.0, 7.0], ["1.5", "2.5"]
    drawn.ReferencedWaveformChannels, drawn.ConceptNameCodeSequence = [1, 5], [code]
    drawn.BodyPartExamined = "CHEST"
    ds.ContentSequence = [drawn]
    ds.WaveformAnnotationSequence = [drawn]
    basic = read(Deidentifier(Policy.named("basic"), KEYS).deidentify(encoded(ds)).to_bytes())
    item = basic.ContentSequence[0]
    assert (item.ValueType, item.RelationshipType, item.GraphicType) == ("SCOORD", "INFERRED FROM", "POLYLINE")
    assert item.ConceptNameCodeSequence[0].CodeMeaning == "Finding"
    assert item.GraphicData == [0.0] * 4 and item.ReferencedTimeOffsets == [0, 0]
    assert item.ReferencedWaveformChannels == [0, 0] and item.BodyPartExamined == "REMOVED"
    assert "WaveformAnnotationSequence" not in basic
    research = read(Deidentifier(Policy.named("research"), KEYS).deidentify(encoded(ds)).to_bytes())
    for item in (*research.ContentSequence, *research.WaveformAnnotationSequence):
        assert item.GraphicData == [4.0, 5.0, 6.0, 7.0] and item.ReferencedWaveformChannels == [1, 5]


def test_what_must_have_a_value_has_one():
    """Layers are called by one name in two places; a label that was a name is a label still."""
    from pydicom.dataset import Dataset

    ds = ct(PatientName="Whitcombe^Point", ContentLabel="WHITCOMBE", StructureSetLabel="Whitcombe", StudyID="7")
    ds.ReferencedStudySequence = [Dataset()]
    for layer in ("WHITCOMBE", "WHITCOMBE 2", "WHITCOMBE"):
        item = Dataset()
        item.GraphicLayer, item.GraphicType = layer, "POINT"
        ds.GraphicLayerSequence = [*ds.get("GraphicLayerSequence", ()), item]
    for name in ("basic", "research"):
        after = read(Deidentifier(Policy.named(name), KEYS).deidentify(encoded(ds)).to_bytes())
        first, second, third = (item.GraphicLayer for item in after.GraphicLayerSequence)
        assert first == third != second and first and second and len(first) <= 16
        assert after.ContentLabel and after.StructureSetLabel == "REMOVED"
        assert {item.GraphicType for item in after.GraphicLayerSequence} == {"POINT"}
        assert "hitcombe" not in str(after).lower()
        assert name == "research" or "ReferencedStudySequence" not in after


def test_no_name_stands_in_a_pseudonym():
    """Of letters there are none; nor is there a number as short as people's."""
    made = {KEYS.pseudonym(b"%d" % number).decode() for number in range(2_000)}
    assert len(made) == 2_000
    assert all(len(one) == 24 and one.isdecimal() for one in made)
