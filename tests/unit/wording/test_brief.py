"""The brief says everything of a bundle, its bits are the policy's reckoning, and strangers' text is text."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from enclave_scenario import Study

from flipnb.contracts.attached import AttachedFile, ShownFile
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import channels
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.dataset import Category, Dataset, FrozenTable, Shares, Split, Stratify, Variable
from flipnb.contracts.desk import Changes
from flipnb.contracts.images import ImageSet, Segment
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import Policy
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.contracts.window import Window
from flipnb.enclave.desk.changes import changes
from flipnb.enclave.desk.leaving import what_leaves
from flipnb.wording.brief import Asked, brief, study_words
from flipnb.wording.dataset import seen_variables

VARIABLES = (
    Variable(name="age", source="age", minimum=18, maximum=91, label="Age in years"),
    Variable(name="chol", source="measurement", concept_id=3027114, unit="mmol/L", minimum=0.5, maximum=20.25),
    Variable(
        name="angina", source="observation", concept_id=77670, value="concept",
        categories=(Category(concept_id=45877994, label="Yes"),),
    ),
    Variable(name="stroke", source="condition", concept_id=381316, value="flag"),
)  # fmt: skip
FILES = (
    ShownFile(
        file=AttachedFile(name="model.py", sha256="d" * 64, size=1234), kind="module", source="import torch\nx = 7919\n"
    ),
    ShownFile(
        file=AttachedFile(name="resnet.safetensors", sha256="f" * 64, size=123_456), kind="weights",
        tensors=(Tensor(name="conv1", shape=(64, 3, 7, 7), dtype="float16"),), metadata={"format": "pt"},
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return Study()


def whole(study, **changed):
    """A bundle in which nearly every field is said."""
    given = {
        "dataset": Dataset(
            variables=VARIABLES,
            tables=(FrozenTable(name="drug_exposure", columns=("drug_concept_id", "drug_exposure_start_date"),
                                concepts=(1503297,)),),
            images=(ImageSet(name="scan", modalities=("CT", "MR"), dimensions=3, body_parts=(4119499,), take="first",
                             window=Window(start_days=-13, end_days=0), per_person=3, size=(97, 95, 33),
                             spacing=(1.25, 1.75, 3.5), labels=(Segment(name="liver_voxels", label="Liver"),),
                             most_bytes=12_345_678),),
        ),
        "split": Split(
            seed=5, shares=Shares(train=6, validation=3, test=2), stratify=Stratify(variable="age", above=65.5)
        ),
        "plan": Plan(
            rounds=12, strategy=Strategy(name="FedProx", parameters={"proximal_mu": 0.125}), clip_norm=1.5,
            integer_clip=77, epochs=9, weight_cap=4321, radius=88.5, round_seconds=611, patience_seconds=121,
            start_seconds=601, run_seconds=86_411, consensus=Consensus(threshold=0.97, rounds=3),
        ),
        "totals": (TotalStep(arrays=(DeclaredArray(name="histogram", shape=(10, 3), minimum=-7, maximum=450,
                                                   decimals=2),), round=4),),
        "files": tuple(shown.file for shown in FILES),
        "parameters": (
            Parameter(name="lr", type="float", default=0.1, minimum=0.01, maximum=1, help="Step size"),
            Parameter(name="kind", type="str", default="a", choices=("a", "b")),
            Parameter(name="flip", type="bool", default=True),
        ),
        "notebook_name": "heart.ipynb",
    }  # fmt: skip
    return study.bundle(**{**given, **changed})


def asked(study, bundle, **changed):
    new = Asked(
        researcher="R. Searcher", researcher_key="a" * 64, roster=study.roster, count=261,
        changes=changes(bundle, ()), files=FILES, before=None, since=None, waiting=9, estate_version="v1",
        what_leaves=what_leaves(bundle, Policy()),
    )  # fmt: skip
    return replace(new, **changed)


def told(study, bundle, policy=None, **changed):
    policy = policy or Policy()
    return brief(bundle, policy, channels(bundle, policy), asked(study, bundle, **changed))


def texts(part):
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict | list | tuple):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from texts(inner)
    elif isinstance(part, bool):
        pass
    elif isinstance(part, int):
        yield f"{part:,}"


def words(found):
    return "\n".join(texts(found.model_dump(mode="json")))


def leaves(part, place=()):
    if isinstance(part, dict | list):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from leaves(value, (*place, key))
    elif part is not None and not isinstance(part, bool):
        yield place, part


def said(value, everything):
    forms = {str(value)}
    if isinstance(value, int | float):
        forms |= {f"{value:,}", f"{value:g}", str(int(value)) if float(value).is_integer() else str(value)}
    return any(form in everything for form in forms)


CODE = {"notebook"}
"""What the tab Code shows as it is."""
OTHERWISE = {
    ("dataset", "variables", "value"), ("parameters", "type"), ("not_before",), ("expires",), ("plan", "aggregation"),
    ("trusts",), ("dataset", "variables", "window"), ("dataset", "variables", "take"), ("dataset", "variables", "role"),
    ("dataset", "images", "dimensions"), ("dataset", "images", "role"), ("dataset", "images", "window", "start_days"),
}  # fmt: skip
"""Closed lists with words of their own; moments; keys as fingerprints."""


def test_every_value_of_a_bundle_is_in_the_words(study):
    bundle = whole(study)
    everything = words(told(study, bundle))
    missing = [
        place
        for place, value in leaves(bundle.model_dump(mode="json"))
        if place[0] not in CODE
        and place[0] != "cohort"  # test_cohort_sentences
        and tuple(part for part in place if isinstance(part, str)) not in OTHERWISE
        and not said(value, everything)
    ]
    assert missing == []


def test_a_closed_list_has_other_words_for_each_of_its_values(study):
    for field, values in (
        ("aggregation", [{"plan": Plan(rounds=1, clip_norm=1, aggregation=kind, strategy=Strategy(name=name))}
                         for kind, name in (("sum", "FedAvg"), ("individual", "FedMedian"))]),
        ("value", [{"dataset": Dataset(variables=(Variable(name="x", source="observation", concept_id=1, value=kind,
                                                           categories=(Category(concept_id=1, label="a"),)),))}
                   for kind in ("number", "concept", "flag")]),
        ("window", [{"dataset": Dataset(variables=(Variable(name="x", source="condition", concept_id=1, window=of),))}
                    for of in ("until-cohort-end", *(Window(start_days=start, end_days=0) for start in (None, -3)))]),
        ("take", [{"dataset": Dataset(variables=(Variable(name="x", source="measurement", concept_id=1, take=take),))}
                  for take in ("last", "first", "minimum", "maximum", "mean", "count")]),
        ("role", [{"dataset": Dataset(variables=(Variable(name="x", source="measurement", concept_id=1, role=role),))}
                  for role in ("feature", "outcome")]),
        ("type", [{"parameters": (Parameter(name="p", type=kind, default=1),)} for kind in ("int", "float")]),
    ):  # fmt: skip
        split = Split(seed=1, shares=Shares(train=1))
        found = {words(told(study, study.bundle(split=split, totals=(), **one))) for one in values}
        assert len(found) == len(values), field


@pytest.mark.parametrize("policy", [Policy(), Policy(per_trust_metrics=True, memory_use=True)])
def test_the_bits_that_leave_add_up_to_the_policys_reckoning(study, policy):
    bundle = whole(study)
    found = told(study, bundle, policy)
    assert sum(row.bits for row in found.leaves) == sum(one.bits for one in channels(bundle, policy))
    counted = bundle.report_bits + (bundle.agreement_bits if policy.per_trust_metrics else 0)
    assert sum(row.bits for row in found.leaves if row.counted) == counted


def test_a_variable_that_may_be_of_later_is_marked_and_flagged_and_first(study):
    rows = seen_variables(Dataset(variables=VARIABLES))
    assert [row.may_be_later for row in rows] == [True, True, True, False]
    assert rows[-1].window == "at the index date"
    assert all("may lie after the index date" in row.window for row in rows[:3])
    found = told(study, whole(study))
    assert found.flags[0] == "chol, angina and stroke may lie after the index date."
    assert "two Trusts" in found.flags[1]
    only_age = told(study, study.bundle(dataset=Dataset(variables=VARIABLES[:1]), minimum_trusts=2))
    assert not any("index date" in flag for flag in only_age.flags)


def test_what_a_study_does_not_say_is_said_to_be_not_given(study):
    given = study.roster.model_copy(update={"institution": "King's", "ethics": "26/LO/0412", "governance": "IG-118"})
    assert "institution King's · ethics 26/LO/0412 · IG IG-118" in told(study, whole(study), roster=given).who[0].text
    assert told(study, whole(study)).who[0].text.endswith("institution not given · ethics not given · IG not given")
    assert study_words(study.roster)[1:] == [
        "Institution: not given", "Ethics reference: not given", "Information governance reference: not given",
    ]  # fmt: skip
    left = told(study, whole(study), roster=None)
    assert left.why == "not given" and "NOT in this Trust's membership" in left.who[1].text


def test_since_the_last_approval_names_cells_parameters_and_what_stayed(study):
    before = whole(study)
    lr = Parameter(name="lr", type="float", default=0.1, minimum=0.001, maximum=2)
    after = whole(study, parameters=(lr, *before.parameters[1:2]))
    found = changes(after, [("e" * 64, before)])
    since = datetime(2026, 11, 12, tzinfo=UTC)
    lines = [one.text for one in told(study, after, changes=found, before=before, since=since).since]
    assert lines[0] == "Compared with eeeeeeee…, last approved on 12 Nov 2026:"
    assert "The parameter lr may now be at least 0.001 and at most 2, as a rule 0.1." in lines
    assert "The parameter flip is gone." in lines
    assert lines[-1] == "As before: cohort, variables, tables and images, split, plan, numbers and totals."
    first = told(study, after, changes=Changes(since=None, cells=(), files=(), fields=()))
    assert first.since[0].text == "Nothing like it was approved here before."


def test_people_and_runs_are_counted_and_what_is_not_known_is_said(study):
    assert told(study, whole(study)).people.text.startswith("n = 261 here: people with ")
    assert told(study, whole(study), count=None).people.text.startswith("not counted here: ")
    assert told(study, whole(study)).waiting == "9 runs wait; each takes one execution."
    assert told(study, whole(study), waiting=1).waiting == "1 run waits; each takes one execution."


def test_a_field_without_words_of_its_own_is_told_by_name_and_value():
    from flipnb.wording.rest import rest

    class Grown(Split):
        by_day: str = "2020-01-01"
        site: str | None = None

    grown = Grown(seed=1, shares=Shares(train=1), by_day="2021-06-30")
    assert [one.text for one in rest(grown, set(Split.model_fields))] == ['by day: "2021-06-30"']
    assert Bundle.model_fields.keys() >= {"notebook", "plan"}
