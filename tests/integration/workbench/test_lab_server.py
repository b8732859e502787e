"""The Jupyter server extension in a real JupyterLab, against a real hub."""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from urllib.parse import urlencode

import httpx
import pytest
from lab_server import LabServer
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

import flipnb
from flipnb.workbench.submission import prepare, submit

RUN_EVENT = "https://schema.jupyter.org/flipnb/run/v1"
HUB_EVENT = "https://schema.jupyter.org/flipnb/hub/v1"


@pytest.fixture(scope="module")
def lab(home, notebook, tmp_path_factory):
    server = LabServer(tmp_path_factory.mktemp("lab"), notebook.parent, home.directory)
    server.start()
    yield server
    server.end()


def refusal(answer, status):
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    said = answer.json()
    assert set(said) == {"message", "reason", "remedy"}
    return said["reason"]


def listen(lab, until, seconds=60):
    """Events of the Jupyter server, from now until ``until`` says that one of them was waited for."""
    heard, ready = [], threading.Event()

    async def hear():
        url = f"{lab.url.replace('http', 'ws')}/api/events/subscribe"
        socket = await websocket_connect(HTTPRequest(url, headers={"authorization": f"token {lab.token}"}))
        ready.set()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not (heard and until(heard[-1])):
            message = await asyncio.wait_for(socket.read_message(), deadline - time.monotonic())
            heard.append(json.loads(message))
        socket.close()

    thread = threading.Thread(target=lambda: asyncio.run(hear()), daemon=True)
    thread.start()
    assert ready.wait(20)
    return heard, thread


def test_it_says_its_version_who_works_here_and_that_the_hub_is_there(lab):
    heard, thread = listen(lab, lambda event: event["schema_id"] == HUB_EVENT and event["state"] == "online")
    lab.post("flipnb/hub/tries")
    thread.join(60)
    assert heard[-1]["state"] == "online"
    status = lab.get("flipnb/status").json()
    assert lab.get("flipnb/status?1764000000000").json() == status, "JupyterLab's own mark against caches"
    assert status["version"] == flipnb.__version__
    assert status["researcher"] == "A researcher"
    assert status["contact"]["state"] == "online"


def test_studies_and_runs_are_those_of_the_hub(lab, home, notebook):
    done = submit(home, prepare(home, notebook, "heart", [{"lr": 0.125}], {"rounds": 3}))
    (study,) = lab.get("flipnb/studies").json()["studies"]
    assert study["study"] == "heart" and study["kept"]
    trusts = lab.get("flipnb/studies/heart/trusts").json()["trusts"]
    assert [trust["joined"] for trust in trusts] == [True] * 3
    cohorts = lab.get("flipnb/cohorts").json()["cohorts"]
    assert [cohort["path"] for cohort in cohorts] == ["heart_disease.cohort.json"]
    runs = lab.get("flipnb/studies/heart/runs").json()["runs"]
    assert done.runs[0].run in [run["run"] for run in runs]
    run = lab.get(f"flipnb/runs/{done.runs[0].run}").json()
    assert run["point"]["lr"] == 0.125
    (event,) = lab.get(f"flipnb/runs/{run['run']}/events").json()["events"]
    assert (event["number"], event["state"]) == (1, "waiting")
    assert lab.get(f"flipnb/runs/{run['run']}/events?after=1").json()["events"] == []


def test_results_open_beside_the_notebook_that_was_sent_though_another_has_its_title(lab, home, notebook):
    other = notebook.with_name("a_copy.ipynb")
    for suffix in (".ipynb", ".flip.json"):
        shutil.copy(notebook.with_suffix(suffix), other.with_suffix(suffix))
    (run,) = submit(home, prepare(home, notebook, "heart", [{"lr": 0.75}], {"title": "As the form said"})).runs
    made = lab.post(f"flipnb/runs/{run.run}/notebook").json()["path"]
    assert made == f"study-results-{run.run[:8]}.ipynb"
    (run,) = submit(home, prepare(home, notebook, "heart", [{"lr": 0.75}])).runs
    (notebook.parent / ".flip" / "study.sent").unlink()
    made = lab.post(f"flipnb/runs/{run.run}/notebook").json()["path"]
    assert made == f"a_copy-results-{run.run[:8]}.ipynb", "where nothing was kept, the title tells"
    for suffix in (".ipynb", ".flip.json"):
        other.with_suffix(suffix).unlink()


def test_what_happens_to_a_run_is_pushed(lab, home, notebook):
    ended = []

    def over(event):
        if event["schema_id"] == RUN_EVENT and event["view"]["state"] == "stopped":
            ended.append(event)
        return bool(ended)

    _, thread = listen(lab, over)
    (run,) = submit(home, prepare(home, notebook, "heart", [{"lr": 0.0625}], {"rounds": 3})).runs
    assert lab.post(f"flipnb/runs/{run.run}/stop").status_code == 200
    thread.join(60)
    assert ended[0]["run"] == run.run
    assert ended[0]["number"] == ended[0]["view"]["last_event"] == ended[0]["events"][-1]["number"]


def test_refusals_are_json_with_a_reason_and_no_traceback(lab):
    assert refusal(lab.get(f"flipnb/runs/{'0' * 32}"), 404) == "not-found"
    assert refusal(lab.get("flipnb/runs/UPPER"), 422) == "invalid-request"
    assert refusal(lab.get(f"flipnb/runs/{'0' * 32}/events?after=x"), 422) == "invalid-request"
    assert refusal(lab.get("flipnb/status?unknown=1"), 422) == "invalid-request"
    assert refusal(lab.request("DELETE", "flipnb/status"), 405) == "no-such-method"


def test_nobody_comes_in_without_a_token_or_a_form_of_another_page(lab):
    for path in ("status", "studies", "studies/heart/runs", f"runs/{'0' * 32}"):
        assert lab.request("GET", f"flipnb/{path}", token=False).status_code == 403
    with httpx.Client(base_url=lab.url, trust_env=False, follow_redirects=True) as browser:
        browser.get(f"/lab?token={lab.token}")
        assert browser.get("/flipnb/status").status_code == 200
        assert browser.post("/flipnb/hub/tries").status_code == 403
        headers = {"x-xsrftoken": browser.cookies["_xsrf"]}
        assert browser.post("/flipnb/hub/tries", headers=headers).status_code == 200
    assert "flipnb" not in "".join(
        line for line in lab.log.read_text().splitlines() if "JupyterServerAuthWarning" in line
    )


def test_it_stops_at_once_and_begins_where_the_hub_is(lab):
    began = time.monotonic()
    lab.end()
    assert time.monotonic() - began < 25, "a long-poll held the server up"
    lab.start()
    assert lab.get("flipnb/studies").json()["studies"][0]["study"] == "heart"


def test_files_are_named_as_the_file_browser_names_them(lab, notebook):
    fresh = notebook.with_name("fresh.ipynb")
    fresh.write_bytes(notebook.read_bytes())
    report = lab.post("flipnb/notebooks/checks", {"path": fresh.name, "study": "heart"}).json()
    said = " ".join(issue["message"] for issue in report["issues"])
    assert "fresh.flip.json" in said
    assert str(notebook.parent) not in said


def test_a_notebook_is_checked_shown_and_sent_once_however_often_it_is_asked(lab, home, notebook):
    report = lab.post("flipnb/notebooks/checks", {"path": notebook.name, "study": "heart"}).json()
    assert report["rehearsed"]
    assert [parameter["name"] for parameter in report["parameters"]] == ["lr", "solver", "seed"]
    assert {issue["code"] for issue in report["issues"]} == {"offline", "no-card", "unused-parameter"}
    form = {
        "path": notebook.name,
        "study": "heart",
        "title": "From the form",
        "plan": {
            **report["plan"]["plan"],
            "rounds": 7,
            "strategy": {"name": "FedProx", "parameters": {"proximal_mu": 0.5}},
        },
        "seeds": [3],
        "trusts": [trust["name"] for trust in lab.get("flipnb/studies/heart/trusts").json()["trusts"]][:2],
        "minimum_trusts": 2,
        "points": [{"lr": 0.03}, {"lr": 0.04}],
    }
    preview = lab.post("flipnb/bundles", form).json()
    content = preview["content"]
    assert (content["title"], content["split"]["seed"], content["plan"]["rounds"]) == ("From the form", 3, 7)
    assert content["plan"]["strategy"]["name"] == "FedProx"
    assert len(content["trusts"]) == 2
    shapes = lab.post(f"flipnb/bundles/{preview['bundle']}/shapes").json()
    assert shapes == {"checked": 2, "of": 2, "problem": None}
    before = {run["run"] for run in lab.get("flipnb/studies/heart/runs").json()["runs"]}
    first = lab.post(f"flipnb/bundles/{preview['bundle']}/sending").json()
    again = lab.post(f"flipnb/bundles/{preview['bundle']}/sending").json()
    assert [run["run"] for run in first["runs"]] == [run["run"] for run in again["runs"]]
    after = {run["run"] for run in lab.get("flipnb/studies/heart/runs").json()["runs"]}
    assert after - before == {run["run"] for run in first["runs"]}
    assert lab.get(f"flipnb/bundles/{preview['bundle']}").json() == content
    clone = lab.post(f"flipnb/bundles/{preview['bundle']}/runs", {"point": {"lr": 0.05}}).json()
    assert clone["point"] == {"lr": 0.05, "solver": "sgd", "seed": 0}
    assert lab.post("flipnb/bundles", form).json()["bundle"] == preview["bundle"], "the same content is the same bundle"
    swept = lab.post("flipnb/bundles", {**form, "seeds": [3, 4]}).json()
    assert swept["content"]["choosable"]["seeds"] == [3, 4]
    assert [choices["seed"] for choices in swept["choices"]] == [3, 3, 4, 4]
    assert refusal(lab.post(f"flipnb/bundles/{'0' * 64}/sending"), 409) == "not-shown"
    assert refusal(lab.post("flipnb/bundles", {**form, "points": [{"lr": 1e9}]}), 400) == "out-of-bounds"
    assert refusal(lab.post("flipnb/bundles", {**form, "unknown": 1}), 422) == "invalid-request"
    assert (
        refusal(lab.post("flipnb/notebooks/checks", {"path": "../../etc/passwd", "study": "heart"}), 403) == "outside"
    )


def test_paths_that_no_file_can_have_are_refused_and_nothing_outside_is_touched(lab, notebook, tmp_path):
    root = notebook.parent
    (tmp_path / "secret.cohort.json").write_text('{"secret": "s3cr3t"}')
    (root / "link.cohort.json").symlink_to(tmp_path / "secret.cohort.json")
    (root / "elsewhere").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    (root / "folder.cohort.json").mkdir()
    os.mkfifo(root / "pipe.cohort.json")
    (root / "deep.cohort.json").write_text('{"a":' * 800 + "1" + "}" * 800)
    (root / "half.cohort.json").write_text('{"a": "\\ud800"}')
    odd = [
        "x\0y",
        "a" * 300,
        "a/" * 3000,
        "loop",
        "loop/x",
        "folder.cohort.json",
        "pipe.cohort.json",
        "",
        ".",
        "..",
        "/",
    ]
    out = ["link.cohort.json", "elsewhere/secret.cohort.json", "elsewhere/new.cohort.json", f"../{tmp_path.name}/x"]
    for path in (*odd, *out, "deep.cohort.json", "half.cohort.json"):
        forms = [
            ("GET", f"flipnb/cohorts/definition?{urlencode({'path': path})}", None),
            ("PUT", "flipnb/cohorts/definition", {"path": path, "expression": {"x": 1}}),
            ("POST", "flipnb/notebooks/checks", {"path": path, "study": "heart"}),
        ]
        for method, address, body in forms:
            answer = lab.request(method, address, content=json.dumps(body).encode() if body else b"")
            assert answer.status_code < 500, (method, path[:80], answer.text)
            assert "s3cr3t" not in answer.text
            assert answer.status_code == 403 or path not in out, (method, path)
    assert [file.name for file in tmp_path.iterdir()] == ["secret.cohort.json"]
    for made in ("link.cohort.json", "elsewhere", "loop", "pipe.cohort.json", "deep.cohort.json", "half.cohort.json"):
        (root / made).unlink()
    (root / "folder.cohort.json").rmdir()


def test_a_hub_that_is_silent_leaves_what_needs_no_hub_alone(lab, hub):
    """Twenty requests waited for it in all of six threads, and the desk, status and cohorts behind them: 59 s."""
    os.kill(hub.process.pid, signal.SIGSTOP)
    waiting = [threading.Thread(target=lambda: lab.get("flipnb/studies"), daemon=True) for _ in range(20)]
    try:
        for thread in waiting:
            thread.start()
        time.sleep(1)
        began = time.monotonic()
        for path in ("status", "desk", "cohorts", "strategies"):
            assert lab.get(f"flipnb/{path}").status_code == 200
        assert time.monotonic() - began < 10
    finally:
        os.kill(hub.process.pid, signal.SIGCONT)
    for thread in waiting:
        thread.join(60)
