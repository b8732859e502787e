"""Modules and weights that go with a bundle: at the hub, before the controller, in the kernel, in the results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from approval_tab import ApprovalTab
from enclave_federation import PASSPHRASE, Federation, Trust, until
from enclave_scenario import SPEC, sha
from safetensors.numpy import load, save

from flipnb.cli.desk_text import show_request
from flipnb.contracts.approval import Approval
from flipnb.contracts.attached import AttachedFile
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import RequestDetail
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunView
from flipnb.link.key_files import save_key
from flipnb.workbench.bundles_plan import plan_of_bundle
from flipnb.workbench.home import Configuration, Home
from flipnb.workbench.results import results_of
from flipnb.workbench.submission import run_again

MODEL = """import numpy as np


def step(weights, pretrained, lr):
    weights["weight"] += np.float32(lr) * pretrained
"""
PRETRAINED = save({"layer.weight": np.array([[1, 2]], np.float32)}, {"format": "np"})
NOTEBOOK = """
import json, os, sys
import numpy as np
import flipnb as flip
import model
from safetensors.numpy import load_file
place = flip.file("pretrained.safetensors")
assert sorted(os.listdir(place.parent)) == ["model.py", "pretrained.safetensors"]
assert str(place.parent) == "/bundle" and sys.path[-1] == "/bundle"
for name in ("model.py", "pretrained.safetensors", "json.py"):
    for how in ("a", "w", "x"):
        try:
            open(place.parent / name, how)
        except OSError:
            continue
        raise SystemExit(f"{name} could be written")
for change in (os.unlink, lambda path: os.chmod(path, 0o777), lambda path: os.rename(path, "/bundle/x.py")):
    try:
        change("/bundle/model.py")
    except OSError:
        continue
    raise SystemExit("it could be changed")
pretrained = load_file(place)["layer.weight"]
weights = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32), "layer": pretrained.copy()}
for rnd in flip.rounds(weights, exclude="layer"):
    if rnd.training:
        model.step(weights, pretrained, lr)
    rnd.report(loss=0.5, accuracy=0.75)
assert (weights["layer"] == pretrained).all()
"""


def cells(*more: str) -> FrozenNotebook:
    return FrozenNotebook(
        cells=(
            Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",)),
            Cell(id="files", type="code", source=NOTEBOOK.strip()),
            *(Cell(id=f"m{number}", type="code", source=source) for number, source in enumerate(more)),
        )
    )


def files(model: str = MODEL) -> tuple[AttachedFile, ...]:
    return tuple(
        AttachedFile(name=name, sha256=sha(content), size=len(content))
        for name, content in (("model.py", model.encode()), ("pretrained.safetensors", PRETRAINED))
    )


def submit(federation: Federation, nonce: str, model: str = MODEL, **changes: Any) -> tuple[Bundle, RunView]:
    for content in (model.encode(), PRETRAINED):
        federation.ask("PUT", f"/v1/blobs/{sha(content)}?study=heart", content)
    return federation.submit(**{"nonce": nonce, "notebook": cells(), "files": files(model)} | changes)


def detail(trust: Trust, bundle: str) -> RequestDetail:
    until(lambda: trust.waits_for(bundle), 120)
    return RequestDetail.model_validate(trust.get(f"/requests/{bundle}"))


def test_a_run_with_a_module_and_weights(federation: Federation, tmp_path: Path) -> None:
    north, south = federation.trusts
    bundle, run = submit(federation, "1")
    shown = detail(north, bundle.digest())
    assert [one.file for one in shown.files] == list(bundle.files)
    assert shown.files[0].source == MODEL
    assert [(tensor.name, tensor.shape) for tensor in shown.files[1].tensors] == [("layer.weight", (1, 2))]
    assert any("The module model.py: code of 5 lines" in one.text for one in shown.brief.beside)
    assert any("The weights pretrained.safetensors: 2 numbers in 1 tensor" in one.text for one in shown.brief.beside)
    (section,) = [one for one in shown.brief.everything if one.title == "Images, tables and files"]
    assert any(part.text == "“layer.weight”: 1 x 2 of float32" for one in section.sentences for part in one.parts)

    north.read(bundle.digest())
    page = ApprovalTab(north, bundle.digest())
    text = until(page.look, 120).text
    assert "def step(weights, pretrained, lr):" in text and "2 cells, 1 module<" in text
    assert "has approved" in page.press(PASSPHRASE).text
    assert south.approve(bundle.digest(), executions=2).is_success
    done = federation.reaches(run.run, "succeeded", seconds=120)

    assert done.final_weights is not None
    final = load(federation.ask("GET", f"/v1/blobs/{done.final_weights}"))
    assert set(final) == {tensor.name for tensor in SPEC.tensors}, "what is excluded stays"
    assert final["weight"].tolist() == [[pytest.approx(0.02, abs=1e-4), pytest.approx(0.04, abs=1e-4)]]
    for trust in federation.trusts:
        left = trust.enclave.runs / run.run
        until(lambda left=left: not (left / "bundle").exists(), 120)

    found = results_of(researcher(federation, tmp_path), run.run, tmp_path / "results")
    saved = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert saved["model.py"].read_text() == MODEL
    assert saved["pretrained.safetensors"].read_bytes() == PRETRAINED
    assert found.record.bundle == bundle.digest()
    assert plan_of_bundle(bundle, "x.cohort.json").files == ("model.py", "pretrained.safetensors")


def test_another_module_is_shown_line_by_line(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    north, south = federation.trusts
    changed = MODEL.replace("np.float32(lr)", "np.float32(-lr)")
    bundle, _ = submit(federation, "2", changed)
    changes = detail(north, bundle.digest()).changes
    assert changes.since is not None
    module, weights = changes.files
    assert (module.kind, weights.kind) == ("changed", "same")
    assert [(line.mark, line.text) for line in module.lines if line.mark != "both"] == [
        ("earlier", '    weights["weight"] += np.float32(lr) * pretrained'),
        ("new", '    weights["weight"] += np.float32(-lr) * pretrained'),
    ]
    brief = detail(north, bundle.digest()).brief
    assert any(one.text == "The file model.py: changed." for one in brief.since)
    show_request(detail(north, bundle.digest()))
    printed = capsys.readouterr().out
    assert "--- model.py\n" in printed and "“layer.weight”: 1 x 2 of float32" in printed
    assert "--- model.py, changed since the last approval" in printed and '-     weights["weight"] +=' in printed
    for trust in (north, south):
        trust.decline(bundle.digest(), "only a test")


def test_another_run_of_a_bundle_is_looked_at_with_its_files(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("raise SystemExit('another model of the same name')\n")
    simple = """
import numpy as np
import flipnb as flip
import model
from safetensors.numpy import load_file
pretrained = load_file(flip.file("pretrained.safetensors"))["layer.weight"]
weights = {"weight": np.zeros((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
for rnd in flip.rounds(weights):
    model.step(weights, pretrained, lr)
    rnd.report(loss=0.5, accuracy=0.75)
"""
    notebook = FrozenNotebook(cells=(cells().cells[0], Cell(id="simple", type="code", source=simple.strip())))
    bundle, run = submit(federation, "6", notebook=notebook, title="A clone")
    again = run_again(researcher(federation, tmp_path), bundle.digest(), {"lr": 0.2})
    assert (again.bundle, again.point, again.run != run.run) == (bundle.digest(), {"lr": 0.2}, True)
    for trust in federation.trusts:
        detail(trust, bundle.digest())
        trust.decline(bundle.digest(), "only a test")


def test_an_approval_holds_for_the_bytes_that_were_read(federation: Federation) -> None:
    """Whoever changes a file between approval and start, here with the enclave's own rights, starts nothing."""
    north, south = federation.trusts
    bundle, run = submit(federation, "3", title="Between approval and start")
    folder = north.enclave.attached / bundle.digest()
    detail(north, bundle.digest())
    assert {path.name for path in folder.iterdir()} == {file.sha256 for file in bundle.files}
    assert all(path.stat().st_mode & 0o777 in (0o400, 0o444) for path in folder.iterdir())
    path = folder / bundle.files[0].sha256
    other = MODEL.replace("lr)", "1.)").encode()
    assert len(other) == bundle.files[0].size
    path.unlink()
    path.write_bytes(other)
    shown = detail(north, bundle.digest())
    with pytest.raises(FlipError) as caught:  # what a controller's own tools make of what they are shown
        Approval.of_request(shown, trust=north.node.key_id, executions=1, days=1, now=datetime.now(UTC))
    assert caught.value.code == "other-bundle"
    assert north.approve(bundle.digest()).is_success
    assert south.approve(bundle.digest()).is_success
    ended = federation.reaches(run.run, "failed", seconds=120)
    assert {part.name: part.code for part in ended.trusts}["north"] == "wrong-file"
    path.unlink()


def test_files_that_are_not_what_they_are_called_are_refused_by_name(federation: Federation) -> None:
    north, _ = federation.trusts
    hiding = b"# -*- coding: raw_unicode_escape -*-\n# \\u000aimport os\n"
    pickle = b"\x80\x04\x95" + b"x" * 40
    for nonce, name, content, code in (
        ("4", "model.py", hiding, "wrong-encoding"),
        ("5", "w.safetensors", pickle, "bad-weights"),
    ):
        federation.ask("PUT", f"/v1/blobs/{sha(content)}?study=heart", content)
        bad = (AttachedFile(name=name, sha256=sha(content), size=len(content)),)
        bundle, run = federation.submit(nonce=nonce, files=bad)
        until(lambda run=run: any(part.code for part in federation.view(run.run).trusts))
        assert code in {part.code for part in federation.view(run.run).trusts}
        until(lambda bundle=bundle: refused(north, bundle.digest()) is not None)
        assert refused(north, bundle.digest()) == code
        assert not north.waits_for(bundle.digest())


def refused(trust: Trust, bundle: str) -> str | None:
    found = trust.get("/requests?all=1")["requests"]
    return next((one["code"] for one in found if one["bundle"] == bundle and one["state"] == "refused"), None)


def researcher(federation: Federation, place: Path) -> Home:
    home = Home(place / "home")
    save_key(federation.study.researcher, home.directory / "keys" / "researcher.pem")
    configuration = Configuration(
        hub=federation.url,
        audience="flip-test",
        ca=str(federation.ca),
        name="R",
        environment=federation.study.bundle().environment,
    )
    (home.directory / "config.json").write_text(configuration.model_dump_json())
    return home
