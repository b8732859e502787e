"""``flip estate view``: every way in which resources come, exit codes, and files that are whole or not there."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.contracts.problem import FlipError
from flipnb.estate.resource_files import read_resources

ONE, TWO = (
    {"resourceType": "Patient", "id": "a", "entry": 1},
    {"resourceType": "Observation", "id": "b", "status": "final"},
)
BUNDLE = {"entry": [{"fullUrl": "x", "resource": ONE}, {"request": {}}, {"resource": TWO}], "resourceType": "Bundle"}
VIEW = {"resource": "Patient", "select": [{"column": [{"name": "id", "path": "id", "type": "id"}]}]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("array.json", json.dumps([ONE, TWO])),
        ("bundle.json", json.dumps(BUNDLE)),
        ("pretty.json", json.dumps(BUNDLE, indent=2)),
        ("bundles.json", json.dumps([{**BUNDLE, "entry": BUNDLE["entry"][:2]}, TWO])),
        ("nested.json", json.dumps({"resourceType": "Bundle", "entry": [{"resource": BUNDLE}]})),
        ("lines.ndjson", f"{json.dumps(ONE)}\n\n{json.dumps(TWO)}\n"),
        ("lines.json", f"{json.dumps(ONE)}\n{json.dumps(TWO)}"),
    ],
)
def test_shapes(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert list(read_resources(tmp_path / name)) == [ONE, TWO]
    assert list(read_resources(tmp_path)) == [ONE, TWO]
    compressed = tmp_path / "deep" / f"{name}.gz"
    compressed.parent.mkdir()
    compressed.write_bytes(gzip.compress(text.encode()))
    assert list(read_resources(compressed)) == [ONE, TWO]


def test_empty_bundle(tmp_path):
    (tmp_path / "e.json").write_text('{"resourceType": "Bundle", "type": "searchset"}')
    assert list(read_resources(tmp_path / "e.json")) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"resourceType": "Patient"', "not-json"),
        ("[1]", "not-fhir"),
        ('{"id": "x"}', "not-fhir"),
        ("nonsense", "not-json"),
    ],
)
def test_what_is_none(tmp_path, text, code):
    for name in ("x.json", "x.ndjson"):
        (tmp_path / name).write_text(text)
        with pytest.raises(FlipError) as error:
            list(read_resources(tmp_path / name))
        assert error.value.code == code and name in error.value.message


def test_memory_does_not_grow_with_a_bundle(tmp_path):
    resource = {"resourceType": "Patient", "id": "x", "text": {"div": "y" * 2000}}
    text = json.dumps({"resource": resource})
    (tmp_path / "big.json").write_text('{"resourceType": "Bundle", "entry": [' + ",".join([text] * 4000) + "]}")
    tracemalloc.start()
    assert sum(1 for _ in read_resources(tmp_path / "big.json")) == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # the file has 8 MB


def invoke(tmp_path, definition, *options):
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "r.ndjson").write_text(json.dumps(ONE) + "\n" + json.dumps(TWO))
    (tmp_path / "view.json").write_text(definition if isinstance(definition, str) else json.dumps(definition))
    arguments = ["estate", "view", str(tmp_path / "view.json"), "--over", str(tmp_path / "in"), *options]
    return CliRunner().invoke(app, arguments)


def test_command(tmp_path):
    result = invoke(tmp_path, VIEW)
    assert result.exit_code == 0 and json.loads(result.stdout) == [{"id": "a"}]
    assert invoke(tmp_path, VIEW, "--format", "csv").stdout == "id\na\n"
    out = tmp_path / "out.parquet"
    assert invoke(tmp_path, VIEW, "--format", "parquet", "--out", str(out)).exit_code == 0
    assert out.read_bytes()[:4] == b"PAR1"
    assert invoke(tmp_path, VIEW, "--format", "parquet").exit_code == 1


def test_invalid_view_is_exit_code_2_with_the_reason(tmp_path):
    for definition, reason in [
        ("{", "JSON"),
        ({"select": []}, "resource"),
        ({**VIEW, "where": [{"path": "id"}]}, "condition"),
        ({**VIEW, "select": [{"column": [{"name": "n", "path": "'a' | 'b'"}]}]}, "2 values"),
    ]:
        out = tmp_path / "out.json"
        result = invoke(tmp_path, definition, "--out", str(out))
        assert result.exit_code == 2 and reason in result.stderr and "Traceback" not in result.output
        assert not out.exists()
    assert invoke(tmp_path, VIEW, "--over", str(tmp_path / "absent")).exit_code == 1
