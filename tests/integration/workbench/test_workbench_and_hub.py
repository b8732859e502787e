"""A researcher's commands against a real hub, with Trusts played by their keys."""

import hashlib
import json
import threading
import time
from functools import partial

import numpy as np
import pytest
from federation import copy_runs
from safetensors.numpy import load_file, save

import flipnb
from flipnb.contracts import envelope
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.count import CountReply, CountRequest
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest
from flipnb.workbench.counting import count
from flipnb.workbench.earlier_bundle import approved_already
from flipnb.workbench.freezing import freeze_notebook
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.plan_file import load_cohort, plan_path, read_plan
from flipnb.workbench.results import fetch_results
from flipnb.workbench.runs import follow, list_runs, page_of_runs, stop_run, view_run
from flipnb.workbench.studies import create_study, list_studies, read_roster, roster_path
from flipnb.workbench.submission import prepare, run_again, submit


def code_of(call, *arguments):
    with pytest.raises(FlipError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_study_is_at_the_hub_and_its_roster_at_home(hub, home):
    (study,) = (one for one in list_studies(home) if one["study"] == "heart")
    roster = read_roster(home, "heart")
    assert (study["study"], study["roster"], len(study["joined"])) == ("heart", roster.digest(), 3)
    sealed = roster_path(home, "heart").read_bytes()
    opened = envelope.unseal(sealed, envelope.ROSTER, roster.researcher_keys(), "The roster")
    assert opened.signer == hub.heart.researcher_key.key_id


def test_the_same_study_again_is_the_same_and_another_is_refused(hub, home):
    before = roster_path(home, "heart").read_bytes()
    create_study(home, "heart", "To test a hub", hub.heart.roster.trusts)
    assert code_of(create_study, home, "heart", "For another purpose", hub.heart.roster.trusts) == "study-exists"
    assert roster_path(home, "heart").read_bytes() == before


def test_a_study_says_whose_it_is_and_under_which_references(hub, home):
    told = {"institution": "King's College London", "ethics": "26/LO/0412", "governance": "IG-118"}
    made = create_study(home, "references", "To test a hub", hub.heart.roster.trusts, **told)
    roster = read_roster(home, "references")
    assert roster == made and {name: getattr(roster, name) for name in told} == told
    broken = partial(create_study, ethics="two\nlines")
    assert code_of(broken, home, "other", "To test a hub", hub.heart.roster.trusts) == "invalid-document"


def test_a_submitted_run_reaches_every_trust_as_it_was_signed(hub, home, notebook):
    prepared = prepare(home, notebook, "heart", [{"lr": 0.5}, {"lr": 0.25}], {"rounds": 3})
    done = submit(home, prepared)
    assert [view.state for view in done.runs] == ["waiting", "waiting"]
    assert [view.point["lr"] for view in done.runs] == [0.5, 0.25]
    keys = {home.key.key_id: home.key.public_key}
    for trust in hub.heart.trusts:
        task = trust.task("run", done.runs[0].run)
        opened = envelope.unseal(task["run_request"].encode(), envelope.RUN_REQUEST, keys, "The request")
        request = opened.parse(RunRequest, "The request")
        assert request.bundle == done.bundle
        sealed = trust.call("GET", f"/v1/bundles/{done.bundle}").content
        bundle = envelope.unseal(sealed, envelope.BUNDLE, keys, "The bundle")
        assert bundle.digest == done.bundle
        assert bundle.parse(Bundle, "The bundle").plan.rounds == 3
        weights = trust.call("GET", f"/v1/blobs/{prepared.bundle.initial_weights}").content
        assert hashlib.sha256(weights).hexdigest() == prepared.bundle.initial_weights


def test_a_bundle_can_be_run_again_within_its_space_only(home, notebook):
    bundle = submit(home, prepare(home, notebook, "heart", [])).bundle
    view = run_again(home, bundle, {"lr": 0.75})
    assert (view.bundle, view.point["lr"]) == (bundle, 0.75)
    assert code_of(run_again, home, bundle, {"lr": 7.5}) == "out-of-bounds"
    assert code_of(run_again, home, bundle, {"seed": 1}) == "out-of-bounds"
    assert code_of(run_again, home, "0" * 64, {}) == "not-found"


def test_the_same_content_again_is_the_same_bundle_with_what_is_approved_of_it(hub, home, notebook):
    first = submit(home, prepare(home, notebook, "heart", [], {"title": "Twice"}))
    north, *others = hub.heart.trusts
    run = first.runs[0].run
    assert view_run(home, run).trusts[0].executions_left is None
    north.report(run, 1, state="approved", executions_left=3)
    again = prepare(home, notebook, "heart", [{"lr": 0.3}], {"title": "Twice"})
    assert again.bundle.digest() == first.bundle
    assert again.executions_left == {north.key.key_id: 3}
    title = next(trust.title for trust in hub.heart.roster.trusts if trust.key_id == north.key.key_id)
    said = approved_already(hub.heart.roster, again.executions_left)
    assert said == [f"Approved already at {title}, 3 executions left."]
    assert prepare(home, notebook, "heart", [], {"title": "Twice", "rounds": 9}).bundle.digest() != first.bundle
    others[0].report(run, 1, state="declined", code="declined", reason="No.")
    time.sleep(1.0)  # a bundle's dates are whole seconds
    assert prepare(home, notebook, "heart", [], {"title": "Twice"}).bundle.digest() != first.bundle


def test_an_earlier_bundle_that_soon_expires_is_not_sent_again(home, notebook):
    plan = plan_path(notebook)
    before = plan.read_text()
    try:
        short = submit(home, prepare(home, notebook, "heart", [], {"title": "Short"})).bundle
        plan.write_text(json.dumps(json.loads(before) | {"valid_days": 365}))
        longer = prepare(home, notebook, "heart", [], {"title": "Short"}).bundle
    finally:
        plan.write_text(before)
    assert longer.digest() != short
    assert longer.content_digest == prepare(home, notebook, "heart", [], {"title": "Short"}).bundle.content_digest


def test_a_run_can_be_followed_and_stopped(hub, home, notebook):
    run = submit(home, prepare(home, notebook, "heart", [])).runs[0].run
    seen = [event.number for event in follow(home, run, to_the_end=False)]
    assert seen == list(range(1, len(seen) + 1))
    assert code_of(fetch_results, home, run, home.directory / "none") == "not-finished"
    assert not (home.directory / "none").exists()
    heard = []
    listener = threading.Thread(target=lambda: heard.extend(follow(home, run)))
    listener.start()
    assert stop_run(home, run).state in ("stopping", "stopped")
    listener.join(30)
    assert heard[-1].state == "stopped"
    assert view_run(home, run).state == "stopped"
    assert run in [view.run for view in list_runs(home, "heart")]


def test_a_run_that_did_not_succeed_has_results_too(home, notebook, tmp_path):
    sent = submit(home, prepare(home, notebook, "heart", [{"lr": 0.5}]))
    run = sent.runs[0].run
    stop_run(home, run)
    list(follow(home, run))
    found = fetch_results(home, run, tmp_path)
    assert (found.record.state, found.reason is not None, found.totals()) == ("stopped", True, {})
    assert found.name.endswith(" · lr 0.5")
    assert [code_of(lambda: found.weights_file), code_of(found.weights, 1)] == ["no-weights", "no-round"]
    assert found.bundle.digest() == sent.bundle == found.record.bundle
    opened = envelope.unseal(
        (tmp_path / "bundle.dsse").read_bytes(), envelope.BUNDLE, {home.key.key_id: home.key.public_key}, "The bundle"
    )
    assert opened.digest == sent.bundle, "a third person can check it by the researcher's key alone"
    (plan_file,) = (tmp_path / "definition").glob("*.flip.json")
    plan = read_plan(plan_file)
    assert (plan.dataset, plan.split, plan.plan) == (found.bundle.dataset, found.bundle.split, found.bundle.plan)
    assert load_cohort(plan_file.with_name(plan.cohort)) == found.bundle.cohort
    frozen = freeze_notebook(plan_file.with_name(plan_file.name.replace(".flip.json", ".ipynb")))
    assert frozen == found.bundle.notebook


def answer_counts(hub, answers, began):
    """Each Trust answers its count task; an answer is a CountReply's fields, another key's reply, or a refusal."""
    for trust, given in zip(hub.heart.trusts, answers, strict=True):
        task = next(t for t in wait_for_count(trust) if t["sequence"] > began.get(trust.key.key_id, 0))
        request = envelope.peek(task["count"]["request"].encode(), "The request")
        assert json.loads(request)["version"] == CountRequest.model_fields["version"].default
        fields = {"trust": trust.key.key_id, "request": hashlib.sha256(request).hexdigest()} | given
        key = fields.pop("key", trust.key)
        if "code" in fields:
            trust.answer(task, code=fields["code"], reason="No.")
            continue
        trust.answer(task, envelope=envelope.seal(CountReply(**fields), envelope.COUNT_REPLY, key).decode())


def wait_for_count(trust):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [task for task in trust.tasks(0, wait=0.2) if task["kind"] == "count"]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("no count task")


def counted(hub, home, *answers, wait_seconds=20):
    cohort = load_cohort(home.directory / "cohort.json")
    trusts = threading.Thread(target=answer_counts, args=(hub, answers, {}))
    trusts.start()
    found = {item.trust.key_id: item for item in count(home, "heart", cohort, wait_seconds=wait_seconds)}
    trusts.join()
    return [found[trust.key.key_id] for trust in hub.heart.trusts]


@pytest.fixture(autouse=True)
def cohort_file(home, notebook):
    (home.directory / "cohort.json").write_bytes(notebook.with_name("heart_disease.cohort.json").read_bytes())


def test_counts_come_back_rounded_and_suppressed(hub, home):
    found = counted(
        hub,
        home,
        {"people": 120, "threshold": 10, "rounding": 5},
        {"suppressed": True, "threshold": 10, "rounding": 5},
        {"problem": {"code": "no-estate", "message": "There is no estate yet."}},
    )
    assert [item.text for item in found] == [
        "≈ 120",
        "fewer than 10, or not answered in time",
        "There is no estate yet.",
    ]


def test_a_count_that_the_trust_did_not_seal_is_not_believed(hub, home):
    stranger = SigningKey.generate()
    found = counted(
        hub,
        home,
        {"people": 5000, "key": stranger},
        {"people": 120, "request": "0" * 64},
        {"people": 100},
    )
    assert found[0].reply is None
    assert "not known here" in found[0].text
    assert found[1].reply is None
    assert "another question" in found[1].text
    assert found[2].reply.people == 100


def test_a_refusal_without_a_reply_does_not_keep_the_researcher_waiting(hub, home):
    began = time.monotonic()
    found = counted(hub, home, {"people": 20}, {"code": "busy"}, {"people": 30}, wait_seconds=60)
    assert time.monotonic() - began < 30
    assert [item.text for item in found] == ["≈ 20", "no answer yet", "≈ 30"]


def test_a_blob_of_other_bytes_is_not_kept(hub, home, notebook, tmp_path):
    prepared = prepare(home, notebook, "heart", [])
    submit(home, prepared)
    digest = prepared.bundle.initial_weights
    (stored,) = [file for file in (hub.root / "blobs").rglob("*") if file.name == digest]
    whole = stored.read_bytes()
    stored.chmod(0o600)
    try:
        stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with HubClient.of(home) as client:
            assert code_of(client.save_blob, digest, tmp_path / "weights") == "wrong-blob"
        assert list(tmp_path.iterdir()) == []
    finally:
        stored.write_bytes(whole)
    with HubClient.of(home) as client:
        client.save_blob(digest, tmp_path / "weights")
    assert (tmp_path / "weights").read_bytes() == whole


def test_the_notebook_api_is_the_same_road(hub, home, notebook, monkeypatch):
    monkeypatch.setenv("FLIP_HOME", str(home.directory))
    done = flipnb.submit(notebook, "heart", {"lr": 0.125}, rounds=2)
    table = flipnb.runs("heart")
    assert table.loc[done.runs[0].run, "rounds"] == 2
    assert table.loc[done.runs[0].run, "point"]["lr"] == 0.125
    with pytest.raises(FlipError):
        flipnb.cohort({"ConceptSets": []})


def test_commands_speak_json(hub, home, notebook, flip):
    done = flip("submit", notebook, "--study", "heart", "--param", "lr=0.5", "--rounds", "4", "--json")
    assert done.returncode == 0, done.stderr
    submitted = json.loads(done.stdout)
    run = submitted["runs"][0]
    view = json.loads(flip("runs", run, "--json").stdout)
    assert (view["rounds"], view["bundle"], view["point"]["lr"]) == (4, submitted["bundle"], 0.5)
    assert run in [item["run"] for item in json.loads(flip("runs", "--study", "heart", "--json").stdout)]
    assert all(json.loads(line)["run"] == run for line in flip("logs", run, "--json").stdout.splitlines())
    assert json.loads(flip("study", "list", "--json").stdout)[0]["study"] == "heart"
    assert json.loads(flip("stop", run, "--json").stdout)["state"] in ("stopping", "stopped")
    assert flip("logs", run, "--follow").returncode == 0
    fetched = json.loads(flip("results", run, "--to", home.directory / "stopped", "--json").stdout)
    assert any(file.endswith("bundle.dsse") for file in fetched["files"])
    refused = flip("weights", run, "--round", "1", "--out", home.directory / "never")
    assert refused.returncode == 1
    assert refused.stderr.startswith("flip: ")
    (cleveland,) = [t for t in json.loads(flip("trusts", "--study", "heart", "--json").stdout) if t["joined"]][:1]
    assert cleveland["title"]
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--param", "lr=99"], "lr"),
        (["--param", "lr"], "NAME=VALUE"),
        (["--param", "momentum=1"], "momentum"),
        (["--trust", "nobody"], "nobody"),
    ],
)
def test_a_wrong_submission_is_one_line_and_exit_code_1(hub, home, notebook, flip, arguments, said):
    before = len(list_runs(home, "heart"))
    done = flip("submit", notebook, "--study", "heart", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list_runs(home, "heart")) == before


def test_a_hub_that_is_down_leaves_nothing_behind(hub, home, notebook, flip):
    before = {view.run for view in list_runs(home, "heart")}
    hub.stop()
    try:
        done = flip("submit", notebook, "--study", "heart")
        assert done.returncode == 1
        assert "can't be reached" in done.stderr
    finally:
        hub.start()
    assert {view.run for view in list_runs(home, "heart")} == before
    assert flip("submit", notebook, "--study", "heart").returncode == 0  # the same command, once it is back
    assert len(list_runs(home, "heart")) == len(before) + 1


def stored(home, arrays, tmp_path):
    """A file of weights at the hub, for the study; its digest."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(arrays))
    with HubClient.of(home) as client:
        client.put_blob("heart", path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_may_start_from_other_weights_of_the_same_model(home, notebook, tmp_path):
    first = load_file(prepare(home, notebook, "heart", []).initial_weights)
    digest = stored(home, {name: array + 1 for name, array in first.items()}, tmp_path)
    prepared = prepare(home, notebook, "heart", [], {"start_from": digest, "rounds": 0})
    assert (prepared.bundle.initial_weights, prepared.bundle.plan.rounds) == (digest, 0)
    assert submit(home, prepared).runs[0].rounds == 0
    other = {name: np.zeros((*array.shape, 2), np.float32) for name, array in first.items()}
    wrong = stored(home, other, tmp_path)
    with pytest.raises(FlipError, match=r"do not fit the rehearsed model: '\w+' is float32 \[") as caught:
        prepare(home, notebook, "heart", [], {"start_from": wrong})
    assert caught.value.code == "wrong-weights"
    assert code_of(prepare, home, notebook, "heart", [], {"start_from": "0" * 64}) == "not-found"


def test_a_run_without_final_weights_is_no_start(home, notebook, flip):
    run = submit(home, prepare(home, notebook, "heart", [])).runs[0].run
    assert code_of(prepare, home, notebook, "heart", [], {"start_from": run}) == "not-finished"
    said = flip("submit", notebook, "--study", "heart", "--from", run)
    assert said.returncode == 1
    assert "has no final weights" in said.stderr


def test_all_runs_of_a_study_are_listed_however_many_they_are(hub, home, notebook, flip, monkeypatch):
    run = submit(home, prepare(home, notebook, "heart", [])).runs[0].run
    stop_run(home, run)
    assert list(follow(home, run))[-1].state == "stopped"  # copies of a run that goes on would change meanwhile
    before = [view.run for view in list_runs(home, "heart")]
    copies = copy_runs(hub, run, 450)
    listed = list_runs(home, "heart")
    assert [view.run for view in listed if view.run not in copies] == before
    assert [view.run for view in listed if view.run in copies] == copies
    said = flip("runs", "--study", "heart", "--json")
    assert [view["run"] for view in json.loads(said.stdout)] == [view.run for view in listed]
    monkeypatch.setenv("FLIP_HOME", str(home.directory))
    assert list(flipnb.runs("heart").index) == [view.run for view in listed]
    page = page_of_runs(home, "heart", None)
    assert len(page.runs) < len(listed)
    assert page_of_runs(home, "heart", page.next).runs == tuple(listed[len(page.runs) : 2 * len(page.runs)])
