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

    page.command("flip:show-desk")
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Policy").click()
    page.page.get_by_role("row", name="counts.answer_seconds").wait_for()
    assert serious_findings(page.page, ".jp-FlipDesk") == []
    page.page.locator(".jp-FlipDesk").get_by_role("tab", name="Waiting").click()
    page.see("<b>Hostile</b> notebook", ".jp-FlipDesk")
    page.page.get_by_role("button", name="<b>Hostile</b> notebook").first.click()
    page.see("Nothing like it was approved here: all 4 cells are new.")
    page.see("<script>fetch('http://127.0.0.1:9/script')</script>", ".jp-FlipLines")
    for tab in ("Notebook", "Cohort", "Who"):
        page.page.get_by_role("tab", name=tab, exact=True).click()
    approve = page.page.get_by_role("button", name="Approve…")
    assert approve.is_disabled()
    page.page.get_by_role("tab", name="Leaves", exact=True).click()
    page.see("What would leave")
    page.see("Approved code can write what it reads into the weights")
    page.see("loss, accuracy, in 3 reports (counted)")
    page.see("Declared numbers: 72 bits in a run at most")
    assert serious_findings(page.page, ".jp-FlipDesk") == []

    approve.click()
    link = page.page.get_by_role("link", name="Open the approval page")
    assert link.get_attribute("rel") == "noopener noreferrer"
    with page.context.expect_page() as opened:
        link.click()
    approval = opened.value
    approval.get_by_text("Approved code can write what it reads into the weights").wait_for()
    approval.get_by_role("row", name="numbers 72").wait_for()
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
    page.see("approved", ".jp-FlipTable")
    page.page.get_by_role("button", name="Verify").click()
    page.page.locator(".jp-FlipView-note").get_by_text(re.compile("verified")).wait_for()
    page.page.wait_for_timeout(500)
    assert [url for url in strangers(page, server) if not url.startswith(origin)] == []
    assert page.errors == []


def test_no_script_of_jupyterlab_can_read_or_press_the_approval_page(federation, server, page):
    north = federation.trusts[0]
    bundle, run = federation.submit(nonce="8", title="Steal the approval")
    until(lambda: north.waits_for(bundle.digest()))
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
    page.page.get_by_role("tab", name="Leaves", exact=True).click()
    page.page.get_by_role("button", name="Approve…").click()
    with page.context.expect_page() as opened:
        page.page.get_by_role("link", name="Open the approval page").click()
    approval = opened.value
    approval.get_by_text("1 of 2 approvals (anna)").wait_for()
    approval.get_by_label("You are").select_option("ben")
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


def test_elsewhere_there_is_no_desk(tmp_path, federation):
    server = LabServer(tmp_path / "jupyter", tmp_path, tmp_path / "home")
    server.start()
    try:
        assert server.get("flipnb/desk").json() == {"status": None}
        assert server.get("flipnb/desk/requests").status_code == 404
    finally:
        server.end()
