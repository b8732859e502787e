"""A study's list of runs: any number of them, in pages that no new run shifts."""

import json
import sqlite3
from urllib.parse import urlencode

from federation import copy_runs


def sent(study):
    """A run that was sent, and stopped again."""
    run = study.submit()
    study.researcher.post(f"/v1/runs/{run}/stop")
    return run


def pages(client, study, **query):
    """Every page of a list of runs, each as it came."""
    after, found = None, []
    while True:
        asked = {"study": study, **query} | ({"after": after} if after else {})
        response = client.call("GET", f"/v1/runs?{urlencode(asked)}")
        assert response.status_code == 200, response.text
        found.append(response)
        after = response.json()["next"]
        if after is None:
            return found


def test_two_thousand_runs_come_in_pages_each_once_and_the_newest_first(own_hub):
    study = own_hub.study
    made = copy_runs(own_hub, sent(study), 2000)
    for client in (study.researcher, study.trusts[0]):
        for limit in (100, 500):
            found = pages(client, study.name, limit=limit)
            runs = [run for page in found for run in page.json()["runs"]]
            assert [run["run"] for run in runs][1:] == made
            assert [run["submitted"] for run in runs] == sorted((run["submitted"] for run in runs), reverse=True)
            assert max(len(page.json()["runs"]) for page in found) == limit
            assert max(len(page.content) for page in found) < limit * 2000
            assert len(found) == len(runs) // limit + 1
    assert [len(page.json()["runs"]) for page in pages(study.researcher, study.name)] == [100] * 20 + [1]


def test_runs_of_large_points_come_in_smaller_pages(own_hub):
    """500 of 300 KB each were one answer of 150 MB, and held the hub for as long as that took."""
    study = own_hub.study
    made = copy_runs(own_hub, sent(study), 30)
    point = json.dumps({f"p{n}": "v" * 300 for n in range(900)})
    with sqlite3.connect(own_hub.root / "hub.sqlite", timeout=30) as db:
        db.execute("UPDATE runs SET point=?", (point,))
    db.close()
    found = pages(study.researcher, study.name, limit=500)
    assert [run["run"] for page in found for run in page.json()["runs"]][1:] == made
    assert max(len(page.content) for page in found) < 3 << 20


def test_a_run_that_is_sent_between_two_pages_shifts_none(own_hub):
    study = own_hub.study
    made = copy_runs(own_hub, sent(study), 30)
    first = study.researcher.get(f"/v1/runs?study={study.name}&limit=10")
    newer = study.submit()
    second = study.researcher.get(f"/v1/runs?study={study.name}&limit=10&after={first['next']}")
    listed = [run["run"] for page in (first, second) for run in page["runs"]]
    assert listed[1:] == made[:19]
    assert newer not in listed
    assert study.researcher.get(f"/v1/runs?study={study.name}&limit=1")["runs"][0]["run"] == newer


def test_a_page_is_asked_for_by_a_run_of_the_study_and_a_sensible_number(hub):
    study, foreign = hub.first, hub.foreign
    run, other = sent(study), sent(foreign)

    def status(client, **query):
        return client.call("GET", f"/v1/runs?{urlencode({'study': study.name, **query})}").status_code

    assert status(study.researcher, after=run, limit=1) == 200
    assert [status(study.researcher, limit=limit) for limit in (0, -1, 501, "x")] == [422] * 4
    assert [status(study.researcher, after=after) for after in (other, "0" * 32, "")] == [404] * 3
    assert status(foreign.researcher, after=run) == 404
