"""Every file of a study is accounted for, whatever the files are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from flipnb.estate.imaging.loading.catalogue import Given, Released
from flipnb.estate.imaging.loading.days import day_of
from flipnb.estate.imaging.loading.headers import Header
from flipnb.estate.imaging.loading.studies import Study, rows_of

STUDY = "1.2.3"


@st.composite
def files(draw) -> Given:
    number = draw(st.integers(0, 10**6))
    series, sop = draw(st.sampled_from("ab")), draw(st.integers(1, 4))
    header = Header(
        sha256=f"{number:064x}",
        study=STUDY,
        series=f"{STUDY}.{series}",
        sop=f"{STUDY}.{sop}",
        number=draw(st.sampled_from(["100", "200"])),
        issuer=draw(st.sampled_from(["", "KCH"])),
        accession=draw(st.sampled_from(["", "A1", "A2"])),
        study_date=draw(st.sampled_from(["20200102", "2020.01.03", "20201399", ""])),
        series_date=draw(st.sampled_from(["20200104", "never", ""])),
        acquisition_date="",
        content_date="",
        modality=draw(st.sampled_from(["CT", "CR", ""])),
    )
    state = draw(st.sampled_from(["released", "released", "released", "quarantined", "refused"]))
    facts = {"sop_class": "1", "transfer_syntax": "2", "instance_number": sop, "frames": 1, "rows": 2, "columns": 2}
    outcome = Released(
        state,
        "" if state == "released" else "why",
        f"{number + 1:064x}" if state == "released" else "",
        1,
        facts,
        {"pixels": draw(st.sampled_from(["p", "p", "q"])), "plane": draw(st.sampled_from(["axial", "oblique"]))},
    )
    return Given(f"file {number}", header, outcome)


studies = st.builds(
    Study,
    st.just(STUDY),
    st.lists(files(), max_size=9, unique_by=lambda one: one.header.sha256).map(
        lambda found: tuple(sorted(found, key=lambda one: one.header.sha256))
    ),
    st.dictionaries(st.sampled_from([f"{STUDY}.a", f"{STUDY}.b"]), st.integers(0, 9), max_size=2),
)


@given(studies)
def test_each_file_is_a_row_a_reject_or_the_same_as_another(study):
    rows = rows_of(study, lambda uid: f"new {uid}")
    loaded = {row["sha256"]: row for row in rows.tables["image_file"]}
    rejected = Counter(reject.file for reject in rows.rejects)
    assert len(loaded) == len(rows.tables["image_file"]) and set(rejected.values()) <= {1}
    for one in study.files:
        twins = [
            o for o in study.files if o.header.sop == one.header.sop and o.outcome.state == "released" and o is not one
        ]
        released = one.outcome.state == "released"
        differ = released and any(o.outcome.features["pixels"] != one.outcome.features["pixels"] for o in twins)
        undated = day_of(one.header.study_date or one.header.series_date) is None
        assert (one.name in rejected) == (not released or differ or undated)
        if one.name not in rejected:
            stands = [o for o in [one, *twins] if o.outcome.sha256 in loaded]
            assert len({o.outcome.sha256 for o in stands}) == 1
        else:
            assert one.outcome.sha256 not in loaded
    for row in rows.tables["image_study"]:
        assert row["files"] == row["released"] + row["quarantined"] + row["refused"]
    assert sum(row["released"] for row in rows.tables["image_study"]) == len(loaded)
    assert sum(row["images"] for row in rows.tables["image_series"]) == len(loaded)
    assert {row["series_uid"] for row in rows.tables["image_series"]} == {row["series_uid"] for row in loaded.values()}
    assert all(row["series_date"] is not None and row["missing"] >= 0 for row in rows.tables["image_series"])


@given(studies, st.randoms())
def test_its_digest_knows_what_matters_alone(study, random):
    shuffled = list(study.files)
    random.shuffle(shuffled)
    by_sha = Study(STUDY, tuple(sorted(shuffled, key=lambda one: one.header.sha256)), study.wanted)
    assert by_sha.digest == study.digest
    renamed = tuple(Given("other", one.header, one.outcome) for one in study.files)
    assert (Study(STUDY, renamed, study.wanted).digest == study.digest) == all(
        one.outcome.state == "released" for one in study.files
    )
    assert Study(STUDY, study.files, {**study.wanted, "c": 1}).digest != study.digest
