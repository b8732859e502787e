"""What a hub may tell of a run with many rounds, and of a study with many runs; and where it would never end."""

import json
from datetime import UTC, datetime

import pytest
from scripted_hub import AUDIENCE, says

from flipnb.contracts.bundle import Environment
from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorOrder
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunView
from flipnb.federation.coordinator.hub_link import HubLink
from flipnb.link.exchange import DOCUMENT_BYTES
from flipnb.link.key_files import save_key
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.runs import list_runs

LONG = json.dumps({"trusts": ["a" * 64] * (DOCUMENT_BYTES // 64)}).encode()


@pytest.fixture
def home(hub, tmp_path):
    environment = Environment(name="standard", lock="0" * 64)
    configuration = Configuration(
        hub=hub.url, audience=AUDIENCE, ca=str(hub.ca), name="Researcher", environment=environment
    )
    (tmp_path / "home" / "keys").mkdir(parents=True)
    (tmp_path / "home" / "config.json").write_text(configuration.model_dump_json())
    save_key(SigningKey.generate(), tmp_path / "home" / "keys" / "researcher.pem")
    return Home(tmp_path / "home")


def test_a_record_of_many_rounds_is_read_by_its_researcher(hub, home):
    hub.answers = [says(200, LONG)]
    with HubClient.of(home) as client:
        assert client.get("/v1/runs/x/record") == LONG


def test_a_run_of_many_rounds_is_taken_up_by_its_coordinator(hub, tmp_path):
    save_key(SigningKey.generate(), tmp_path / "key.pem")
    order = CoordinatorOrder(
        hub_url=hub.url, audience=AUDIENCE, ca=str(hub.ca), run="a" * 32, work_dir=str(tmp_path),
        blobs=str(tmp_path), key=str(tmp_path / "key.pem"),
    )  # fmt: skip
    hub.answers = [says(200, LONG)]
    link = HubLink(order)
    assert len(link.tell(CoordinatorEvent(state="running"))) == DOCUMENT_BYTES // 64
    link.close()


def page(number, following):
    view = RunView(
        run=f"{number:032x}", study="heart", title="Run", bundle="0" * 64, researcher="0" * 64, point={},
        state="waiting", submitted=datetime(2026, 1, 1, tzinfo=UTC), rounds_done=0, rounds=1, trusts=(), last_event=1,
    )  # fmt: skip
    said = {"runs": [view.model_dump(mode="json")], "next": following and f"{following:032x}"}
    return says(200, json.dumps(said).encode())


def test_pages_that_lead_back_are_refused(hub, home):
    hub.answers = [page(1, 1), page(2, 2), page(3, None)]
    assert len(list_runs(home, "heart")) == 3
    hub.answers = [page(number, following) for number, following in [(1, 1), (2, 2), (1, 1), (4, None)]]
    with pytest.raises(FlipError) as caught:
        list_runs(home, "heart")
    assert caught.value.code == "endless-pages"
