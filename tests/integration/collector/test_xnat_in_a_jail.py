"""A collector in its jail asks an XNAT: its configuration is read, the doctor is told, a study comes whole."""

import json
from types import SimpleNamespace

import pytest
from xnat_server import serving
from xnat_server.samples import put

from flipnb.cli.images_xnat import site_script
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.doctor import _archives
from flipnb.enclave.collector.order import GoOn, LookAt, Order
from flipnb.enclave.collector.process import DIRECTORY, CollectorProcess
from flipnb.enclave.collector.quarantine import STORE, Quarantine
from flipnb.enclave.collector.store import PullStore, Wanted
from flipnb.enclave.sandbox.uids import collector_uid

pytestmark = pytest.mark.slow
STUDY = "1.2.826.0.1.3680043.10.1"


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "site") as one:
        put(one.archive, "CHEST", "S1", "S1_CR", STUDY, 2, 1, accession="A1")
        yield one


@pytest.fixture
def enclave(tmp_path, server):
    made = tmp_path / "enclave"
    (made / "logs").mkdir(parents=True)
    (made / "ca.pem").write_bytes(server.ca.read_bytes())
    (made / "token").write_text(":".join(server.accounts.issue("flip")))
    (made / "token").chmod(0o600)
    xnat = {"root": server.address, "project": "CHEST", "ca": "ca.pem", "credentials": "token"}
    (made / "collector.json").write_text(json.dumps({"xnat": {"research": {**xnat, "keep_free_gigabytes": 0}}}))
    return made


def told(enclave, order):
    return CollectorProcess(
        enclave, Order(order=order), uid=collector_uid(enclave), log=enclave / "logs" / "collector.log"
    ).told()


def test_a_study_comes_whole(enclave):
    store = PullStore(enclave / DIRECTORY / STORE)
    number = store.begin("a cohort", "research", "somebody", [Wanted(accession="A1", patients=("S1",))])
    assert told(enclave, GoOn(pull=number)).state == "done"
    (study,) = store.studies(number)
    assert (study.state, study.received, study.found_uid) == ("retrieved", 3, STUDY)
    quarantine = Quarantine(enclave / DIRECTORY)
    assert [len(quarantine.files(study.study, one.number)) for one in store.series(study.study)] == [2, 1]
    store.close()


def test_the_doctor_is_told_and_a_script_is_put_there(enclave, server, tmp_path):
    server.archive.unsecured.add("xnat:mgSessionData")
    looks = told(enclave, LookAt(pacs="research")).looks
    assert [look.good for look in looks] == [True, True, False]
    assert looks[1].detail.startswith("off")
    script = tmp_path / "site.das"
    script.write_text('version "6.3"\n- (0010,0010)\n')
    site_script(script, "research", enclave)
    assert server.site.script == script.read_text()
    findings = _archives(SimpleNamespace(directory=enclave))
    assert [(one.what, one.good) for one in findings] == [
        ("XNAT, research", True),
        ("XNAT's own anonymisation, research", True),
        ("XNAT's session types, research", False),
    ]
    assert findings[1].detail.startswith("on")
    with pytest.raises(FlipError, match="names no PACS"):
        told(enclave, LookAt(pacs="another"))
