"""``flip images held --in``: out of an estate's directory, which gets nothing by being looked at."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from flipnb.cli.main import app
from flipnb.estate.imaging.burned_in import FoundText
from flipnb.estate.imaging.quarantine import Quarantine, Reason


def flip(*more: str) -> tuple[int, str]:
    told = CliRunner().invoke(app, ["images", "held", *more])
    return told.exit_code, told.stdout


def test_what_an_estate_holds_back_is_listed(tmp_path: Path) -> None:
    estate = tmp_path / "estate"
    assert flip("--in", str(estate))[0] != 0
    estate.mkdir()
    assert flip("--in", str(estate)) == (0, "0 images waiting, 0 decided and not carried out yet.\n")
    assert list(estate.iterdir()) == []
    store, ids = Quarantine(estate / "images" / "quarantine"), []
    for number in range(3):
        file = tmp_path / "image.dcm"
        file.write_bytes(b"%d" % number)
        ids.append(
            store.hold(file, [Reason("pixels", "text")], texts=[FoundText(0, (1, 2, 3, 4), "\x1b[31mOKAFOR", 1)])
        )
    store.decide(ids[1], "release", "anna")
    store.decide(ids[2], "refuse", "anna")
    store.carried_out(ids[2])
    code, told = flip("--in", str(estate))
    assert code == 0 and told.startswith("1 image waiting, 1 decided and not carried out yet.")
    assert "\x1b" not in told and ids[0][:12] in told and ids[2][:12] not in told
    listed = json.loads(flip("--in", str(estate), "--json")[1])
    assert [(one["image"], one["decision"], one["controller"]) for one in listed] == [
        (ids[0], None, None),
        (ids[1], "release", "anna"),
    ]
