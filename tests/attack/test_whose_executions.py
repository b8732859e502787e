"""What a data controller approved of one researcher is not another's to spend, whatever a hub relays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from enclave_federation import CONTROLLER
from enclave_scenario import Study
from hostile_hub import Scene, opened

from flipnb.contracts.desk import ApprovalPage, Signed
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.study import Researcher, Roster
from flipnb.contracts.task import TaskAnswer


@dataclass
class TwoResearchers(Study):
    """A second one of the same study, whom the Trust's membership names as well."""

    second: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def roster(self) -> Roster:
        known = super().roster
        other = Researcher(name="S. Econd", public_key=self.second.public_key)
        return known.model_copy(update={"researchers": (*known.researchers, other)})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened(tmp_path_factory.mktemp("whose")) as scene:
        one = scene.study
        scene.study = TwoResearchers(
            lock=one.lock, researcher=one.researcher, node=one.node, other=one.other, controller=one.controller
        )
        scene.trust.join(scene.study)
        yield scene


def put_by_second(scene: Scene, digest: str, nonce: str) -> tuple[str, TaskAnswer]:
    assert isinstance(scene.study, TwoResearchers)
    asked = scene.study.request(digest, nonce=nonce * 32, key=scene.study.second)
    return asked.run, scene.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())


def test_another_researcher_who_signs_the_approved_bytes_gets_none_of_the_executions(scene: Scene) -> None:
    """Every member of a study can read its bundles. Signed anew, the same bytes have the digest that was approved."""
    assert isinstance(scene.study, TwoResearchers)
    bundle = scene.bundle(title="Of the first")
    digest = bundle.digest()
    own, _ = scene.put(bundle, "1")
    assert scene.trust.approve(digest, executions=2).is_success

    scene.hub.bundles[digest] = scene.study.bundle_envelope(bundle, scene.study.second)
    run, answer = put_by_second(scene, digest, "2")
    assert answer.code == "other-signer"
    assert scene.hub.ask("start", run=run, members=scene.study.members()).code == "unknown-run"
    assert scene.trust.run_state(own) == "approved"
    (request,) = [one for one in scene.trust.get("/requests")["requests"] if one["bundle"] == digest]
    assert (request["researcher"], request["runs"], request["executions_left"]) == ("R. Esearcher", [own], 2)
    refused = [entry["details"] for entry in scene.trust.audit() if entry["kind"] == "request-refused"]
    assert ("other-signer", run) in [(entry["code"], entry["run"]) for entry in refused]

    scene.hub.bundles[digest] = scene.study.bundle_envelope(bundle)
    _, answer = scene.put(bundle, "3")
    assert answer.code is None


def test_nothing_is_approved_by_who_has_not_read_it_on_any_way(scene: Scene) -> None:
    """`flip enclave approve` notes what it showed; a program of the controller's that shows nothing has no such word.
    A ticket for a request that was read approves no other one, either."""
    trust, unread, seen = scene.trust, scene.bundle(title="Unread"), scene.bundle(title="Read")
    for bundle, nonce in ((unread, "4"), (seen, "5")):
        scene.put(bundle, nonce)
    answer = trust.approve(unread.digest(), read=False)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-opened")
    trust.read(unread.digest(), CONTROLLER, "brief")
    assert trust.approve(unread.digest(), read=False).json()["code"] == "not-opened"

    trust.read(seen.digest())
    page = ApprovalPage.model_validate(trust.post(f"/requests/{seen.digest()}/page", b"").json())
    ticket = page.url.rsplit("/", 1)[1]
    for code in ("other-bundle", "other-bundle"):  # the ticket is not used up
        sealed = scene.study.approval(
            unread.digest(), trust.status().policy_digest, estate_version=trust.status().estate_version
        )
        answer = trust.post(f"/tickets/{ticket}/approval", Signed(envelope=sealed.decode()))
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert trust.waits_for(unread.digest())
    assert not [entry for entry in trust.audit() if entry["kind"] == "approved" and unread.digest() in str(entry)]

    trust.read(unread.digest(), CONTROLLER, "code")
    assert trust.approve(unread.digest(), read=False).is_success


def test_a_request_that_comes_first_with_a_refused_run_is_in_the_audit_log_once_it_waits(scene: Scene) -> None:
    """With a first run beyond its space, a bundle was put before the controller of which no entry said that it came."""
    bundle = scene.bundle(title="Refused at first")
    beyond = scene.study.request(bundle.digest(), lr=2.0, nonce="6" * 32)
    assert scene.hub.ask("run", run=beyond.run, run_request=beyond.envelope.decode()).code is not None
    assert not scene.trust.waits_for(bundle.digest())
    for nonce in ("7", "8"):
        scene.put(bundle, nonce)
    assert scene.trust.waits_for(bundle.digest())
    received = [entry["details"] for entry in scene.trust.audit() if entry["kind"] == "request-received"]
    own = [one for one in received if one["bundle"] == bundle.digest()]
    assert own == [{"bundle": bundle.digest(), "researcher": scene.study.researcher.key_id}]
