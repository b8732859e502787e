"""The walls around keyless children, the probe, and a runner's life beside its agent's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from drive_runner import drive, execute, order

from flipnb.contracts.parameters import Parameter
from flipnb.contracts.policy import KernelLimits
from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import RUNTIME, Bind, JailedProcess, Volatile, spawn
from flipnb.enclave.sandbox.limits import ControlGroup
from flipnb.enclave.sandbox.probe import probe, refuse_if_weaker
from flipnb.enclave.sandbox.sandbox import bubblewrap

pytestmark = pytest.mark.timeout(60)
AS_ROOT = os.geteuid() == 0
UID = 61_999 if AS_ROOT else None
IDENTITIES = [False, True] if AS_ROOT else [False]
identity = pytest.mark.parametrize("ordinary", IDENTITIES, ids=["native", "ordinary"][: len(IDENTITIES)])


def python(source: str, **fields: Any) -> JailedProcess:
    return spawn([sys.executable, "-P", "-c", source], uid=UID, stdout=subprocess.PIPE, **fields)


def printed(source: str, **fields: Any) -> str:
    output, _ = python(source, **fields).communicate(timeout=30)
    return output.decode()


def test_a_child_sees_what_it_is_given_and_no_key(tmp_path: Path) -> None:
    enclave = tmp_path / "enclave"
    for name in ("keys", "estate"):
        (enclave / name).mkdir(parents=True)
        (enclave / name / "file").write_text(name)
    (enclave / "token").write_text("token")
    enclave.chmod(0o755)
    # Where FLIP itself lies in a home, the way to it is there, and nothing beside it.
    code = Interpreter.current().trees()
    ways = {way for tree in code for way in tree.parents if way.is_relative_to("/home")}
    source = f"""
import os, json
from pathlib import Path
place = Path({str(enclave)!r})
def read(path):
    try:
        return (place / path).read_text()
    except OSError as error:
        return type(error).__name__
files = [read("estate/file"), read("keys/file"), read("token")]
homes = {{way: sorted(os.listdir(way)) for way in {sorted(map(str, ways))!r}}}
print(json.dumps([*files, os.path.exists("/home"), homes, os.path.exists("/etc/passwd")]))
"""
    seen = json.loads(
        printed(source, visible=[Bind(enclave)], hidden=[enclave / "keys", enclave / "token", enclave / "none"])
    )
    assert seen[0] == "estate"
    assert seen[1] in ("FileNotFoundError", "PermissionError")
    shown = {str(way): sorted({tree.relative_to(way).parts[0] for tree in code if way in tree.parents}) for way in ways}
    assert seen[2:] == ["", bool(ways), shown, False]


def test_a_child_has_no_network_no_neighbours_and_no_privileges(tmp_path: Path) -> None:
    source = """
import json, os, socket
def attempt(action):
    try:
        action()
        return "worked"
    except OSError as error:
        return type(error).__name__
print(json.dumps({
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", PORT), 2)),
    "pids": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
    "uid": os.getuid(),
    "caps": [l for l in open("/proc/self/status") if l.startswith("CapEff")][0].split()[1],
    "write": [attempt(lambda: open(p + "/planted", "w")) for p in ("/", "/usr", "/etc", "/dev", READABLE)],
    "written": attempt(lambda: open(WRITABLE + "/made", "w")),
}))
"""
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    readable, writable = tmp_path / "readable", tmp_path / "writable"
    for place in (readable, writable):
        place.mkdir()
        place.chmod(0o777)
    values = {"PORT": listener.getsockname()[1], "READABLE": str(readable), "WRITABLE": str(writable)}
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    found = json.loads(printed(head + source, visible=[Bind(readable), Bind(writable, writable=True)]))
    listener.close()
    assert found["connect"] != "worked"
    assert found["pids"] == [1, 2]
    assert found["uid"] != 0 and int(found["caps"], 16) == 0
    assert "worked" not in found["write"]
    assert found["written"] == "worked" and (writable / "made").exists()


def test_memory_directories_are_bounded_in_bytes_and_files() -> None:
    source = """
import os
from pathlib import Path
place = Path("/run/flip/small")
made = 0
try:
    while made < 1000:
        (place / str(made)).touch(); made += 1
except OSError:
    pass
for path in place.iterdir(): path.unlink()
try:
    (place / "big").write_bytes(bytes(2 << 20))
except OSError as error:
    print(made < 100, error.errno)
"""
    assert printed(source, volatile=[Volatile(RUNTIME / "small", 1 << 20, files=50)]) == "True 28\n"


def test_who_may_become_whom() -> None:
    for uid in (None, 0, -1) if AS_ROOT else (0, 12345):
        with pytest.raises(FlipError) as caught:
            spawn(["/bin/true"], uid=uid)
        assert caught.value.code == "jail-uid"


def test_what_can_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(FlipError) as caught:
        spawn(["/no/such/program"], uid=UID)
    assert caught.value.code == "jail-failed" and "program" in str(caught.value)
    with pytest.raises(FlipError) as caught:
        spawn(["/bin/true"], uid=UID, visible=[Bind(tmp_path / "none")])
    assert caught.value.code == "jail-source"


def test_status_signals_and_loss() -> None:
    assert python("raise SystemExit(7)").wait(10) == 7
    assert python("import os; os.kill(os.getpid(), 11)").wait(10) == 128 + 11
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    polite = python("import time; print(1, flush=True); time.sleep(60)")
    assert polite.stdout is not None and polite.stdout.readline()
    polite.terminate()
    assert polite.wait(10) == 128 + signal.SIGTERM
    killed = python(deaf)
    assert killed.stdout is not None and killed.stdout.readline()
    inside = psutil.Process(killed.pid).children(recursive=True)
    killed.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0.3)
    killed.kill()
    killed.wait(10)
    assert not psutil.wait_procs(inside, timeout=5)[1]


def test_a_child_ends_with_its_agent_however_that_ends() -> None:
    agent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, threading, time\n"
            "from flipnb.enclave.sandbox.jail import spawn\n"
            "command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
            f"start = lambda: globals().update(p=spawn(command, uid={UID}))\n"
            # Started by a thread that ends at once: the child must live on.
            "t = threading.Thread(target=start); t.start(); t.join(); time.sleep(0.3)\n"
            "print(p.poll(), flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    assert agent.stdout.readline() == "None\n"
    family = psutil.Process(agent.pid).children(recursive=True)
    assert len(family) == 3
    agent.kill()
    agent.wait()
    assert not psutil.wait_procs(family, timeout=5)[1]


def test_the_probe_finds_no_weakness_here(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    report = probe(uid=UID, outside=[tmp_path / "keys", Path.cwd()])
    assert report.weaknesses(KernelLimits()) == []
    assert report.uid == 1000
    refuse_if_weaker(report, KernelLimits())


def test_the_probe_sees_what_is_there() -> None:
    """A path that a sandbox does show must be reported, else the probe would prove nothing."""
    report = probe(uid=UID, outside=[Path("/opt/python/bin/python")])
    assert report.visible == ("/opt/python/bin/python",)


def test_a_policy_that_demands_a_control_group_is_kept() -> None:
    demanding = order("a = 1", limits={"require_memory_cgroup": True})
    group = ControlGroup.create(1 << 30, 64)
    if group is not None:
        group.destroy()
        assert drive(demanding)[0].verdict.outcome == "finished"
    if group is None or AS_ROOT:
        # An ordinary user without delegation has none.
        with pytest.raises((FlipError, json.JSONDecodeError)):
            drive(demanding, ordinary=AS_ROOT)


def test_bubblewrap_never_starts_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(FlipError) as caught:
        bubblewrap()
    assert caught.value.code == "bubblewrap-as-root"


@identity
def test_parameters_arrive_and_cells_are_counted_as_approved(ordinary: bool) -> None:
    space = (
        Parameter(name="lr", type="float", default=0.1, minimum=0, maximum=1),
        Parameter(name="note", type="str", default="x", choices=("x", "a\"b\\'{lr}")),
    )
    one = order(
        "lr: float = 0.1\nnote = 'x'", "print(lr, note)", "lr", space=space, point={"lr": 0.5, "note": "a\"b\\'{lr}"}
    )
    (outcome,) = drive(one, ordinary=ordinary)
    assert outcome.text() == "0.5 a\"b\\'{lr}\n"
    cells = [(event.index, event.of, event.state) for event in outcome.events if event.event == "cell"]
    assert cells == [(n, 3, state) for n in (1, 2, 3) for state in ("started", "finished")]
    assert next(event.event for event in outcome.events if event.event != "memory") == "kernel-started"
    assert outcome.verdict.outcome == "finished"


def test_stop_ends_kernel_and_runner_in_time() -> None:
    deaf = "import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    began = time.monotonic()
    outcome = asyncio.run(execute(order("a = 1", deaf), stop_at_cell=2))
    assert outcome.verdict.outcome == "stopped"
    assert outcome.after["verdict"] < 6 and time.monotonic() - began < 20
    assert outcome.notebook is not None


def test_a_killed_runner_still_has_a_verdict_and_leaves_nothing() -> None:
    from flipnb.enclave.runner.process import RunnerProcess

    one = order("a = 1", "import time; time.sleep(60)")
    one.executed.parent.mkdir()

    async def life() -> tuple[Any, list[psutil.Process]]:
        runner = await RunnerProcess.start(one, uid=UID)
        family: list[psutil.Process] = []
        last = None
        async for event in runner.events():
            last = event
            if event.event == "cell" and event.index == 2:
                family = psutil.Process(runner.pid).children(recursive=True)
                victim = next(p for p in family if p.cmdline()[1:4] == ["-P", "-m", "flipnb.enclave.runner"])
                victim.kill()
        return last, family

    verdict, family = asyncio.run(life())
    assert (verdict.outcome, verdict.error_class, verdict.reason) == ("failed", "KernelDied", "runner")
    assert len(family) >= 5  # jailer's inner, runner, bubblewrap twice, kernel
    assert not psutil.wait_procs(family, timeout=5)[1]
    one.executed.parent.rmdir()  # fails where anything was left


JUPYTER = """
import asyncio, sys
from pathlib import Path
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from flipnb.contracts.policy import KernelLimits
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.kernels.kernelspec import install
from flipnb.enclave.sandbox.sandbox import Sandbox

async def main():
    place = install(Path("/tmp"), Sandbox(limits=KernelLimits(), interpreter=Interpreter.current()))
    specs = KernelSpecManager(kernel_dirs=[str(place.parent)])
    manager = AsyncKernelManager(kernel_name="flip-enclave", kernel_spec_manager=specs)
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    seen = []
    hook = lambda m: seen.append(m["content"].get("text") or m["content"].get("ename"))
    sleeping = "import time\\nprint(1)\\ntime.sleep(60)"
    run = asyncio.ensure_future(client.execute_interactive(sleeping, output_hook=hook))
    while not any(seen): await asyncio.sleep(0.05)
    await manager.interrupt_kernel()
    reply = await run
    print(reply["content"].get("ename"), reply["content"]["status"])
    await manager.restart_kernel(now=True)
    await client.wait_for_ready(timeout=30)
    reply = await client.execute_interactive("1", output_hook=hook)
    print(reply["content"]["status"])
    client.stop_channels()
    await manager.shutdown_kernel(now=True)
    print(sorted(p.name for p in Path("/run/flip").iterdir()))
asyncio.run(main())
"""


def test_stock_jupyter_drives_the_installed_kernel() -> None:
    """By its entry point: start, interrupt by message, restart, shut down, nothing left."""
    output = printed(JUPYTER).splitlines()
    assert output[-3:] == ["KeyboardInterrupt error", "ok", "[]"]
