"""The audit log in words: every kind has them, a run is one line, and every entry can be read beneath it."""

import json
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.problem import FlipError
from flipnb.wording.audit import Story, entry_sentence

KINDS = get_args(AuditKind)
NAMES = ["run", "study", "controller", "code", "reason", "content", "what", "bytes", "round", "cost", "left", "report"]
DETAILS = st.dictionaries(
    st.sampled_from(NAMES),
    st.none()
    | st.integers(0, 9)
    | st.text(st.characters(exclude_characters="{"), max_size=5)
    | st.dictionaries(st.sampled_from(["state", "progress"]), st.none()),
)


def leaf(index, kind, **details):
    return json.dumps({"at": "2026-11-30T14:02:00Z", "details": details, "index": index, "kind": kind})


def story(*entries):
    told = Story()
    told.take(leaf(index, kind, **details) for index, (kind, details) in enumerate(entries))
    return told


@given(st.sampled_from(KINDS), DETAILS)
@example("told", {"what": "\x1f"})  # written as its code point, which has braces
def test_every_kind_of_entry_has_words_whatever_it_holds(kind, details):
    said = entry_sentence(kind, details)
    assert said and (kind not in said or "-" not in kind) and "{" not in said.replace("\\u{", "")
    assert said.isprintable()


def test_kinds_are_told_apart():
    assert len({entry_sentence(kind, {}) for kind in KINDS}) == len(KINDS)
    assert "does not know" in entry_sentence("of-tomorrow", {})


def test_a_run_is_one_line_where_its_last_entry_is():
    told = story(
        ("run-started", {"run": "a", "members": ["x", "y"]}),
        ("round-released", {"run": "a", "round": 1, "bytes": 128}),
        ("count-released", {"study": "heart", "cost": 2, "left": 97}),
        ("round-released", {"run": "a", "round": 2, "bytes": 128}),
        ("passphrase-wrong", {"controller": "anna"}),
        ("progress-told", {"run": "b", "content": {"progress": {"cell": 3}}}),
    )
    assert [line.sentence("lr {}".format) for line in told.lines()] == [
        "lr b: told how far a run is: cell 3",
        "a wrong passphrase was typed for anna",
        "lr a: 2 answers to rounds left here, 256 bytes",
        "counted for heart: 2 counts, 97 left",
    ]
    assert told.line("run-a").indices == [0, 1, 3]
    assert [line.key for line in told.lines("refused")] == ["entry-4"]
    assert [line.key for line in told.lines("left")] == ["run-b", "run-a", "entry-2"]
    with pytest.raises(FlipError, match="groups of the audit log"):
        told.lines("letters")
    with pytest.raises(FlipError, match="not among the newest"):
        told.line("run-z")


def test_a_days_free_questions_about_a_budget_are_one_line_for_each_study():
    free = {"study": "heart", "cost": 0, "left": 97, "people": None, "funnel": [], "charts": [], "suppressed": False}
    told = story(
        ("count-released", free),
        ("count-released", free | {"study": "lung", "left": 5}),
        ("count-released", free | {"people": 40}),
        ("count-released", free | {"suppressed": True}),
        ("count-released", free | {"cost": 2, "left": 95, "people": 40}),
        ("count-released", free | {"left": 95}),
        ("count-released", free | {"left": 95}),
    )
    assert [line.sentence(str) for line in told.lines("left")] == [
        "told heart its budget: 95 left, asked 3 times",
        "counted for heart: 2 counts, 95 left",
        "counted for heart: 0 counts, 97 left",
        "counted for heart: 0 counts, 97 left",
        "told lung its budget: 5 left",
    ]
    (heart, *_) = told.lines()
    assert told.line(heart.key).indices == [0, 5, 6]
    told.take([leaf(7, "count-released", **free).replace("2026-11-30", "2026-12-01")])
    assert [len(line.indices) for line in told.lines()[:2]] == [1, 3], "the next day has its own"


def test_looks_decisions_and_what_strangers_wrote():
    told = story(
        ("opened", {"controller": "anna", "part": "code", "bundle": "ab" * 32}),
        ("approved", {"controller": "anna", "executions": 9, "bundle": "ab" * 32, "demanded": 2}),
        ("declined", {"reason": "no\u202e <b>", "bundle": "ab" * 32}),
        ("stopped", {"run": "a", "by": "controller"}),
    )
    texts = [line.sentence(lambda run: "lr\n1") for line in told.lines("decisions")]
    assert texts[1] == "declined: request abababab…, “no\\u{202e} <b>”"
    assert texts[2] == "approved by anna for 9 runs: request abababab…; 2 people must approve"
    assert texts[0].startswith("lr\\u{a}1: stopped")
    assert [line.sentence(str) for line in told.lines("looks")] == ["anna opened the code of request abababab…"]


def test_of_a_long_log_the_newest_lines_are_kept():
    told = Story()
    told.take(leaf(index, "agent-started") for index in range(2500))
    assert told.size == 2500 and len(told.lines()) == 2000
    assert told.lines()[0].key == "entry-2499"
