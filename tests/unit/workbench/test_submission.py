"""From a rehearsed notebook to a bundle: what it states, and what is refused before anything is sent."""

import hashlib
import json

import pytest
from workbench_samples import TRUSTS

from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.workbench.freezing import freeze_notebook
from flipnb.workbench.submission import prepare, submit


def change(notebook, **fields):
    path = notebook.with_name(f"{notebook.stem}.flip.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_bundle_says_everything_that_runs(home, tutorial):
    prepared = prepare(home, tutorial, "heart", [{"lr": 0.75}], {"rounds": 7, "seed": 3})
    bundle = prepared.bundle
    assert bundle.notebook == freeze_notebook(tutorial)
    assert (bundle.plan.rounds, bundle.split.seed) == (7, 3)
    assert bundle.trusts == tuple(sorted(key.key_id for key in TRUSTS.values()))
    assert bundle.minimum_trusts == 3
    assert bundle.initial_weights == hashlib.sha256(prepared.initial_weights.read_bytes()).hexdigest()
    (point,) = prepared.points
    defaults = {parameter.name: parameter.default for parameter in bundle.parameters}
    assert point == defaults | {"lr": 0.75}
    assert bundle.not_before < bundle.expires
    reread = parse(Bundle, bundle.to_bytes(), "The bundle")
    assert reread == bundle
    assert reread.digest() == hashlib.sha256(bundle.to_bytes()).hexdigest()


def test_a_sweep_is_one_bundle_and_several_points(home, tutorial):
    prepared = prepare(home, tutorial, "heart", [{"lr": 0.1}, {"lr": 1.0}])
    assert [point["lr"] for point in prepared.points] == [0.1, 1.0]


def test_some_trusts_by_name(home, tutorial):
    bundle = prepare(home, tutorial, "heart", [], {"trusts": ["north", "west"], "minimum_trusts": 1}).bundle
    assert set(bundle.trusts) == {TRUSTS["north"].key_id, TRUSTS["west"].key_id}
    assert bundle.minimum_trusts == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("unknown", [], {}), "unknown-study", "unknown"),
        (("heart", [{"momentum": 1}], {}), "unknown-parameter", "momentum"),
        (("heart", [{"lr": 100.0}], {}), "out-of-bounds", "lr"),
        (("heart", [{"lr": "fast"}], {}), "wrong-type", "lr"),
        (("heart", [{"lr": 0.1}, {"lr": 99.0}], {}), "out-of-bounds", "99"),
        (("heart", [], {"trusts": ["east"]}), "unknown-trust", "east"),
        (("heart", [], {"minimum_trusts": 4}), "invalid-document", "4"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_by_name(home, tutorial, arguments, code, said):
    with pytest.raises(FlipError) as caught:
        prepare(home, tutorial, *arguments)
    assert caught.value.code == code
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"outputs": []}, "invalid-document", "outputs"),
        ({"output": []}, "invalid-document", "output"),
        ({"plan": {"rounds": -1, "clip_norm": 1}}, "invalid-document", "plan.rounds"),
        ({"plan": {"rounds": 1}}, "invalid-document", "clip_norm"),
        ({"plan": {"rounds": 1, "clip_norm": 1, "strategy": {"name": "Best"}}}, "invalid-document", "strategy"),
        ({"cohort": "none.json"}, "no-cohort", "none.json"),
        ({"files": ["missing.py"]}, "no-file", "missing.py"),
        ({"files": ["codes.csv"]}, "invalid-document", "codes.csv"),
        ({"title": "a\u202eb"}, "invalid-document", "title"),
        ({"split": {"seed": 0, "shares": {"train": 1}, "stratify": {"variable": "x", "above": 0}}}, "invalid-document",
         "'x'"),
    ],
)  # fmt: skip
def test_a_wrong_plan_file_is_refused_by_field(home, tutorial, fields, code, said):
    change(tutorial, **fields)
    with pytest.raises(FlipError) as caught:
        prepare(home, tutorial, "heart", [])
    assert caught.value.code == code
    assert said in str(caught.value)


def test_an_unsupported_cohort_is_refused_by_name(home, tutorial):
    path = tutorial.with_name("heart_disease.cohort.json")
    cohort = json.loads(path.read_text())
    cohort["PrimaryCriteria"]["CriteriaList"] = [{"ConditionOccurrence": {"Wizardry": True}}]
    path.write_text(json.dumps(cohort))
    with pytest.raises(FlipError) as caught:
        prepare(home, tutorial, "heart", [])
    assert caught.value.code == "unsupported-cohort"
    assert "Wizardry" in str(caught.value)


def test_without_a_rehearsal_nothing_is_prepared(home, write):
    from workbench_samples import ROUNDS, cell, parameters

    with pytest.raises(FlipError) as caught:
        prepare(home, write(parameters(), cell(ROUNDS)), "heart", [])
    assert caught.value.code == "not-rehearsed"
    assert "flip rehearse" in caught.value.remedy


def test_a_hub_that_is_down_is_a_clear_error(home, tutorial):
    with pytest.raises(FlipError) as caught:
        submit(home, prepare(home, tutorial, "heart", []))
    assert caught.value.code == "hub-unreachable"
    assert "127.0.0.1:9" in str(caught.value)


def test_without_a_configuration_the_error_says_where_it_belongs(tutorial, tmp_path):
    from flipnb.workbench.home import Home

    with pytest.raises(FlipError) as caught:
        _ = Home(tmp_path / "nowhere").configuration
    assert caught.value.code == "not-configured"
    assert "FLIP_HOME" in str(caught.value)


def test_a_bundle_changed_after_signing_does_not_open(home, tutorial):
    bundle = prepare(home, tutorial, "heart", []).bundle
    sealed = json.loads(envelope.seal(bundle, envelope.BUNDLE, home.key))
    other = prepare(home, tutorial, "heart", [], {"rounds": 500}).bundle
    sealed["payload"] = json.loads(envelope.seal(other, envelope.BUNDLE, home.key))["payload"]
    keys = {home.key.key_id: home.key.public_key}
    with pytest.raises(FlipError) as caught:
        envelope.unseal(json.dumps(sealed).encode(), envelope.BUNDLE, keys, "The bundle")
    assert caught.value.code == "bad-signature"
