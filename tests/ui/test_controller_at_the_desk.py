"""The data controller's journey in a browser, with a request and outputs full of hostile markup."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from enclave_federation import CONTROLLER, NOTEBOOK, PASSPHRASE, until
from lab_page import LabPage
from lab_server import LabServer

from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.enclave.setup import add_controller

HOSTILE = (
    "<script>fetch('http://127.0.0.1:9/script')</script>\n"
    "![x](http://127.0.0.1:9/markdown.png) <img src='http://127.0.0.1:9/img.png' onerror='document.title=1'>\n"
    "[click](javascript:alert(1)) <svg onload='alert(1)'></svg> <iframe src='http://127.0.0.1:9/frame'></iframe>"
)
SHOWS = """
from IPython.display import HTML, Javascript, Markdown, SVG, display
display(HTML("<script>fetch('http://127.0.0.1:9/html')</script><img src='http://127.0.0.1:9/out.png'>"))
display(Javascript("fetch('http://127.0.0.1:9/javascript')"))
display(Markdown("![x](http://127.0.0.1:9/output.png)"))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"))
print("\\x1b[31mred\\x1b[0m </pre><script>fetch('http://127.0.0.1:9/pre')</script> the patient's own words")
"""


@pytest.fixture(scope="module")
def server(federation, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    server = LabServer(
        tmp_path_factory.mktemp("jupyter"), root, root / "home", enclave=federation.trusts[0].enclave.directory
    )
    server.start()
    yield server
    server.end()


@pytest.fixture
def page(browser, server):
    lab = LabPage(browser, server)
    asked = []
    lab.context.on("request", lambda request: asked.append(request.url))
    lab.asked = asked
    lab.page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    yield lab.open()
    lab.close()


def hostile_notebook():
    return FrozenNotebook(
        cells=(
            Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
            Cell(id="m", type="markdown", source=HOSTILE),
            Cell(id="s", type="code", source=SHOWS.strip()),
            Cell(id="b", type="code", source=NOTEBOOK.strip().replace("PLACE", "pass")),
        )
    )


def strangers(lab, server):
    """Requests to anything but JupyterLab, the approval page, and what is part of a page."""
    own = urlsplit(server.url).netloc
    return [url for url in lab.asked if urlsplit(url).scheme in ("http", "https", "") and urlsplit(url).netloc != own]


def serious_findings(page, context):
    found = Axe().run(page, context=context)
    return [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]


def test_a_controller_reads_approves_and_looks_at_what_ran(federation, server, page):
    north, south = federation.trusts
    bundle, run = federation.submit(nonce="7", notebook=hostile_notebook(), title="<b>Hostile</b> notebook")
    digest = bundle.digest()
    until(lambda: north.waits_for(digest) and south.waits_for(digest))
    assert south.approve(digest).is_success

    page.page.locator(".jp-FlipDesk").get_by_role("heading", name="Desk at North").wait_for()  # without being asked for
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Policy").click()
    page.page.get_by_role("row", name="counts.answer_seconds").wait_for()
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Ended").click()
    assert page.page.locator(".jp-FlipDesk").get_by_text("awaiting approval").count() == 0
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Waiting").click()
    page.see("<b>Hostile</b> notebook", ".jp-FlipDesk")
    page.page.get_by_role("button", name="<b>Hostile</b> notebook").first.click()
    desk = page.page.locator(".jp-FlipDesk:visible")
    page.see("institution not given")
    approve = page.page.get_by_role("button", name="Approve…")
    page.see("Brief not read to its end. Code not opened yet.")
    page.page.locator(".jp-FlipBrief-end").scroll_into_view_if_needed()
    page.see("Brief read. Code not opened yet.")
    assert approve.is_disabled()
    assert north.post(f"/requests/{digest}/page", b"").json()["code"] == "not-opened"
    page.see("Approved code can write anything it reads into the 3 weights")
    page.page.get_by_role("row", name="accuracy 3 times").wait_for()
    page.see("Declared numbers: 72 bits in a run at most")
    page.page.get_by_text("The cohort in sentences").click()
    page.see("People enter on any of these, observed for 0 days before and 0 days after")
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    page.page.get_by_role("tab", name="Everything", exact=True).click()
    page.page.get_by_text("Training", exact=True).last.click()
    page.see("rounds of FedAvg")
    assert "{" not in desk.inner_text()
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    page.page.get_by_role("tab", name="Code, 4 of 4 cells new").click()
    page.see("Nothing like it was approved here: all 4 cells are new.")
    page.see("<script>fetch('http://127.0.0.1:9/script')</script>", ".jp-FlipLines")
    page.see("Exactly this bundle, until")
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    opened = [entry["details"]["part"] for entry in north.audit() if entry["kind"] == "opened"]
    assert opened == ["brief", "code"]

    approve.click()
    link = page.page.get_by_role("link", name="Open the approval page")
    assert link.get_attribute("rel") == "noopener noreferrer"
    with page.context.expect_page() as opened:
        link.click()
    approval = opened.value
    approval.get_by_text("Approved code can write anything it reads into the 3 weights").wait_for()
    approval.get_by_role("row", name="accuracy 3 times").wait_for()
    approval.get_by_text("The cohort in sentences").click()
    approval.get_by_text("People enter on any of these").first.wait_for()
    assert approval.evaluate("document.scripts.length") == 0
    assert serious_findings(approval, "main") == []
    approval.get_by_label("Your passphrase").fill("wrong")
    approval.get_by_role("button", name="Approve").click()
    approval.get_by_text("The passphrase is wrong").wait_for()
    approval.get_by_label("Your passphrase").fill(PASSPHRASE)
    approval.get_by_role("button", name="Approve").click()
    approval.get_by_role("heading", name="Approved", exact=True).wait_for()
    assert approval.evaluate("window.opener") is None
    origin = f"{urlsplit(approval.url).scheme}://{urlsplit(approval.url).netloc}"
    approval.close()
    page.page.get_by_role("button", name="Close").click()

    federation.reaches(run.run, "succeeded", seconds=180)
    page.command("flip:show-desk")
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Ended").click()
    page.page.get_by_role("button", name="Executed Notebook").first.click()
    frame = page.page.frame_locator(".jp-FlipExecuted-frame")
    frame.locator("pre.stdout").get_by_text("the patient's own words").wait_for()
    assert page.page.locator(".jp-FlipExecuted-frame").get_attribute("sandbox") == ""
    frame.get_by_text("text/html").first.wait_for()

    page.command("flip:open-audit")
    log = page.page.locator(".jp-FlipLog")
    log.get_by_text(f"approved by {CONTROLLER} for 1 run").first.wait_for()
    line = log.get_by_text(re.compile(r"<b>Hostile</b> notebook · lr [\d.]+: 3 answers to rounds left here"))
    line.wait_for()
    assert line.count() == 1
    line.click()
    log.get_by_text("a run started with 2 Trusts").first.click()
    log.get_by_text('"kind":"run-started"').first.wait_for()
    page.page.get_by_role("tab", name=re.compile("Looks")).click()
    log.get_by_text(f"{CONTROLLER} opened the code of request").first.wait_for()
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    page.page.get_by_role("button", name="Verify").click()
    page.page.locator(".jp-FlipView-note").get_by_text(re.compile("Whole and unchanged")).wait_for()
    page.page.wait_for_timeout(500)
    assert [url for url in strangers(page, server) if not url.startswith(origin)] == []
    assert page.errors == []


def test_no_script_of_jupyterlab_can_read_or_press_the_approval_page(federation, server, page):
    north = federation.trusts[0]
    bundle, run = federation.submit(nonce="8", title="Steal the approval")
    until(lambda: north.waits_for(bundle.digest()))
    north.read(bundle.digest())
    url = north.post(f"/requests/{bundle.digest()}/page", b"").json()["url"]
    form = {
        "bundle": bundle.digest(),
        "executions": "1",
        "days": "1",
        "controller": CONTROLLER,
        "passphrase": PASSPHRASE,
    }
    steal = """async ([url, form]) => {
        const seen = [];
        try { seen.push((await (await fetch(url)).text()).length); } catch { seen.push('not read'); }
        try {
            await fetch(url, {method: 'POST', mode: 'no-cors', body: new URLSearchParams(form)});
        } catch { seen.push('not sent'); }
        const frame = document.createElement('iframe');
        frame.src = url;
        document.body.append(frame);
        await new Promise(resolve => { frame.onload = resolve; setTimeout(resolve, 3000); });
        try { seen.push(frame.contentDocument.body.innerText.includes('passphrase')); }
        catch { seen.push('not framed'); }
        return seen;
    }"""
    seen = page.page.evaluate(steal, [url, form])
    assert seen[0] == "not read"
    assert seen[-1] in ("not framed", False)
    assert north.waits_for(bundle.digest())
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_the_second_controller_sees_who_has_approved(federation, server, page):
    """Two people, one after the other; the desk says how many of two have approved, and who."""
    north = federation.trusts[0]
    add_controller(north.enclave, "ben", "battery staple")
    policy = north.enclave.policy_file.read_bytes()
    north.enclave.policy_file.write_text(json.dumps(json.loads(policy) | {"approvals": 2}))
    bundle, run = federation.submit(nonce="9", title="Four eyes")
    until(lambda: north.waits_for(bundle.digest()))
    assert north.approve(bundle.digest()).is_success

    page.command("flip:show-desk")
    page.see("waiting, 1 of 2 approvals", ".jp-FlipDesk")
    page.see("approved by anna", ".jp-FlipDesk")
    page.page.get_by_role("button", name="Four eyes").first.click()
    page.see("Say who you are.")
    page.page.get_by_label("You are").select_option("ben")
    page.page.locator(".jp-FlipBrief-end").scroll_into_view_if_needed()
    page.see("Brief read. Code not opened yet.")
    page.page.get_by_role("tab", name=re.compile("^Code")).click()
    page.see(f"1 of 2: {CONTROLLER}")
    page.page.get_by_role("button", name="Approve…").click()
    with page.context.expect_page() as opened:
        page.page.get_by_role("link", name="Open the approval page").click()
    approval = opened.value
    approval.get_by_text("1 of 2 approvals (anna)").wait_for()
    approval.get_by_label("You are").select_option("ben")  # both have read it by now
    approval.get_by_label("Your passphrase").fill("battery staple")
    assert serious_findings(approval, "main") == []
    approval.get_by_role("button", name="Approve").click()
    approval.get_by_text("2 of 2 approvals (anna, ben)").wait_for()
    approval.close()
    page.page.get_by_role("button", name="Close").click()
    page.see("approved, 1 run left", ".jp-FlipDesk")
    assert page.errors == []
    north.enclave.policy_file.write_bytes(policy)
    federation.ask("POST", f"/v1/runs/{run.run}/stop")


def test_a_new_request_is_announced_until_it_is_opened(federation, server, page):
    """A notice that stays, a count in the status bar and in the tab's title; J and K go through what waits."""
    north = federation.trusts[0]
    for left in north.get("/requests")["requests"]:
        if left["state"] == "waiting":
            north.decline(left["bundle"], "only a test")
    page.page.locator(".Toastify__toast").wait_for(state="detached")
    page.command("flip:open-audit")
    page.see("Tree head (RFC 6962)")
    bundle, run = federation.submit(nonce="c", title="Announced")
    until(lambda: north.waits_for(bundle.digest()))
    toast = page.page.locator(".Toastify__toast")
    toast.get_by_text("asks: Announced").wait_for()
    page.page.get_by_role("button", name=re.compile("FLIP: .* for you")).wait_for()
    toast.get_by_role("button", name="Open Request").click()
    page.see("Announced", ".jp-FlipDesk h2")
    toast.wait_for(state="detached")
    page.command("flip:show-desk")
    page.page.locator(".lm-TabBar-tabLabel", has_text=re.compile(r"^Desk \(\d+\)$")).wait_for()
    other, second = federation.submit(nonce="b", title="And another")
    until(lambda: north.waits_for(other.digest()))
    page.see("And another", ".jp-FlipDesk")
    assert toast.count() == 0  # what is on screen is not announced
    page.command("flip:open-request", bundle=bundle.digest())
    for key, title in (("k", "And another"), ("j", "Announced")):
        page.page.locator(".jp-FlipDesk:visible .jp-FlipTabs-panel").focus()
        page.page.keyboard.press(key)
        page.page.locator(".jp-FlipDesk:visible h2", has_text=title).wait_for()
    for one in (bundle, other):
        north.decline(one.digest(), "only a test")
    page.see("Declined: only a test", ".jp-FlipDesk:visible")
    assert page.errors == []
    for one in (run, second):
        federation.reaches(one.run, "failed")


def test_elsewhere_there_is_no_desk(tmp_path, federation):
    server = LabServer(tmp_path / "jupyter", tmp_path, tmp_path / "home")
    server.start()
    try:
        assert server.get("flipnb/desk").json() == {"status": None}
        assert server.get("flipnb/desk/requests").status_code == 404
    finally:
        server.end()
