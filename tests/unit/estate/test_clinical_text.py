"""Documents and annotations of the shape that CogStack keeps become notes that cohorts find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from estate_rows import rows
from mapped_extract import PEOPLE, write_extract

from flipnb.cohorts import Records, concepts, enter, text
from flipnb.contracts.problem import FlipError
from flipnb.estate import load
from flipnb.estate.cohort import generate

MAPPING = (
    PEOPLE
    + """
[files.reports]
path = "medical_reports_text.jsonl"
format = "jsonl"
columns = ["_id", "_source.patient", "_source.body", "_source.title", "_source.updated"]
ignored = ["_index", "_score"]
person = "_source.patient"

[files.annotations]
path = "medical_reports_text_annotations.jsonl"
format = "jsonl"
columns = ["meta.docid", "nlp.id", "nlp.cui", "nlp.detected_name", "nlp.start", "timestamp",
  "nlp.meta_anns.Presence.value", "nlp.meta_anns.Subject.value", "nlp.meta_anns.Time.value"]
ignored = ["nlp.icd10", "nlp.meta_anns.*.confidence", "nlp.meta_anns.*.name", "nlp.acc"]

[[documents]]
file = "reports"
id = "_id"
text = "_source.body"
title = "_source.title"
date = { column = "_source.updated" }

[[mentions]]
file = "annotations"
document = "meta.docid"
column = "nlp.cui"
codes = "own"
id = "nlp.id"
text = "nlp.detected_name"
offset = "nlp.start"
date = { column = "timestamp" }
system = "MedCAT"
[mentions.exists]
"nlp.meta_anns.Presence.value" = ["True"]
"nlp.meta_anns.Subject.value" = ["Patient"]
"nlp.meta_anns.Time.value" = ["Recent", "Past"]
[mentions.temporal]
column = "nlp.meta_anns.Time.value"
codes = { Recent = "present", Past = "past" }
"""
)
INFARCT = 2000000001


def report(name: str, patient: str, **other: object) -> dict:
    """As Elasticsearch dumps a document."""
    body = {"patient": patient, "body": "No infarct.", "title": "Letter", "updated": "2000-03-04T10:00:00", **other}
    return {"_index": "medical_reports_text", "_score": 1.0, "_id": name, "_source": body}


def annotation(
    document: str, number: int, presence: str, subject: str = "Patient", time: str = "Recent", **other: object
) -> dict:
    """As CogStack-NiFi writes what MedCAT found: flat keys, and objects in them."""
    said = {"Presence": presence, "Subject": subject, "Time": time}
    return {
        "meta.docid": document, "nlp.id": number, "nlp.cui": "22298006", "nlp.detected_name": "infarct", "nlp.start": 3,
        "nlp.icd10": [{"chapter": "I21"}], "nlp.acc": 0.9, "timestamp": "2024-05-06T00:00:00",
        "nlp.meta_anns": {name: {"value": value, "confidence": 0.9, "name": name} for name, value in said.items()},
        **other,
    }  # fmt: skip


REPORTS = [report("d1", "a"), report("d2", "b"), report("d3", "c", title=None)]
ANNOTATIONS = [
    annotation("d1", 1, "True"),
    annotation("d2", 2, "False"),
    annotation("d2", 3, "True", subject="Family"),
    annotation("d3", 4, "True", time="Past"),
    {**annotation("d3", 5, "True"), "nlp.meta_anns": {"Presence": {"value": "True"}}, "nlp.cui": "999"},
]


def write(folder: Path, reports: list[dict], annotations: list[dict]) -> None:
    files = {
        f"medical_reports_text{name}.jsonl": "".join(json.dumps(one) + "\n" for one in records)
        for name, records in (("", reports), ("_annotations", annotations))
    }
    write_extract(folder, MAPPING, {INFARCT: "Condition"}, {"22298006": INFARCT}, files)


def people(estate: Path, asked: Records) -> int:
    return generate(enter(asked).expression(), estate).people


def test_documents_and_annotations_become_notes(tmp_path):
    write(tmp_path, REPORTS, ANNOTATIONS)
    report = load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
    assert (report.rejected, report.rows["note"], report.rows["note_nlp"]) == (0, 3, 5)
    notes = "SELECT note_source_value, note_title, note_text, note_date::VARCHAR FROM note ORDER BY 1"
    assert rows(tmp_path / "estate", notes) == [
        ("d1", "Letter", "No infarct.", "2000-03-04"),
        ("d2", "Letter", "No infarct.", "2000-03-04"),
        ("d3", None, "No infarct.", "2000-03-04"),
    ]
    found = (
        'SELECT note_source_value, note_nlp_concept_id, lexical_variant, "offset", nlp_system, term_exists, '
        "term_temporal, term_modifiers, nlp_date::VARCHAR FROM note_nlp JOIN note USING (note_id) ORDER BY ALL"
    )
    common = ("infarct", "3", "MedCAT")
    assert rows(tmp_path / "estate", found) == [
        ("d1", INFARCT, *common, "Y", "present", "code=22298006", "2024-05-06"),
        ("d2", INFARCT, *common, "N", "present", "code=22298006", "2024-05-06"),
        ("d2", INFARCT, *common, "N", "present", "code=22298006", "2024-05-06"),
        ("d3", 0, *common, None, None, "code=999", "2024-05-06"),
        ("d3", INFARCT, *common, "Y", "past", "code=22298006", "2024-05-06"),
    ]
    traced = "SELECT DISTINCT file FROM note_nlp JOIN flip_source ON source_id = flip_source_id"
    assert rows(tmp_path / "estate", traced) == [("medical_reports_text_annotations.jsonl",)]


def test_cohorts_find_what_texts_say(tmp_path):
    """Who has it by CogStack's rule, who is said not to have it, who has had it; each at the date of the note."""
    write(tmp_path, REPORTS, ANNOTATIONS)
    load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
    infarct = text(concepts("Infarct", INFARCT))
    asked = (infarct, infarct.asserted(), infarct.negated(), infarct.asserted().in_time("past"))
    assert [people(tmp_path / "estate", one) for one in asked] == [3, 2, 1, 1]


def test_a_bad_row_is_named_and_the_others_load(tmp_path):
    reports = [*REPORTS, report("d1", "a"), report("d4", "nobody"), report("d5", "a", body=None)]
    annotations = [*ANNOTATIONS, annotation("d9", 6, "True"), {**annotation("d1", 7, "True"), "nlp.new": 1}]
    write(tmp_path, reports, annotations)
    report_of_load = load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate", max_rejects=0.5)
    assert (report_of_load.rows["note"], report_of_load.rows["note_nlp"]) == (3, 5)
    rejects = "SELECT line, reason FROM flip_reject ORDER BY file, line"
    assert rows(tmp_path / "estate", rejects) == [
        (4, "document 'd1' is there twice"),
        (5, "there is no person 'nobody'"),
        (6, "column _source.body, the document's text, is missing"),
        (6, "there is no document 'd9'"),
        (7, "the key 'nlp.new' is none of the mapping's columns"),
    ]


def test_row_ids_stay_when_others_are_added(tmp_path):
    ids = "SELECT note_nlp_id FROM note_nlp JOIN note USING (note_id) WHERE note_source_value <> 'd0' ORDER BY 1"
    kept = []
    for more in ([], [annotation("d0", 9, "True")]):
        write(tmp_path, [*([report("d0", "a")] if more else []), *REPORTS], [*more, *ANNOTATIONS])
        load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
        kept.append(rows(tmp_path / "estate", ids))
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("[[documents]]", "[[others]]"), "no such field"),
        (('document = "meta.docid"', 'document = "docid"'), "no column 'docid'"),
        (('codes = "own"\nid', 'codes = "theirs"\nid'), "mentions[0]: there is no code list 'theirs'"),
        (('codes = "own"\nid', "id"), "either a code list or a vocabulary"),
        (('Past = "past"', 'Past = "gone"'), "'present' or 'past'"),
        (('format = "jsonl"\ncolumns = ["_id"', 'format = "csv"\ncolumns = ["_id"'), "ignored is for the format jsonl"),
    ],
)
def test_mappings_that_say_something_wrong(change, reason, tmp_path):
    write(tmp_path, REPORTS, ANNOTATIONS)
    assert change[0] in MAPPING
    (tmp_path / "mapping.toml").write_text(MAPPING.replace(*change))
    with pytest.raises(FlipError) as error:
        load(tmp_path / "extract", tmp_path / "mapping.toml", tmp_path / "estate")
    assert error.value.code == "invalid-mapping" and reason in error.value.message, error.value.message
