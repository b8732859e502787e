"""The command line: exit codes that mean something, one line per error, JSON where results are printed."""

import json
import os
import subprocess
import sys

import pytest
import typer
from workbench_samples import ROUNDS, TRUSTS, cell, parameters

from flipnb.contracts import envelope
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import Researcher, Roster, Trust

COMMANDS = [
    [],
    *([name] for name in ("new", "rehearse", "validate", "submit", "runs", "stop", "logs", "results")),
    *([name] for name in ("up", "down", "status")),
    *(["study", name] for name in ("create", "list", "join")),
    *(["cohort", name] for name in ("count", "price", "twin")),
    *(["enclave", n] for n in ("requests", "show", "approve", "decline", "stop", "status", "runs", "doctor", "card")),
    *(["enclave", name] for name in ("controllers", "add-controller", "remove-controller")),
    *(["estate", name] for name in ("load", "quality", "ddl")),
    ["images", "deidentify"],
    ["images", "headers"],
    ["images", "load"],
    ["images", "pull"],
    ["images", "pulls"],
    ["images", "site-script"],
    ["images", "stop"],
]


@pytest.fixture
def flip(home, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "flipnb.cli.main", *map(str, arguments)],
            env={**os.environ, "FLIP_HOME": str(home.directory)},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture(scope="module")
def runner():
    from typer.testing import CliRunner

    from flipnb.cli.main import app

    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(runner, command):
    done = runner(*command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.output


def said(done):
    """What a failed command said: to a person, on standard error, without a traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("flip: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_wrong_usage_has_exit_code_2(flip):
    assert flip("submit", "--nonsense").returncode == 2
    assert flip("nonsense").returncode == 2


@pytest.mark.slow
def test_errors_are_one_sentence_and_what_to_do(flip, tmp_path):
    assert "no notebook" in said(flip("rehearse", "none.ipynb"))
    assert "can't be reached" in said(flip("study", "list"))
    assert "no enclave" in said(flip("enclave", "requests", "--enclave", tmp_path))
    assert "Which enclave" in said(flip("enclave", "status"))


def test_validate_prints_every_issue_and_fails_on_an_error(flip, write):
    notebook = write(parameters(), cell(ROUNDS.replace("accuracy=0.5", "accuracy=0.5, spy=1")))
    done = flip("validate", notebook)
    assert done.returncode == 1
    assert "cell 2, line 8: Reports 'spy'" in done.stdout
    issues = json.loads(flip("validate", notebook, "--json").stdout)
    assert issues[0]["code"] == "undeclared-output"
    assert {issue["severity"] for issue in issues} == {"error", "warning"}


def test_validate_passes_with_warnings_alone(flip, write):
    done = flip("validate", write(parameters(), cell(ROUNDS)))
    assert done.returncode == 0
    assert "was not rehearsed" in done.stdout


def roster_file(path, signer, researcher):
    roster = Roster(
        study="heart",
        purpose="Heart disease",
        researchers=(Researcher(name="R", public_key=researcher.public_key),),
        trusts=tuple(Trust(name=n, title=n.title(), public_key=k.public_key) for n, k in TRUSTS.items()),
    )
    path.write_bytes(envelope.seal(roster, envelope.ROSTER, signer))
    return path


def test_a_roster_that_its_researcher_did_not_sign_is_not_joined(flip, tmp_path):
    stranger, researcher = SigningKey.generate(), SigningKey.generate()
    forged = roster_file(tmp_path / "forged.json", stranger, researcher)
    assert "not known here" in said(flip("study", "join", forged, "--enclave", tmp_path))
    honest = roster_file(tmp_path / "honest.json", researcher, researcher)
    assert "no enclave" in said(flip("study", "join", honest, "--enclave", tmp_path))


def test_text_from_outside_can_not_steer_the_terminal(capsys):
    from flipnb.cli.terminal import print_table, print_text

    print_text("a\x1b[2Jb\u202ec\nd")
    print_table(["x"], [["\x07\u200b"]])
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[2Jb\\u202ec\nd" in out


def test_a_price_is_told_without_asking_anybody(flip, tutorial):
    cohort = tutorial.with_name("heart_disease.cohort.json")
    rules = len(json.loads(cohort.read_text())["InclusionRules"])
    told = flip("cohort", "price", cohort, "--json", "--funnel", "--chart", "age:5", "--chart", "year:2010-2020")
    assert (told.returncode, json.loads(told.stdout)["price"]) == (0, rules + 5), told.stderr
    refused = flip("cohort", "price", cohort, "--chart", "colour")
    assert refused.returncode == 1
    assert "colour" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_words_of_a_hub_can_not_steer_the_terminal(capsys):
    from flipnb.cli.terminal import speaks_plainly
    from flipnb.contracts.document import refusal

    said = json.dumps({"code": "x", "message": "\x1b[2J\x1b]0;title\x07gone", "remedy": "\u202eflip approve\x1b[8m"})

    @speaks_plainly
    def command():
        raise refusal(422, said.encode(), "hub")

    with pytest.raises(typer.Exit):
        command()
    shown = capsys.readouterr().err
    assert "gone" in shown and "flip approve" in shown
    assert shown.replace("\n", "").isprintable()
