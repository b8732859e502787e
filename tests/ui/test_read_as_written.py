"""Letters that are written from right to left carry the numbers and signs beside them along: no character is hidden,
and yet code reads as other code. What a controller decides on is shown in the order in which it is written and run."""

from __future__ import annotations

import pytest
from enclave_federation import CONTROLLER, until
from enclave_scenario import COHORT
from lab_page import LabPage
from lab_server import LabServer

from flipnb.contracts.dataset import Dataset, Variable
from flipnb.contracts.desk import ApprovalPage
from flipnb.contracts.notebook import Cell, FrozenNotebook

ALEF, BET = "\u05d0", "\u05d1"
CODE = f"kept = {ALEF} - {BET}\nif '{ALEF}' < 5 and {BET} > 7:\n    '{BET}' # {ALEF} 12 ({BET})"

OUT_OF_ORDER = """
main => {
  const found = [], range = document.createRange(), walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    let last = null;
    for (let index = 0; index < node.data.length; index++) {
      range.setStart(node, index);
      range.setEnd(node, index + 1);
      const rect = range.getBoundingClientRect();
      if (!rect.width) continue;
      if (last && Math.abs(rect.top - last.top) < 3 && rect.left < last.left) { found.push(node.data); break; }
      last = rect;
    }
  }
  return found;
}
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


def test_what_is_approved_is_read_in_the_order_in_which_it_is_written(federation, browser, server):
    north = federation.trusts[0]
    named = {**COHORT["ConceptSets"][0], "name": f"{ALEF} 18 to 90 {BET}"}
    bundle, _ = federation.submit(
        nonce="b",
        title=f"{ALEF} 1 of 2 {BET}",
        cohort={**COHORT, "ConceptSets": [named]},
        dataset=Dataset(variables=(Variable(name="age", source="age", label=f"{BET} 5"),)),
        notebook=FrozenNotebook(
            cells=(
                Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
                Cell(id="b", type="code", source=CODE),
                Cell(id="m", type="markdown", source=CODE),
            )
        ),
    )
    digest = bundle.digest()
    until(lambda: north.waits_for(digest))
    north.read(digest, CONTROLLER)
    page = browser.new_page()
    page.goto(ApprovalPage.model_validate_json(north.post(f"/requests/{digest}/page", b"").content).url)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    main = page.locator("main")
    assert CODE in main.inner_text()
    assert main.evaluate(OUT_OF_ORDER) == []
    page.close()

    lab = LabPage(browser, server)
    lab.open()
    lab.command("flip:show-desk")
    lab.page.get_by_role("button", name=f"{ALEF} 1 of 2 {BET}").first.click()
    desk = lab.page.locator(".jp-FlipDesk:visible")
    desk.get_by_text("institution not given").wait_for()
    lab.page.evaluate("for (const one of document.querySelectorAll('.jp-FlipDesk details')) one.open = true")
    assert f"{ALEF} 18 to 90 {BET}" in desk.inner_text()
    assert desk.evaluate(OUT_OF_ORDER) == []
    for tab in ("Everything", "Code, 3 of 3 cells new"):
        desk.get_by_role("tab", name=tab).click()
        lab.page.evaluate("for (const one of document.querySelectorAll('.jp-FlipDesk details')) one.open = true")
        assert desk.evaluate(OUT_OF_ORDER) == []
    assert desk.locator(".jp-FlipLines").filter(has_text=CODE.splitlines()[0]).count() > 0
    lab.close()
