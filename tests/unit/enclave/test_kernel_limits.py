"""Control groups of both versions, the kernelspec, and the engine's choice of a kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jupyter_client.kernelspec import NoSuchKernel
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import NotebookExecutionManager, papermill_engines

from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.enclave.kernels.kernelspec import install, kernelspec
from flipnb.enclave.kernels.provisioner import NAME, EnclaveProvisioner
from flipnb.enclave.runner.engine import Execution, FlipEngine, FlipNotebookClient
from flipnb.enclave.sandbox import limits as limits_module
from flipnb.enclave.sandbox.interpreter import LIBRARY, PROJECT, SITE, Interpreter
from flipnb.enclave.sandbox.limits import RUNNER_BYTES, ControlGroup, oom_kills, resident_bytes
from flipnb.enclave.sandbox.probe import ProbeReport, refuse_if_weaker
from flipnb.enclave.sandbox.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[3]
STRONG = ProbeReport(
    uid=1000,
    capabilities=0,
    no_new_privileges=True,
    seccomp=True,
    families=(),
    interfaces=(),
    calls=(),
    visible=(),
    writable=(),
    unbounded=(),
    processes=2,
    machine=(),
    memory="cgroup",
)


def sandbox() -> Sandbox:
    return Sandbox(limits=KernelLimits(), interpreter=Interpreter.current())


def test_no_package_takes_the_place_of_a_module_of_pythons() -> None:
    """Packages bring a ``pathlib.py`` and the like, of before Python had its own."""
    places = sandbox().environment()["PYTHONPATH"].split(os.pathsep)
    assert places[:2] == [str(PROJECT), str(LIBRARY)]
    assert places[-1].startswith(str(SITE)), "packages come last"


def test_second_version_is_a_sibling_of_the_agents_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = tmp_path / "flip.service"
    (service / "agent").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    monkeypatch.setattr(limits_module, "_own_groups", lambda: {"": "/flip.service/agent"})
    group = ControlGroup.create(1 << 30, 64, root=tmp_path)
    assert group is not None and group.version == 2
    assert group.report.parent == service
    assert int((group.report / "memory.max").read_text()) == (1 << 30) + RUNNER_BYTES
    assert (service / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_groups_of_agents_that_are_gone_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, alive = tmp_path / f"flip-{2**22 - 1}-00", tmp_path / f"flip-{os.getpid()}-00"
    for place in (left, alive, tmp_path / "agent"):
        place.mkdir()
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    monkeypatch.setattr(limits_module, "_own_groups", lambda: {"": "/agent"})
    assert ControlGroup.create(1 << 30, 64, root=tmp_path) is not None
    assert alive.exists() and not left.exists()


def test_without_delegation_there_is_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    monkeypatch.setattr(limits_module, "_own_groups", lambda: {"": "/nowhere/agent"})
    assert ControlGroup.create(1 << 30, 64, root=tmp_path) is None


def test_oom_kills_are_read_from_both_versions(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    (first / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (second / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert (oom_kills(first), oom_kills(second), oom_kills(tmp_path)) == (3, 1, 0)


def test_a_gone_process_has_no_memory() -> None:
    assert resident_bytes(2**22 - 1) == 0


def test_the_template_is_the_kernelspec_without_a_sandbox(tmp_path: Path) -> None:
    template = json.loads((ROOT / "kernels" / NAME / "kernel.json").read_text())
    assert template == kernelspec(None)
    place = install(tmp_path, sandbox())
    installed = json.loads((place / "kernel.json").read_text())
    configuration = installed["metadata"]["kernel_provisioner"]["config"]
    assert Sandbox.model_validate(configuration["sandbox"]) == sandbox()
    assert [path.name for path in place.iterdir()] == ["kernel.json"]


def test_the_notebooks_own_kernel_is_ignored() -> None:
    notebook = new_notebook(
        cells=[new_code_cell("1")], metadata={"kernelspec": {"name": "python3", "display_name": "x"}, "papermill": {}}
    )
    execution = Execution(sandbox(), tell=lambda _event: None, output_messages=100, kept_bytes=100)
    client = FlipNotebookClient(
        NotebookExecutionManager(notebook, progress_bar=False), execution=execution, startup_timeout=1
    )
    manager = client.create_kernel_manager()
    assert manager.kernel_name == NAME
    assert type(manager.provisioner) is EnclaveProvisioner
    with pytest.raises(NoSuchKernel):
        manager.kernel_spec_manager.get_kernel_spec("python3")
    assert papermill_engines.get_engine("flip") is FlipEngine


def test_the_engine_refuses_to_run_outside_an_enclave() -> None:
    manager = NotebookExecutionManager(new_notebook(), progress_bar=False)
    with pytest.raises(FlipError) as caught:
        FlipEngine.execute_managed_notebook(manager, "python3")
    assert caught.value.code == "enclave-only"


def test_a_strong_sandbox_is_accepted() -> None:
    refuse_if_weaker(STRONG, KernelLimits(require_memory_cgroup=True))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"families": ("AF_VSOCK",)}, "AF_VSOCK"),
        ({"calls": ("keyctl", "ptrace")}, "keyctl, ptrace"),
        ({"visible": ("/srv/keys",)}, "/srv/keys"),
        ({"uid": 0}, "root"),
        ({"unbounded": ("/scratch",)}, "/scratch"),
        ({"seccomp": False}, "not filtered"),
        ({"processes": 40}, "processes"),
        ({"interfaces": ("eth0",)}, "eth0"),
        ({"memory": "watchdog"}, "control group"),
    ],
)
def test_what_is_weaker_is_named(change: dict[str, object], named: str) -> None:
    weaker = STRONG.model_copy(update=change)
    with pytest.raises(FlipError, match=named) as caught:
        refuse_if_weaker(weaker, KernelLimits(require_memory_cgroup=True))
    assert caught.value.code == "sandbox-weaker"
