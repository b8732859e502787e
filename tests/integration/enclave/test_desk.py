"""The controller in a browser: approve on the agent's own page, look at what was executed, hear what is new."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from approval_tab import ApprovalTab
from enclave_federation import CONTROLLER, PASSPHRASE, Federation, Trust, until

from flipnb.contracts.desk import DeskRevision, RequestDetail, ShownNotebook, Signed
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.envelope import MEMBERSHIP, seal
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Membership
from flipnb.enclave.desk.approval_pages import ApprovalPages
from flipnb.enclave.setup import add_controller, remove_controller
from flipnb.link.desk import DeskClient, desk

PLACE = "print('\\x1b[31mfirst patient\\x1b[0m', data.train.frame().iloc[0].to_dict())"


def test_a_controller_approves_on_the_agents_own_page(federation: Federation) -> None:
    north, south = federation.trusts
    bundle, run = federation.submit(nonce="d", place=PLACE, title="A <b>bold</b> title")
    digest = bundle.digest()
    for trust in federation.trusts:
        until(lambda trust=trust: trust.waits_for(digest))
    detail = RequestDetail.model_validate(north.get(f"/requests/{digest}"))
    assert any(PLACE in line.text for cell in detail.changes.cells for line in cell.lines)

    unread = north.post(f"/requests/{digest}/page", b"")
    assert (unread.status_code, unread.json()["code"]) == (409, "not-opened")
    north.read(digest, CONTROLLER, "brief")
    assert north.post(f"/requests/{digest}/page", b"").status_code == 409

    page = ApprovalTab(north, digest)
    shown = until(page.look)
    assert digest in shown.text
    assert "A &lt;b&gt;bold&lt;/b&gt; title" in shown.text
    assert "<script" not in shown.text
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cross-origin-opener-policy"] == "same-origin"

    assert "autofocus" not in shown.text  # it would open scrolled past what would leave

    assert page.press("wrong passphrase").status_code == 403
    assert page.press(PASSPHRASE, origin="http://127.0.0.1:8888").status_code == 403
    assert page.press(PASSPHRASE, sec_fetch_site="cross-site").status_code == 403
    assert page.press(PASSPHRASE, host="evil.example").status_code == 421
    assert page.press(PASSPHRASE, bundle="0" * 64).status_code == 409
    assert page.look(sec_fetch_mode="cors", sec_fetch_site="cross-site").status_code == 403
    crowded = page.press(PASSPHRASE, fields=20)
    assert (crowded.status_code, crowded.headers["x-frame-options"]) == (422, "DENY")
    assert north.waits_for(digest)

    assert "has approved" in page.press(PASSPHRASE).text
    assert not north.waits_for(digest)
    assert page.press(PASSPHRASE).status_code == 404  # the ticket is used
    assert "approved" in {entry["kind"] for entry in north.audit()}

    assert south.approve(digest).is_success
    federation.reaches(run.run, "succeeded", seconds=120)
    shown_notebook = ShownNotebook.model_validate(until(lambda: _shown(north, run.run)))
    texts = [output.text or "" for cell in shown_notebook.cells for output in cell.outputs]
    assert any(text.startswith("first patient") for text in texts)

    again, _ = federation.submit(nonce="e", place="pass", title="A <b>bold</b> title")
    until(lambda: north.waits_for(again.digest()))
    changes = RequestDetail.model_validate(north.get(f"/requests/{again.digest()}")).changes
    assert changes.since == digest
    assert [cell.kind for cell in changes.cells] == ["same", "changed"]
    for trust in federation.trusts:
        trust.decline(again.digest(), "only a test")


def _shown(trust: Trust, run: str) -> object:
    answer = trust.desk.get(f"/runs/{run}/shown")
    return answer.json() if answer.is_success else None


def test_a_hundred_wrong_passphrases_are_five_tries_and_five_entries(federation: Federation) -> None:
    """On as many pages as one likes; another controller approves meanwhile."""
    north = federation.trusts[0]
    add_controller(north.enclave, "guessed", PASSPHRASE)
    bundle, run = federation.submit(nonce="f", title="Guessing")
    digest = bundle.digest()
    until(lambda: north.waits_for(digest))
    before = len(north.audit())
    until(ApprovalTab(north, digest, "guessed").look)
    texts = []
    for guess in range(0, 100, 2):
        page = ApprovalTab(north, digest, "guessed")
        texts += [page.press(f"guess {guess}").text, page.press(f"guess {guess + 1}").text]
    assert all("The passphrase is wrong" in text for text in texts[:5])
    assert all("was wrong 5 times" in text for text in texts[5:])
    refused = ApprovalTab(north, digest, "guessed").press(PASSPHRASE)
    assert (refused.status_code, "Try again in" in refused.text) == (403, True)

    def wrong() -> list[str]:
        found = (entry for entry in north.audit()[before:] if entry["kind"] == "passphrase-wrong")
        return [entry["details"]["controller"] for entry in found]

    assert wrong() == ["guessed"] * 5
    assert north.waits_for(digest)
    for name in ("guessed", CONTROLLER):
        north.read(digest, name)
    (north.enclave.directory.parent / "wrong").write_text("a wrong one")
    for name, said in (("guessed", "was wrong 5 times"), (CONTROLLER, "does not open with this passphrase")):
        told = subprocess.run(
            [
                sys.executable, "-m", "flipnb.cli.main", "enclave", "approve", digest, "--yes", "--controller", name,
                "--enclave", os.fspath(north.enclave.directory),
                "--passphrase-file", os.fspath(north.enclave.directory.parent / "wrong"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert told.returncode != 0
        assert said in told.stderr
    assert wrong() == ["guessed"] * 5 + [CONTROLLER]
    remove_controller(north.enclave, "guessed")
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_ten_thousand_pages_are_sixty_four_and_the_oldest_open_no_more(federation: Federation) -> None:
    north = federation.trusts[0]
    bundle, run = federation.submit(nonce="0", title="Tickets")
    until(lambda: north.waits_for(bundle.digest()))
    pages = ApprovalPages(north.enclave.desk_socket, north.enclave.keys)
    urls = [pages.issue(bundle.digest()).url for _ in range(10_000)]
    opening = []
    for url in urls:
        try:
            opening.append(pages.bundle(url.rsplit("/", 1)[1]))
        except FlipError as error:
            assert error.code == "no-ticket"
    assert opening == [bundle.digest()] * 64
    assert pages.bundle(urls[-1].rsplit("/", 1)[1]) == bundle.digest()
    pages.close()
    tabs = [ApprovalTab(north, bundle.digest()) for _ in range(70)]
    assert [tab.look().status_code for tab in (tabs[0], tabs[-1])] == [404, 200]
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_the_page_comes_back_and_never_outlives_its_agent(federation: Federation) -> None:
    north = federation.trusts[0]
    assert north.process is not None
    (first,) = _pages(north.process.pid)
    os.kill(first, signal.SIGKILL)
    until(lambda: _pages(north.process.pid) not in ([], [first]))
    (second,) = _pages(north.process.pid)
    north.end(signal.SIGKILL)
    until(lambda: not Path(f"/proc/{second}").exists())
    north.start()
    north.ready()


def test_a_membership_with_a_key_for_which_anybody_can_sign_is_refused(federation: Federation) -> None:
    """Signed by the controller, who compared fingerprints: a fingerprint says nothing of the point's order."""
    north = federation.trusts[0]
    roster = federation.study.roster
    membership = Membership(roster=roster, trust=north.node.key_id, joined=datetime.now(UTC)).model_dump(mode="json")
    neutral = base64.b64encode((1).to_bytes(32, "little")).decode()
    membership["roster"]["researchers"].append({"name": "Anybody", "public_key": neutral})
    sealed = seal(canonical_bytes(membership), MEMBERSHIP, north.controller).decode()
    answer = north.post("/memberships", Signed(envelope=sealed))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-document")
    assert "researchers" in answer.json()["message"]
    assert "small order" in answer.json()["message"]
    assert north.status().studies == ("heart",)


def _pages(agent: int) -> list[int]:
    children = Path(f"/proc/{agent}/task").glob("*/children")
    found = [int(child) for file in children for child in file.read_text().split()]
    return [pid for pid in found if "approval_page" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_whoever_listens_hears_of_changes(federation: Federation) -> None:
    north = federation.trusts[0]
    with desk(north.enclave.directory) as client:
        before = client.get("/changes", DeskRevision)
        assert _changes(client, before, 0.3) == before
        bundle, run = federation.submit(nonce="a", title="News")
        until(lambda: _new(client, before) == {"requests", "runs", "audit"})
        until(lambda: north.waits_for(bundle.digest()))
        federation.ask("POST", f"/v1/runs/{run.run}/stop")


def _changes(client: DeskClient, before: DeskRevision, wait: float) -> DeskRevision:
    known = "&".join(f"{name}={number}" for name, number in before)
    return client.get(f"/changes?{known}&wait={wait}", DeskRevision)


def _new(client: DeskClient, before: DeskRevision) -> set[str]:
    known, found = dict(before), _changes(client, before, 5)
    return {name for name, number in found if number != known[name]}
