"""Who gets in: every route of the hub, called by those who must not be heard."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from federation import AUDIENCE, Client, sha256
from test_studies import signed_count

from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import Join
from flipnb.hub.app import make_app, open_hub
from flipnb.hub.configuration import HubConfiguration, HubDirectory

# Routes that name nothing of a study: what a stranger to it gets there is said test by test below.
OPEN = {("POST", "/v1/studies"), ("GET", "/v1/studies"), ("GET", "/v1/tasks"), ("GET", "/v1/feed"), ("PUT", "/v1/card")}


@dataclass(frozen=True)
class Call:
    method: str
    route: str
    path: str
    body: bytes

    def __str__(self):
        return f"{self.method} {self.route}"


@pytest.fixture(scope="module")
def resources(hub):
    """One of everything of the study ``first``: names for the routes' parameters."""
    study = hub.first
    run = study.submit(title="For access tests")
    bundle = study.researcher.get(f"/v1/runs/{run}")["bundle"]
    count = study.researcher.post(f"/v1/studies/{study.name}/counts", signed_count(study), 201)["count"]
    task = study.trusts[0].task("run", run)["id"]
    yield {
        "study": study.name, "run": run, "digest": bundle, "sha256": sha256(study.weights),
        "count": count, "task": task, "number": "1", "step": "0",
    }  # fmt: skip
    study.researcher.post(f"/v1/runs/{run}/stop")


def routes(tmp_path):
    """Method and path of every route that the application has."""
    names = {"certificate": Path("c"), "key": Path("k"), "ca": Path("a")}
    configuration = HubConfiguration(name="x", audience=AUDIENCE, principals=(), **names)
    directory = HubDirectory(tmp_path)
    app = make_app(open_hub(configuration, directory), directory, "https://localhost")
    found = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert len(found) >= 25
    return sorted(found - {("GET", "/v1/health")})


@pytest.fixture
def calls(hub, resources, tmp_path):
    """A call of every signed route with a body that its own member might send."""
    study = hub.first
    bodies = {
        "/v1/studies": study.sealed_roster,
        "/v1/studies/{study}/joins": Join(study=study.name, roster=study.roster.digest()).to_bytes(),
        "/v1/studies/{study}/bundles": study.seal(study.bundle()),
        "/v1/studies/{study}/runs": study.request(study.bundle())[0],
        "/v1/studies/{study}/counts": signed_count(study),
        "/v1/runs/{run}/reports": json.dumps({"run": resources["run"], "sequence": 9}).encode(),
        "/v1/tasks/{task}/answer": b"{}",
        "/v1/blobs/{sha256}": study.weights,
    }
    made = []
    for method, route in routes(tmp_path):
        path = route.format(**resources)
        if route in ("/v1/runs", "/v1/blobs/{sha256}/received") or (method, route) == ("PUT", "/v1/blobs/{sha256}"):
            path += f"?study={study.name}"
        if (method, route) == ("GET", "/v1/studies/{study}/bundles"):
            path += f"?content={study.bundle().content_digest}"
        body = bodies.get(route, b"{}") if method in ("POST", "PUT") else b""
        made.append(Call(method, route, path, body))
    return made


def code(response):
    return response.json()["code"] if response.content else None


def test_a_stranger_to_the_study_finds_nothing(hub, calls):
    strangers = {"researcher": hub.foreign.researcher, "trust": hub.foreign.trusts[0]}
    answers = {
        (str(call), role): stranger.call(call.method, call.path, call.body)
        for call in calls
        for role, stranger in strangers.items()
        if (call.method, call.route) not in OPEN
    }
    assert len(answers) >= 40
    assert {key: response.status_code for key, response in answers.items() if response.status_code != 404} == {}
    assert {code(response) for response in answers.values()} <= {"not-found", None}


def test_a_stranger_gets_nothing_of_the_study_from_routes_without_one(hub, calls):
    open_calls = {(call.method, call.route): call for call in calls if (call.method, call.route) in OPEN}
    assert open_calls.keys() == OPEN
    roster = open_calls["POST", "/v1/studies"].body
    assert code(hub.foreign.researcher.call("POST", "/v1/studies", roster)) == "not-a-researcher"
    assert hub.foreign.trusts[0].call("POST", "/v1/studies", roster).status_code == 404
    for stranger in (hub.foreign.researcher, hub.foreign.trusts[0]):
        assert [study["study"] for study in stranger.get("/v1/studies")] == ["foreign"]
    assert hub.foreign.trusts[0].tasks(wait=0) == []
    assert hub.foreign.researcher.call("GET", "/v1/tasks").status_code == 404
    assert hub.foreign.researcher.get("/v1/feed")["runs"] == {}
    assert hub.foreign.trusts[0].call("GET", "/v1/feed").status_code == 404
    assert hub.foreign.researcher.call("PUT", "/v1/card", b"{}").status_code == 404


def test_the_same_calls_are_heard_from_a_member(hub, calls):
    """Without this, the refusals above could have any cause."""
    study = hub.first
    heard = set()
    for call in calls:
        for member in (study.researcher, study.trusts[0]):
            if member.call(call.method, call.path, call.body).status_code not in (401, 403, 404):
                heard.add(str(call))
    unheard = {str(call) for call in calls} - heard
    assert unheard == {str(call) for call in calls if call.route.startswith("/v1/coordinator")}


def test_an_unknown_key_is_refused_everywhere(hub, calls):
    unknown = Client(hub, SigningKey.generate())
    for call in calls:
        response = unknown.call(call.method, call.path, call.body)
        assert (str(call), response.status_code) == (str(call), 401)
        assert code(response) in ("unknown-key", None)


def test_an_unsigned_request_is_refused_everywhere(hub, calls):
    for call in calls:
        response = hub.first.researcher.http.request(call.method, call.path, content=call.body)
        assert (str(call), response.status_code) == (str(call), 401)
        assert code(response) in ("unsigned", None)


def test_an_altered_body_is_refused_everywhere(hub, calls):
    for call in calls:
        request = hub.first.researcher.prepare(call.method, call.path, call.body, digest=sha256(b"another body"))
        response = hub.first.researcher.send(request)
        expected = 422 if call.method == "PUT" and "blobs" in call.route else 401
        assert (str(call), response.status_code) == (str(call), expected)


@pytest.mark.parametrize("part", ["path", "query", "method"])
def test_an_altered_path_query_or_method_is_refused_everywhere(hub, calls, part):
    for call in calls:
        request = hub.first.researcher.prepare(call.method, call.path, call.body)
        if part == "path":
            request = hub.first.researcher.prepare(call.method, "/v1/studies/other/roster", call.body)
            request.url = hub.first.researcher.http.base_url.join(call.path)
        elif part == "query":
            request.url = request.url.copy_merge_params({"wait": "0"})
        else:
            request = hub.first.researcher.prepare("DELETE", call.path, call.body)
            request.method = call.method
        response = hub.first.researcher.send(request)
        assert (str(call), response.status_code) == (str(call), 401)


def test_a_replay_is_refused_everywhere(hub, calls):
    for call in calls:
        request = hub.first.researcher.prepare(call.method, call.path, call.body)
        hub.first.researcher.send(request)
        again = hub.first.researcher.send(request)
        assert (str(call), again.status_code) == (str(call), 401)
        assert code(again) in ("replayed", None)


def test_a_request_for_another_hub_is_refused(hub):
    request = hub.first.researcher.prepare("GET", "/v1/studies", audience="another-hub")
    assert code(hub.first.researcher.send(request)) == "wrong-audience"


def test_a_role_that_may_not_is_told_so_within_its_own_study(hub, resources):
    study = hub.first
    assert study.trusts[0].call("POST", f"/v1/runs/{resources['run']}/stop").status_code == 403
    assert study.trusts[0].call("GET", f"/v1/studies/{study.name}/roster").status_code == 200
    assert study.researcher.call("POST", f"/v1/runs/{resources['run']}/reports", b"{}").status_code == 403
    assert study.trusts[1].call("POST", f"/v1/tasks/{resources['task']}/answer", b"{}").status_code == 404


def test_a_body_beyond_the_limit_is_refused(hub):
    response = hub.first.researcher.call("POST", "/v1/studies/first/bundles", b" " * ((16 << 20) + 1))
    assert (response.status_code, code(response)) == (413, "body-too-large")


def test_replays_are_refused_after_the_hub_was_killed(own_hub):
    study = own_hub.study
    heard = study.researcher.prepare("GET", "/v1/studies")
    refused = study.researcher.prepare("GET", "/v1/runs/" + "0" * 32)
    assert study.researcher.send(heard).status_code == 200
    assert study.researcher.send(refused).status_code == 404
    own_hub.stop(signal.SIGKILL)
    own_hub.start()
    for request in (heard, refused):
        assert code(study.clients().researcher.send(request)) == "replayed"


def test_health_needs_no_signature_and_tells_little(hub):
    answer = Client(hub).http.get("/v1/health").json()
    assert answer.keys() == {"name", "audience", "version"}


def test_errors_before_any_route_are_problems_too(hub):
    unknown = hub.first.researcher.call("GET", "/v1/nothing")
    assert (unknown.status_code, code(unknown)) == (404, "no-such-route")
    wrong = hub.first.researcher.call("GET", "/v1/tasks?after=x")
    assert (wrong.status_code, code(wrong)) == (422, "invalid-request")
