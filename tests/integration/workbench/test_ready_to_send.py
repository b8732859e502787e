"""What an enclave's admission would refuse is said before anything is sent, by ``flip validate`` and by Send alike."""

import json
import shutil
from datetime import UTC, datetime

import pytest
from conftest import make_home
from federation import Hub, Study
from lab_server import LabServer
from workbench_samples import NOTEBOOKS, ROUNDS, cell, parameters

from flipnb.contracts import envelope
from flipnb.contracts.choices import Choices
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.contracts.trust_card import BuiltEnvironment, TrustCard
from flipnb.enclave.agent.card import allowance
from flipnb.enclave.approvals.admission import VerifiedBundle, admit
from flipnb.workbench.plan_file import plan_path
from flipnb.workbench.rehearsal import rehearse
from flipnb.workbench.studies import read_roster
from flipnb.workbench.submission import prepare

LOCK = "0" * 64
SCALE = b"SCALE = 1\n"
INTEGERS = ROUNDS.replace('"w": np.zeros(2, np.float32)', '"w": np.zeros(2, np.float32), "seen": np.zeros(1, np.int64)')
AGREEING = INTEGERS.replace(
    "    rnd.report", "    rnd.agree(lambda: data.validation.frame()['num'] > 0)\n    rnd.report"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A hub with three Trusts, whose cards a test sends."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    study = Study(hub, "ready", trusts=3)
    hub.start()
    study.clients()
    yield study
    hub.end()


@pytest.fixture(scope="module")
def home(study, tmp_path_factory):
    return make_home(study.hub, study, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Rehearsed, with an integer tensor, a consensus, and a module that goes with it."""
    path = tmp_path_factory.mktemp("notebooks") / "ready.ipynb"
    source = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [parameters(), cell(AGREEING)]}
    path.write_text(json.dumps(source))
    shutil.copy(NOTEBOOKS / "heart_disease.flip.json", plan_path(path))
    shutil.copy(NOTEBOOKS / "heart_disease.cohort.json", path.parent)
    change(path, split={"seed": 0, "shares": {"train": 2, "validation": 1}}, plan={"consensus": {}, "integer_clip": 5})
    path.with_name("scale.py").write_bytes(SCALE)
    change(path, files=["scale.py"])
    rehearse(path)
    return path


@pytest.fixture(scope="module")
def lab(home, notebook, tmp_path_factory):
    server = LabServer(tmp_path_factory.mktemp("lab"), notebook.parent, home.directory)
    server.start()
    yield server
    server.end()


@pytest.fixture
def plan(notebook):
    """Changes fields of the plan file for one test."""
    before = plan_path(notebook).read_bytes()
    yield lambda **fields: change(notebook, **fields)
    plan_path(notebook).write_bytes(before)


def change(notebook, *, plan=None, **fields):
    content = json.loads(plan_path(notebook).read_text())
    plan_path(notebook).write_text(json.dumps({**content, **fields, "plan": {**content["plan"], **(plan or {})}}))


def tell(study, policy, *, lock=LOCK, data=True):
    """Each Trust's card, as its agent makes it of the policy."""
    for client in study.trusts:
        card = TrustCard(
            trust=client.key.key_id,
            made=datetime.now(UTC),
            data=datetime.now(UTC) if data else None,
            gpus=0,
            slots=1,
            environments=(BuiltEnvironment(name="test", lock=lock, distributions=("numpy",)),),
            allowance=allowance(policy),
        )
        client.call("PUT", "/v1/card", envelope.seal(card, envelope.CARD, client.key)).raise_for_status()


def refusals(study, home, notebook, policy, *, lock=LOCK):
    """The Trusts whose admission refuses what would be sent now, by key."""
    bundle = prepare(home, notebook, study.name, [{}]).bundle
    roster = read_roster(home, study.name)
    verified = VerifiedBundle(bundle.digest(), bundle, next(iter(roster.researcher_keys())), "A researcher")
    request = type("Request", (), {"point": {}, "choices": Choices()})()
    refused = set()
    for trust in roster.trusts:
        try:
            admit(verified, request, roster, own_key=trust.key_id, policy=policy, environments={"test": lock})
        except FlipError:
            refused.add(trust.key_id)
    return refused


def said_before(study, notebook, lab, flip):
    """The Trusts at which ``flip validate`` and Send each see an error, by key; None: at every Trust alike."""
    checked = flip("validate", notebook, "--study", study.name, "--json")
    issues = json.loads(checked.stdout)
    typed = {issue["trust"] for issue in issues if issue["severity"] == "error"}
    assert checked.returncode == (1 if typed else 0), checked.stderr
    report = lab.post("flipnb/notebooks/checks", {"path": notebook.name, "study": study.name}).json()
    shown = {issue["trust"] for issue in report["issues"] if issue["severity"] == "error"}
    assert typed == shown
    assert [issue["message"] for issue in issues] == [issue["message"] for issue in report["issues"]]
    return typed


INDIVIDUAL = {"aggregation": "individual", "strategy": {"name": "FedMedian"}}
EDGES = {  # field of the policy: what the plan asks for, the last value that allows it, the first that does not
    "individual_updates": (INDIVIDUAL, True, False),
    "minimum_trusts": ({}, 3, 4),
    "maximum_clip_norm": ({"clip_norm": 50}, 50.0, 49.9),
    "maximum_integer_clip": ({}, 5, 4),
    "maximum_rounds": ({"rounds": 30}, 30, 29),
    "attached_bytes": ({}, len(SCALE), len(SCALE) - 1),
}


@pytest.mark.parametrize("field", EDGES)
def test_what_a_policy_just_allows_is_ready_and_what_it_just_refuses_is_said(
    study, home, notebook, lab, flip, plan, field
):
    asked, allows, refuses = EDGES[field]
    plan(plan=asked)
    everybody = {client.key.key_id for client in study.trusts}
    for value, expected in ((allows, set()), (refuses, everybody)):
        policy = Policy(**{field: value})
        tell(study, policy)
        assert refusals(study, home, notebook, policy) == expected, value
        assert said_before(study, notebook, lab, flip) == expected, value


@pytest.mark.parametrize("lets_out", [False, True])
def test_the_bits_of_a_run_are_counted_alike(study, home, notebook, lab, flip, lets_out):
    bundle = prepare(home, notebook, study.name, [{}]).bundle
    bits = bundle.report_bits + (bundle.agreement_bits if lets_out else 0)
    everybody = {client.key.key_id for client in study.trusts}
    for most, expected in ((bits, set()), (bits - 1, everybody)):
        policy = Policy(bits_per_run=most, per_trust_metrics=lets_out)
        tell(study, policy)
        assert refusals(study, home, notebook, policy) == expected
        assert said_before(study, notebook, lab, flip) == expected


def test_every_field_by_which_a_policy_refuses_is_tried_here(study, home, notebook, plan):
    plan(plan=INDIVIDUAL)
    read = set()

    class Watched(Policy):
        def __getattribute__(self, name):
            if name in Policy.model_fields:
                read.add(name)
            return super().__getattribute__(name)

    Watched(individual_updates=True).refuse_bundle(prepare(home, notebook, study.name, [{}]).bundle)
    assert read == {*EDGES, "one_trust_runs", "bits_per_run", "per_trust_metrics"}


def test_a_run_that_may_have_one_trust_alone(study, home, notebook, lab, flip, plan):
    plan(plan={"rounds": 0}, minimum_trusts=1)
    everybody = {client.key.key_id for client in study.trusts}
    for allowed, expected in ((True, set()), (False, everybody)):
        policy = Policy(one_trust_runs=allowed)
        tell(study, policy)
        assert refusals(study, home, notebook, policy) == expected
        assert said_before(study, notebook, lab, flip) == expected


def test_an_environment_that_is_not_built_there_and_a_file_that_can_not_go(study, home, notebook, lab, flip, plan):
    everybody = {client.key.key_id for client in study.trusts}
    tell(study, Policy(), lock="1" * 64)
    assert refusals(study, home, notebook, Policy(), lock="1" * 64) == everybody
    assert said_before(study, notebook, lab, flip) == everybody
    tell(study, Policy())
    notebook.with_name("codes.py").write_bytes(b"# coding: utf-7\n")
    plan(files=["scale.py", "codes.py"])
    with pytest.raises(FlipError, match=r"codes\.py says that it is written in 'utf-7'"):
        prepare(home, notebook, study.name, [{}])
    assert said_before(study, notebook, lab, flip) == {None}


def test_what_would_not_make_a_bundle_is_said_too(study, home, notebook, lab, flip, plan):
    tell(study, Policy())
    plan(trusts=["nobody"])
    assert said_before(study, notebook, lab, flip) == {None}
    plan(trusts=[])
    wrong = flip("validate", notebook, "--study", study.name, "-p", "lr=7")
    assert wrong.returncode == 1
    assert "lr" in wrong.stdout and "Ready" not in wrong.stdout
    fewer = flip("validate", notebook, "--study", study.name, "--trust", "trust-0")
    assert "takes part from 2 Trusts on; the plan asks for 1" in fewer.stdout
    ready = flip("validate", notebook, "--study", study.name)
    assert ready.stdout.splitlines()[-1] == "Ready to send."


def test_another_run_of_a_bundle_reads_parameters_as_the_first_did(study, home, notebook, flip):
    sent = json.loads(flip("submit", notebook, "--study", study.name, "-p", "lr=0.25", "--json").stdout)
    bundle = ("submit", "--bundle", sent["bundle"])
    again = flip(*bundle, "-p", "lr=0.5,1", "-p", "solver=sgd, adam", "--json")
    assert again.returncode == 0, again.stderr
    points = [json.loads(flip("runs", run, "--json").stdout)["point"] for run in json.loads(again.stdout)["runs"]]
    assert [(point["lr"], point["solver"]) for point in points] == [
        (0.5, "sgd"), (0.5, "adam"), (1.0, "sgd"), (1.0, "adam")
    ]  # fmt: skip
    before = len(json.loads(flip("runs", "--study", study.name, "--json").stdout))
    for wrong, said in (("lr=0.5,7", "lr"), ("lr=much", "'much' is none"), ("speed=1", "no parameter 'speed'")):
        refused = flip(*bundle, "-p", wrong)
        assert refused.returncode == 1
        assert said in refused.stderr
    assert len(json.loads(flip("runs", "--study", study.name, "--json").stdout)) == before, "none, or all of a sweep"


def test_a_policy_judges_the_most_rounds_that_runs_may_choose(study, home, notebook, flip, plan):
    everybody = {client.key.key_id for client in study.trusts}
    plan(plan={"rounds": 30}, choosable={"minimum_rounds": 5})
    few = Policy(maximum_rounds=29)
    tell(study, few)
    assert refusals(study, home, notebook, few) == everybody
    said = flip("validate", notebook, "--study", study.name, "--rounds", "10")
    assert said.returncode == 1
    assert said.stdout.count("allows 29 rounds; the plan has 30") == len(everybody)


def test_seeds_and_folds_are_checked_sent_and_told_apart(study, home, notebook, flip, plan):
    """A run for each seed and each fold, of one bundle, each with its own name; other runs of it choose among them."""
    tell(study, Policy())
    sweep = ("--seed", "0", "--seed", "1", "--fold", "0", "--fold", "2")
    none = flip("validate", notebook, "--study", study.name, *sweep)
    assert (none.returncode, "split has no folds" in none.stdout) == (1, True)
    plan(split={"seed": 0, "folds": 3, "shares": {"train": 2, "validation": 1}})
    ready = flip("validate", notebook, "--study", study.name, *sweep)
    assert ready.stdout.splitlines()[-1] == "Ready to send.", ready.stdout
    sent = json.loads(flip("submit", notebook, "--study", study.name, *sweep, "--json").stdout)
    again = flip("submit", "--bundle", sent["bundle"], "--seed", "1", "--fold", "1", "--fold", "2", "--json")
    assert again.returncode == 0, again.stderr
    runs = sent["runs"] + json.loads(again.stdout)["runs"]
    names = {run["run"]: run["name"] for run in json.loads(flip("runs", "--study", study.name, "--json").stdout)}
    shown = [", ".join(names[run].partition(" · ")[2].split(", ")[1:]) for run in runs]  # the first is a parameter
    assert shown[:4] == ["", "fold 2", "split seed 1", "split seed 1, fold 2"]
    assert shown[4:] == ["split seed 1, fold 1", "split seed 1, fold 2"]
    for wrong, words in (
        (("--seed", "7"), "Seed 7"),
        (("--fold", "3"), "Fold 3"),
        (("--rounds", "2"), "number of rounds"),
        (("--from", "0" * 64), "weights that it begins with"),
        (("--trust", "trust-0"), "A bundle fixes"),
    ):
        refused = flip("submit", "--bundle", sent["bundle"], *wrong)
        assert refused.returncode in (1, 2)
        assert words in " ".join(refused.stderr.split())
        assert "Traceback" not in refused.stderr
