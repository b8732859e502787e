"""``import flipnb as flip``: what editors, type checkers and a running kernel know of it. Each is asked itself."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import jedi
import jupyter_client.manager
import pytest

import flipnb as flip

FUNCTIONS = {"cohort", "data", "file", "follow", "new", "rehearse", "results", "rounds", "runs", "submit", "total"}
IN_AN_ENCLAVE = {"data", "file", "rounds", "total"}


def test_the_stub_names_what_is_offered():
    stub = ast.parse(Path(flip.__file__).with_suffix(".pyi").read_text())
    named = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (listed,) = (node.value for node in stub.body if isinstance(node, ast.Assign))
    assert named == set(flip.__all__) == set(ast.literal_eval(listed)) == FUNCTIONS | {"cohorts"}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_stub_leads_to_what_a_kernel_gets(name):
    (found,) = jedi.Script(f"import flipnb as flip\nflip.{name}\n").goto(2, 6, follow_imports=True)
    assert found.full_name == f"{getattr(flip, name).__module__}.{name}"


@pytest.mark.parametrize("name", sorted(IN_AN_ENCLAVE))
def test_an_enclave_takes_what_a_rehearsal_takes(name):
    from flipnb.session import enclave

    here, there = inspect.signature(getattr(flip, name)), inspect.signature(getattr(enclave, name))
    assert there.return_annotation == here.return_annotation
    assert here.parameters == there.parameters, "a notebook that passes a rehearsal must run in a Trust"


SNIPPET = """
import flipnb as flip
from flipnb.cohorts import age, concepts, condition, enter

cohort = flip.cohort(enter(condition(concepts("Diabetes", 201826)).first()).require("Adult", age(at_least=18)))
reveal_type(cohort)
reveal_type(cohort.count("heart"))
reveal_type(cohort.price(charts=["age"]))
reveal_type(flip.cohorts.sex("female"))
data = flip.data()
reveal_type(data.train.frame())
reveal_type(data.dataset)
reveal_type(data.fhir("Patient"))
reveal_type(flip.rehearse("a.ipynb"))
reveal_type(flip.submit("a.ipynb", "heart", {"lr": 0.5}, rounds=3, trusts=["A"], seed=1).runs)
reveal_type(flip.runs("heart"))
reveal_type(flip.follow("0"))
reveal_type(flip.results("0").weights())
reveal_type(flip.results("0").record)
reveal_type(flip.total({"people": 3}))
for rnd in flip.rounds({}, state=[]):
    reveal_type(rnd)
    reveal_type(rnd.config)
flip.cohort(3)
flip.submit("a.ipynb", "heart", rounds="three")
flip.nonsense
"""
REVEALED = [
    "flipnb.workbench.cohort.Cohort",
    "pandas.core.frame.DataFrame",
    "int",
    "flipnb.cohorts.conditions.Who",
    "pandas.core.frame.DataFrame",
    "flipnb.contracts.dataset.Dataset",
    "list[dict[str, Any]]",
    "flipnb.workbench.rehearsal.Rehearsal | flipnb.simulation.rehearsing.Simulation",
    "tuple[flipnb.contracts.run.RunView, ...]",
    "pandas.core.frame.DataFrame",
    "Iterator[str]",
    "dict[str, numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.generic[Any]]]]",
    "flipnb.contracts.record.RunRecord",
    "dict[str, numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]]",
    "flipnb.session.rounds.Round",
    "dict[str, float]",
]


def test_a_type_checker_sees_signatures_and_what_comes_back(tmp_path):
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    package = Path(flip.__file__).parent
    settings = ["--config-file", package.parent / "pyproject.toml", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *settings, snippet],
        capture_output=True,
        text=True,
        check=False,
        cwd=package.parent,
    )
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert [one.replace("builtins.", "").replace("typing.", "") for one in revealed] == REVEALED, done.stdout
    errors = re.findall(r"error: .*\[([a-z-]+)\]", done.stdout)
    assert errors == ["arg-type", "arg-type", "attr-defined"], done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("flip.", FUNCTIONS | {"cohorts"}),
        ("flip.cohort({}).", {"count", "charts", "define", "expression", "funnel", "price", "twin_count"}),
        ("flip.data().", {"train", "validation", "test", "table", "sql", "fhir", "view", "dataset", "is_twin"}),
        ("flip.data().train.", {"frame", "table", "sql", "fhir", "view"}),
        ("next(iter(flip.rounds({}))).", {"training", "report", "agree", "proximal", "progress", "number", "config"}),
        ("flip.submit('', '').", {"bundle", "runs"}),
        ("flip.results('').", {"weights", "metrics", "record", "weights_file", "directory"}),
        ("flip.cohorts.", {"enter", "condition", "concepts", "age", "all_of"}),
        ("flip.cohorts.condition().", {"first", "within", "any_time", "when", "value"}),
    ],
)
def test_an_editor_completes(typed, offered):
    code = f"import flipnb as flip\n{typed}\n"
    for asked in (jedi.Script(code), jedi.Interpreter(code, [{"flip": flip}])):
        assert offered <= {found.name for found in asked.complete(2, len(typed))}


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        ("flip.cohort(", ["definition"]),
        ("flip.rounds(", ["model", "state", "exclude"]),
        ("flip.submit(", ["notebook", "study", "points", "rounds", "title", "seed", "trusts"]),
        ("flip.cohorts.enter(", ["records", "prior_days", "post_days", "limit"]),
        ("flip.cohort({}).count(", ["study", "wait_seconds"]),
    ],
)
def test_an_editor_helps_with_arguments(typed, arguments):
    (signature,) = jedi.Script(f"import flipnb as flip\n{typed}\n").get_signatures(2, len(typed))
    assert [parameter.name for parameter in signature.params][: len(arguments)] == arguments
    assert "\n\n" in signature.docstring(), "the signature, and then the docstring"


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel()
    try:
        client.execute_interactive("import flipnb as flip", timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def help_of(kernel, name):
    content = kernel.inspect(name, cursor_pos=len(name), reply=True, timeout=60)["content"]
    assert content["found"], name
    return re.sub(r"\x1b\[[0-9;]*m", "", content["data"]["text/plain"])


def test_a_kernel_completes(kernel):
    for typed, offered in (("flip.", set(flip.__all__)), ("flip.coh", {"cohort", "cohorts"})):
        matches = kernel.complete(typed, reply=True, timeout=60)["content"]["matches"]
        assert {match.rpartition(".")[2] for match in matches if "__" not in match} == offered


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_kernel_shows_signature_docstring_and_an_example(kernel, name):
    shown = help_of(kernel, f"flip.{name}")
    assert re.search(rf"^Signature:\s+flip\.{name}\(", shown, re.MULTILINE)
    assert f"flip.{name}(" in shown.split("Docstring:")[1], "an example"


def test_a_kernel_shows_the_help_for_where_it_runs(kernel):
    assert "over the twin alone" in help_of(kernel, "flip.rounds")
    kernel.execute_interactive("import os; os.environ['FLIP_BROKER'] = '/run/broker.sock'", timeout=60)
    try:
        assert "this Trust's part of the run" in help_of(kernel, "flip.rounds")
    finally:
        kernel.execute_interactive("del os.environ['FLIP_BROKER']", timeout=60)


def test_the_cohorts_of_the_researchers_guide_can_be_typed():
    guide = (Path(flip.__file__).parent.parent / "docs" / "researcher.md").read_text(encoding="utf-8")
    cells = [cell for cell in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "flipnb.cohorts" in cell]
    assert len(cells) == 2
    typed = {"flip": flip, "CT": 2000000001, "THICKNESS": 2000000002}
    for cell in cells:
        exec(cell.replace('.count("heart")', ".price()"), typed)  # asking needs a federation, the price nobody
    assert flip.cohort(typed["definition"]).price(funnel=True) == len(typed["definition"].rules) + 1
