"""A controller goes through two hundred held images by keyboard; hostile words in them stay words."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from axe_playwright_python.sync_playwright import Axe
from enclave_federation import CONTROLLER, until
from lab_page import DARK, LIGHT, LabPage
from lab_server import LabServer
from PIL import Image

from flipnb.estate.imaging.burned_in import FoundText
from flipnb.estate.imaging.quarantine import Quarantine, Reason

MANY = 201
HOSTILE = "<img src=x onerror='document.title=1'> [a](javascript:alert(1))"


def drawn(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (320, 240), shade % 256).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def store(federation, tmp_path_factory):
    """Two hundred and one images of the first Trust; the second of them not only by its pixels."""
    folder = tmp_path_factory.mktemp("images")
    store = Quarantine(federation.trusts[0].enclave.estate / "images" / "quarantine")
    for number in range(MANY):
        file = folder / "image.dcm"
        file.write_bytes(b"%d" % number)
        texts = (FoundText(0, (10, 20, 110, 40), HOSTILE if number == 0 else "OKAFOR", 0.9),)
        reasons = [Reason("(0018,1030)", "name")] if number == 1 else [Reason("pixels", "text was found in its pixels")]
        store.hold(file, reasons, texts=() if number == 1 else texts, kind="CR", person=f"P{number:04d}",
                   pictures={0: drawn(number)} if number != 2 else {})  # fmt: skip
    return store


@pytest.fixture
def page(browser, federation, store, tmp_path):
    server = LabServer(
        tmp_path / "jupyter", tmp_path, tmp_path / "home", enclave=federation.trusts[0].enclave.directory
    )
    server.start()
    lab = LabPage(browser, server)
    yield lab.open()
    lab.close()
    server.end()


def serious_findings(page):
    found = Axe().run(page, context=".jp-FlipDesk:not(.lm-mod-hidden *)")
    return [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]


def test_two_hundred_images_by_keyboard(federation, store, page):
    north = federation.trusts[0]
    page.page.locator(".lm-TabBar-tabLabel", has_text=f"Desk ({MANY})").wait_for()
    page.page.get_by_role("button", name=f"Held Images {MANY}").click()
    view = page.page.locator(".jp-FlipDesk:visible")
    view.get_by_text(f"{MANY} images wait").wait_for()
    view.get_by_text(HOSTILE).wait_for()
    picture = view.get_by_role("img", name="Frame 1, 1 text in a box")
    assert picture.get_attribute("src").startswith("blob:")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    for theme in (DARK, LIGHT):
        page.theme(theme)
        assert serious_findings(page.page) == []

    keys = page.page.keyboard
    view.get_by_role("listbox").focus()
    keys.press("b")
    view.get_by_text("Left in its header at (0018,1030): name.").wait_for()
    assert view.get_by_role("button", name="Blank Text (B)").is_disabled()
    keys.press("b")
    keys.press("x")
    view.get_by_text("This image could not be drawn.").wait_for()
    keys.press("z")
    view.get_by_text("Image 2 of 200 on this page: CR, waits").wait_for()
    for _ in range(199):
        keys.press("r")
    view.get_by_text("1 image waits").wait_for()
    until(lambda: store.numbers().waiting == 1)
    made = Counter(held.decided.decision for held in store.page(most=MANY) if held.decided)
    assert made == {"blank": 1, "release": 199}
    said = [entry["details"] for entry in north.audit() if entry["kind"] == "image-decided"]
    assert Counter(one["decision"] for one in said) == {"blank": 1, "refuse": 1, "withdraw": 1, "release": 199}
    assert {one["controller"] for one in said} == {CONTROLLER}

    view.get_by_role("button", name="Next page").click()
    view.get_by_text("Image 1 of 1 on this page: CR, waits").wait_for()
    page.page.keyboard.press("x")
    view.get_by_text("0 images wait").wait_for()
    page.page.locator(".lm-TabBar-tabLabel", has_text="Desk").first.wait_for()
    assert page.page.title() != "1" and page.errors == []
    page.command("flip:open-audit")
    page.page.get_by_role("tab", name="Images 203").click()
    page.see(f"{CONTROLLER} released held image")
    store.take()
    page.command("flip:show-images")
    view.get_by_role("button", name="Previous page").click()
    view.get_by_text("A load carries this decision out.").wait_for()
    assert view.get_by_role("button", name="Refuse (X)").is_disabled()
