"""What was signed before a field existed keeps its bytes, its digest and its approvals.

``signed_documents/DAY.json`` has documents as they were on that day, by the name of their model; nobody edits them.
Where a test here fails for a new field, mark it ``document.Later``, with what its absence means. Where what was signed
without the field must not hold any more, the document needs a new version instead.
"""

import json
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from flipnb.contracts import approval, bundle, document, policy, run, study, total, trust_card
from flipnb.contracts import round as rounds
from flipnb.contracts.document import canonical_bytes, parse, sha256
from flipnb.contracts.plan import Plan

SIGNED = {
    (file.stem, name): canonical_bytes(content)
    for file in sorted(Path(__file__).with_name("signed_documents").glob("*.json"))
    for name, content in json.loads(file.read_text()).items()
}
MODULES = (approval, bundle, policy, rounds, run, study, total, trust_card)


def model(name):
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


@pytest.mark.parametrize(("day", "name"), SIGNED)
def test_a_document_of_an_earlier_day_has_the_digest_that_it_had(day, name):
    data = SIGNED[day, name]
    found = parse(model(name), data, name)
    assert found.to_bytes() == data
    assert found.digest() == sha256(data)
    assert model(name).model_validate(found.model_dump()).to_bytes() == data
    assert model(name).model_validate_json(found.model_dump_json(by_alias=True)).to_bytes() == data


def test_parts_of_a_signed_bundle_have_the_digests_that_they_had():
    content = json.loads(SIGNED["2026-11-30", "Bundle"])
    found = parse(bundle.Bundle, canonical_bytes(content), "The bundle")
    for name in ("plan", "tensors", "dataset", "split", "notebook"):
        assert getattr(found, name).digest() == sha256(canonical_bytes(content[name]))
    assert content["membership"] == sha256(SIGNED["2026-11-30", "Roster"])
    assert content["membership"] == parse(study.Roster, SIGNED["2026-11-30", "Roster"], "The roster").digest()


def test_a_policy_that_says_no_more_than_before_keeps_its_approvals():
    given = parse(approval.Approval, SIGNED["2026-11-30", "Approval"], "The approval")
    assert policy.Policy().digest() == given.policy
    for stricter in ({"progress_seconds": 10.0}, {"counts": {"answer_seconds": 5.0}}, {"maximum_integer_clip": 9}):
        assert policy.Policy.model_validate(stricter).digest() != given.policy
        assert policy.Policy.model_validate(json.loads(policy.Policy().to_bytes()) | stricter) != policy.Policy()


def test_a_later_field_is_written_where_it_says_something():
    plain, grown = Plan(rounds=1, clip_norm=1.0), Plan(rounds=1, clip_norm=1.0, epochs=2, weight_cap=500)
    assert not {"epochs", "weight_cap", "integer_clip"} & set(json.loads(plain.to_bytes()))
    written = json.loads(grown.to_bytes())
    assert (written["epochs"], written["weight_cap"]) == (2, 500)
    assert "integer_clip" not in written
    assert parse(Plan, grown.to_bytes(), "The plan") == grown
    assert plain.model_dump()["weight_cap"] == 2**20


def test_a_later_field_is_found_at_any_depth():
    class Inner(document.Document):
        old: int = 1
        new: Annotated[int, document.Later(5)] = 7

    class Outer(document.Document):
        many: tuple[Inner, ...] = ()
        by_name: dict[str, Inner] = Field(default_factory=dict)
        maybe: Inner | None = None
        deeper: "Outer | None" = None

    Outer.model_rebuild(_types_namespace={"Outer": Outer})
    five, seven = Inner(new=5), Inner()
    outer = Outer(many=(seven, five), by_name={"a": five}, maybe=five, deeper=Outer(many=(five,)))
    assert json.loads(outer.to_bytes()) == {
        "many": [{"old": 1, "new": 7}, {"old": 1}],
        "by_name": {"a": {"old": 1}},
        "maybe": {"old": 1},
        "deeper": {"many": [{"old": 1}], "by_name": {}, "maybe": None, "deeper": None},
    }
