"""The front end's contract: what is written in the files is what the endpoints say; and nothing heavy is imported."""

import json
import subprocess
import sys

import pytest

import flipnb
from flipnb.lab import endpoints, openapi

ROOT = openapi.OPENAPI_FILE.parents[1]
AGAIN = "run `python -m flipnb.lab.openapi`"


def test_openapi_and_typescript_are_those_of_the_endpoints():
    assert json.loads(openapi.OPENAPI_FILE.read_text()) == json.loads(json.dumps(openapi.openapi())), AGAIN
    assert openapi.TYPESCRIPT_FILE.read_text() == openapi.typescript(), AGAIN


def test_there_is_one_version():
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    assert package["version"] == flipnb.__version__


def test_every_endpoint_has_a_resource_a_summary_and_a_name_of_its_own():
    assert all(item.resource.startswith("flipnb:") and item.summary for item in endpoints.ALL)
    assert len({item.name for item in endpoints.ALL}) == len(endpoints.ALL)
    assert len({(item.method, item.pattern) for item in endpoints.ALL}) == len(endpoints.ALL)


@pytest.mark.slow
def test_the_server_extension_imports_nothing_heavy():
    code = "import sys, flipnb.lab.app; print(*{'torch', 'flwr', 'plotly', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
