"""Files that go with a notebook: what is rehearsed is what is sent, and what is not declared can't be imported."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from workbench_samples import cell, parameters

import flipnb as flip
from flipnb.contracts.problem import FlipError
from flipnb.workbench.attached import digest_of
from flipnb.workbench.bundles_plan import plan_of_bundle
from flipnb.workbench.plan_file import plan_path, read_plan
from flipnb.workbench.rehearsal import last_rehearsal, rehearse
from flipnb.workbench.submission import prepare
from flipnb.workbench.validation import find_imports, find_issues

MODEL = """import numpy as np
import shared

def start():
    return {"head": np.zeros(2, np.float32)}

def step(weights, backbone, lr):
    weights["head"] += np.float32(lr) * backbone[:2] * shared.SIGN
"""
NOTEBOOK = """import json, os, sys
import numpy as np
import flipnb as flip
import model
from safetensors.numpy import load_file
backbone = load_file(flip.file("pretrained.safetensors"))["backbone"]
assert len(json.dumps({})) == 2, "the json of Python"
assert os.listdir() == [], "an empty folder, as in a Trust"
weights = {**model.start(), "backbone": backbone.copy()}
for rnd in flip.rounds(weights, exclude="backbone"):
    model.step(weights, backbone, lr)
    rnd.report(loss=0.5, accuracy=0.5)
assert (weights["backbone"] == backbone).all()
"""


@pytest.fixture
def study(write):
    """A notebook with two modules and weights, and a module beside it that does not go."""
    notebook = write(parameters(), cell(NOTEBOOK + "# solver, seed\nprint(solver, seed)"))
    place = notebook.parent
    (place / "model.py").write_text(MODEL)
    (place / "shared.py").write_text("SIGN = 1\n")
    (place / "aside.py").write_text("raise SystemExit\n")
    save_file({"backbone": np.arange(4, dtype=np.float32)}, place / "pretrained.safetensors")
    declare(notebook, "model.py", "shared.py", "pretrained.safetensors")
    return notebook


def declare(notebook, *names):
    plan = json.loads(plan_path(notebook).read_text())
    plan_path(notebook).write_text(json.dumps(plan | {"files": names}))


def codes(notebook):
    return [issue.code for issue in find_issues(notebook)]


def refused(call, *arguments):
    with pytest.raises(FlipError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.slow
def test_what_was_rehearsed_is_what_goes(home, study):
    assert codes(study) == ["not-rehearsed"]
    found = rehearse(study)
    assert codes(study) == []
    assert [tensor.name for tensor in found.tensors.tensors] == ["head"], "the backbone stays out of the rounds"
    assert load_file(found.initial_weights)["head"].tolist() == [0, 0]
    bundle = prepare(home, study, "heart", []).bundle
    assert [file.name for file in bundle.files] == ["model.py", "shared.py", "pretrained.safetensors"]
    assert plan_of_bundle(bundle, "x.cohort.json").files == tuple(file.name for file in bundle.files)

    (study.parent / "shared.py").write_text("SIGN = 2\n")
    gone = refused(last_rehearsal, study)
    assert (gone.code, "shared.py was changed" in gone.message) == ("not-rehearsed", True)
    (study.parent / "shared.py").write_text("SIGN = 1\n")
    prepared = prepare(home, study, "heart", [])
    assert prepared.bundle.content_digest == bundle.content_digest, "the same content is the same bundle"
    assert {name: digest_of(path) for name, path in prepared.files.items()} == {f.name: f.sha256 for f in bundle.files}

    declare(study, "model.py", "shared.py")
    assert "taken from its files" in refused(last_rehearsal, study).message
    declare(study, "model.py", "shared.py", "pretrained.safetensors", "aside.py")
    assert "aside.py was declared" in refused(last_rehearsal, study).message


@pytest.mark.slow
def test_other_code_in_a_module_is_another_bundle(home, study):
    rehearse(study)
    before = prepare(home, study, "heart", []).bundle
    (study.parent / "shared.py").write_text("SIGN = -1\n")
    rehearse(study)
    assert prepare(home, study, "heart", []).bundle.content_digest != before.content_digest


@pytest.mark.slow
@pytest.mark.parametrize("left", ["model.py", "shared.py"])
def test_what_is_not_declared_cannot_be_imported_and_is_said_by_name(study, left):
    declare(study, *({"model.py", "shared.py", "pretrained.safetensors"} - {left}))
    (issue,) = [issue for issue in find_issues(study) if issue.code == "undeclared-module"]
    assert f'"files": ["{left}"]' in issue.message and issue.severity == "error"
    failed = refused(rehearse, study)
    assert failed.code == "rehearsal-failed"
    assert "Cell 2, line 4: ModuleNotFoundError" in failed.message and f"{left} lies beside it" in failed.message


@pytest.mark.slow
def test_a_simulated_federation_has_them_in_every_kernel(study):
    found = flip.rehearse(study, trusts=2, rounds=2)
    head = load_file(found.weights)["head"]
    assert head.tolist() == pytest.approx([0, 0.2]), "two rounds of 0.1 · backbone[1] at both"


NETWORK = """from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.backbone(x))
"""
TUNED = """import torch
import flipnb as flip
from network import Network
from safetensors.torch import load_file
torch.manual_seed(seed)
pretrained = load_file(flip.file("pretrained.safetensors"))
model = Network()
model.backbone.load_state_dict(pretrained)
model.backbone[0].requires_grad_(False)
optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
for rnd in flip.rounds(model, exclude=["^backbone.0", "^backbone.1"], state=[optimiser]):
    if rnd.training:
        optimiser.zero_grad()
        loss = (model(torch.randn(16, 2)) - 1).square().mean()
        loss.backward()
        optimiser.step()
    rnd.report(loss=0.5, accuracy=0.5)
assert torch.equal(model.backbone[0].weight, pretrained["0.weight"]), solver
"""


@pytest.mark.slow
def test_a_pretrained_network_is_tuned_from_its_file_with_layers_kept_out(write):
    """What is excluded is as in the file, in every kernel; what is trained together begins as in the file."""
    import torch
    from safetensors.torch import load_file as tensors_of
    from safetensors.torch import save_file as save_tensors

    notebook = write(parameters(), cell(TUNED))
    (notebook.parent / "network.py").write_text(NETWORK)
    torch.manual_seed(7)
    space: dict[str, type[torch.nn.Module]] = {}
    exec(NETWORK, space)
    pretrained = space["Network"]().backbone.state_dict()
    save_tensors(pretrained, notebook.parent / "pretrained.safetensors")
    declare(notebook, "network.py", "pretrained.safetensors")
    found = flip.rehearse(notebook, trusts=2, rounds=2)
    kept = last_rehearsal(notebook)
    assert [tensor.name for tensor in kept.tensors.tensors] == [
        "backbone.2.weight", "backbone.2.bias", "head.weight", "head.bias",
    ]  # fmt: skip
    assert torch.equal(tensors_of(kept.initial_weights)["backbone.2.weight"], pretrained["2.weight"])
    assert not torch.equal(tensors_of(found.weights)["backbone.2.weight"], pretrained["2.weight"]), "it was tuned"


def test_in_a_notebook_the_plan_says_which_there_are(study, monkeypatch):
    monkeypatch.chdir(study.parent)
    monkeypatch.setenv("FLIP_PLAN", str(plan_path(study)))
    assert flip.file("pretrained.safetensors") == study.parent / "pretrained.safetensors"
    assert "does not name it" in refused(flip.file, "aside.py").message
    (study.parent / "model.py").unlink()
    assert refused(flip.file, "model.py").code == "no-file"


def test_imports_of_modules_count_as_the_notebooks(study):
    from flipnb.workbench.attached import beside
    from flipnb.workbench.freezing import freeze_notebook

    (study.parent / "shared.py").write_text("import torch\nSIGN = 1\n")
    found = find_imports(freeze_notebook(study), beside(read_plan(plan_path(study)), study.parent))
    assert {one.module: one.told for one in found} == {
        "numpy": "Imports numpy", "safetensors": "Imports safetensors", "torch": "shared.py imports torch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spoil", "code"),
    [
        ("model.py", lambda path: path.unlink(), "no-file"),
        ("model.py", lambda path: path.write_text("x = = 1\n"), "not-python"),
        ("model.py", lambda path: path.write_text("from . import shared\n"), "relative-import"),
        ("model.py", lambda path: path.write_text("x = 1  # \u202e\n"), "invisible-character"),
        ("model.py", lambda path: path.write_bytes(b"x = 1\r\n"), "invisible-character"),
        ("model.py", lambda path: path.write_text("# coding: utf-7\n"), "wrong-encoding"),
        ("model.py", lambda path: path.write_bytes(b"\xff"), "not-text"),
        ("model.py", lambda path: (path.unlink(), path.mkdir()), "wrong-kind"),
        ("model.py", lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "wrong-kind"),
        ("pretrained.safetensors", lambda path: path.write_bytes(b"\x80\x04."), "bad-weights"),
    ],
)
def test_what_cannot_go_is_named_by_validate_and_by_send(study, home, name, spoil, code):
    spoil(study.parent / name)
    assert code in codes(study)
    if code not in ("not-python", "relative-import"):  # Python says those two where it runs
        assert refused(rehearse, study).code == code


def test_a_file_that_is_asked_for_and_not_declared_is_named(study):
    declare(study, "model.py", "shared.py")
    (issue,) = [issue for issue in find_issues(study) if issue.code == "no-file"]
    assert (issue.cell, issue.line) == (2, 6) and "'pretrained.safetensors'" in issue.message


def test_a_module_of_a_gigabyte_is_not_read(study):
    with (study.parent / "model.py").open("wb") as file:
        file.truncate(1 << 30)
    assert "file-too-large" in codes(study)


@pytest.mark.parametrize("name", ["../secret.py", "/etc/passwd", "data.csv", "model.pyc", "json.py", "flipnb.py"])
def test_the_plan_itself_is_refused_with_a_name_that_cannot_go(study, name):
    declare(study, name)
    (issue,) = [issue for issue in find_issues(study) if issue.code == "invalid-document"]
    assert "files.0" in issue.message and name.split("/")[-1] in issue.message


def test_a_module_called_like_a_package_is_refused(study):
    shutil.copy(study.parent / "shared.py", study.parent / "numpy.py")
    declare(study, "numpy.py")
    assert "name-clash" in codes(study)
