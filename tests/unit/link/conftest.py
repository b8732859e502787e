import pytest
from scripted_hub import ScriptedHub


@pytest.fixture
def hub(tmp_path):
    made = ScriptedHub(tmp_path / "hub")
    yield made
    made.shutdown()
    made.server_close()
