"""Images that are held back, at a real enclave's desk: seen, decided, taken back, and all of it in the audit log."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from enclave_federation import CONTROLLER, Federation, Trust
from PIL import Image, PngImagePlugin

from flipnb.contracts.held_images import HeldImage, HeldImages
from flipnb.estate.imaging.burned_in import FoundText
from flipnb.estate.imaging.quarantine import Quarantine, Reason

NAME = "OKAFOR <b>N</b> \u202e12/03/61"
MANY = 450
IN_PIXELS = Reason("pixels", "text was found")


@pytest.fixture
def north(federation: Federation) -> Trust:
    return federation.trusts[0]


@pytest.fixture
def store(north: Trust) -> Iterator[Quarantine]:
    folder = north.enclave.estate / "images" / "quarantine"
    yield Quarantine(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def drawn(**text: str) -> bytes:
    """A PNG, with text beside its pixels."""
    file, beside = io.BytesIO(), PngImagePlugin.PngInfo()
    for key, value in text.items():
        beside.add_text(key, value)
    Image.new("L", (64, 48), 90).save(file, "PNG", pnginfo=beside)
    return file.getvalue()


def hold(store: Quarantine, folder: Path, number: int, reason: Reason = IN_PIXELS) -> str:
    file = folder / "image.dcm"
    file.write_bytes(b"%d" % number)
    texts = (FoundText(0, (4, 5, 40, 12), NAME, 0.9),) if reason.where == "pixels" else ()
    return store.hold(file, [reason], texts=texts, kind="CR", person="P04", pictures={0: drawn(Comment=NAME)})


def decide(north: Trust, image: str, decision: str, controller: str = CONTROLLER) -> tuple[int, dict]:
    answer = north.post(f"/images/{image}/decision", json.dumps({"controller": controller, "decision": decision}))
    return answer.status_code, answer.json()


def decisions(north: Trust) -> list[tuple[str, str, str]]:
    found = [entry["details"] for entry in north.audit() if entry["kind"] == "image-decided"]
    return [(one["image"], one["decision"], one["controller"]) for one in found]


def test_an_estate_without_images_holds_none_and_gets_no_folder(north: Trust) -> None:
    assert HeldImages.model_validate(north.get("/images")) == HeldImages(images=(), waiting=0, decided=0)
    assert north.desk.get(f"/images/{'0' * 64}").status_code == 404
    assert north.status().images_waiting == 0
    assert not (north.enclave.estate / "images" / "quarantine").exists()


def test_an_image_is_seen_decided_and_taken_back(north: Trust, store: Quarantine, tmp_path: Path) -> None:
    image, other = hold(store, tmp_path, 1), hold(store, tmp_path, 2, Reason("(0018,1030)", "name"))
    before = len(decisions(north))
    page = HeldImages.model_validate(north.get("/images"))
    assert (page.waiting, page.decided, [one.image for one in page.images]) == (2, 0, [image, other])
    assert north.status().images_waiting == 2
    first = page.images[0]
    assert first.reasons == ("In its pixels: text was found.",) and first.texts[0].box == (4, 5, 40, 12)
    assert "\u202e" not in first.texts[0].text, "what turns text round is not shown"

    answer = north.desk.get(f"/images/{image}/picture?frame=0")
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert b"OKAFOR" not in answer.content and Image.open(io.BytesIO(answer.content)).size == (64, 48)
    for wrong in ("1", "-1", "a", "9" * 30):
        assert north.desk.get(f"/images/{image}/picture?frame={wrong}").status_code in (400, 404)

    assert decide(north, image, "release", "nobody")[0] == 404
    assert north.desk.get("/images/..%2F..%2Fkeys%2Fnode/picture").status_code == 404
    assert decide(north, other, "blank")[1]["code"] == "cover-not-enough"
    assert decide(north, image, "keep")[0] >= 400
    assert len(decisions(north)) == before
    for decision in ("release", "release", "withdraw", "refuse", "withdraw", "blank"):
        status, said = decide(north, image, decision)
        assert status == 200, said
    assert HeldImage.model_validate(said).controller == CONTROLLER
    made = [(image, word, CONTROLLER) for word in ("release", "withdraw", "refuse", "withdraw", "blank")]
    assert decisions(north)[before:] == made
    told = [line["text"] for line in north.get("/audit/lines?group=images")["lines"]][:2]
    assert told == [
        f"{CONTROLLER} released held image {image[:8]}… with 1 place covered",
        f"{CONTROLLER} took back the decision about held image {image[:8]}…",
    ]
    store.take()  # a load begins
    assert decide(north, image, "withdraw")[1]["code"] == "being-carried-out"
    assert HeldImage.model_validate(north.get(f"/images/{image}")).final
    assert len(decisions(north)) == before + len(made), "what was refused is no decision"
    assert "OKAFOR" not in json.dumps(north.audit())


def test_hundreds_come_page_by_page(north: Trust, store: Quarantine, tmp_path: Path) -> None:
    held = [hold(store, tmp_path, number) for number in range(MANY)]
    seen: list[str] = []
    sizes = []
    while page := HeldImages.model_validate(north.get(f"/images?after={seen[-1] if seen else ''}")).images:
        seen += [one.image for one in page]
        sizes.append(len(page))
    assert (sizes, seen) == ([200, 200, 50], held)


def test_in_a_terminal(north: Trust, store: Quarantine, tmp_path: Path) -> None:
    image = hold(store, tmp_path, 1)
    assert "1 image waiting" in flip("held", north) and "OKAFOR <b>N</b>" in flip("held", north)
    assert json.loads(flip("held", north, "--json"))[0]["image"] == image
    assert flip("held", north, "--in", str(north.enclave.estate)) == flip("held", north)
    flip("decide", north, image[:10], "release", "--picture", str(tmp_path / "look.png"))
    assert Image.open(tmp_path / "look.png").size == (64, 48)
    assert store.get(image).decided is None
    assert "to be refused by the next load" in flip("decide", north, image[:10], "refuse")
    assert "waits again" in flip("decide", north, image, "withdraw")
    assert [one[1] for one in decisions(north) if one[0] == image][-2:] == ["refuse", "withdraw"]


def flip(command: str, north: Trust, *more: str) -> str:
    told = subprocess.run(
        [sys.executable, "-m", "flipnb.cli.main", "images", command, *more, "--enclave",
         os.fspath(north.enclave.directory)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout
