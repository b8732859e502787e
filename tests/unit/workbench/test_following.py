"""Following a run over the end of its hub."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.problem import FlipError
from flipnb.workbench import runs

RUN = "0" * 32
GONE = FlipError("hub-unreachable", "The hub can't be reached.", status=503)


class Hub:
    """Answers what it is given, one after another; remembers what it was asked."""

    def __init__(self, answers):
        self.answers, self.asked = list(answers), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def get(self, path):
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, FlipError):
            raise answer
        return json.dumps({"events": answer}).encode()


def state(number, state):
    return {"run": RUN, "number": number, "at": "2026-01-01T00:00:00Z", "kind": "state", "state": state}


def followed(monkeypatch, answers):
    hub = Hub(answers)
    monkeypatch.setattr(runs.HubClient, "of", lambda home: hub)
    monkeypatch.setattr(runs, "_RETRY_S", 0.0)
    return hub, runs.follow(None, RUN)


def test_a_hub_that_restarts_is_waited_for_and_no_event_is_lost(monkeypatch):
    hub, events = followed(
        monkeypatch, [[state(1, "waiting")], GONE, GONE, [state(2, "running")], [state(3, "failed")]]
    )
    assert [event.number for event in events] == [1, 2, 3]
    assert [path.split("after=")[1].split("&")[0] for path in hub.asked] == ["0", "1", "1", "1", "2"]


def test_a_hub_that_is_away_at_first_is_said_at_once(monkeypatch):
    _, events = followed(monkeypatch, [GONE])
    with pytest.raises(FlipError, match="can't be reached"):
        next(events)


def test_a_refusal_is_no_restart(monkeypatch):
    _, events = followed(monkeypatch, [[state(1, "waiting")], FlipError("not-found", "There is no run.", status=404)])
    assert next(events).number == 1
    with pytest.raises(FlipError, match="no run"):
        next(events)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_hub_that_lies_in_an_event_has_no_say_in_the_terminal(options, monkeypatch, tmp_path):
    """A window's title, a screen that is cleared, and letters from right to left: shown, and not obeyed."""
    said = "\x1b]0;title\x07\x1b[2J\x9b2J \u202edevorppa\nRound 3 of 3"
    monkeypatch.setenv("FLIP_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "view_run", lambda home, run: SimpleNamespace(study="heart", trusts=()))
    followed(monkeypatch, [[{**state(1, "failed"), "code": "lie", "reason": said}]])
    found = CliRunner().invoke(app, ["logs", RUN, "--follow", *options])
    assert found.exit_code == 0, found.output
    assert "devorppa" in found.output
    assert found.output.endswith("\n") and found.output[:-1].isprintable()  # one line
