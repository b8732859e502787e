"""The memory that kernels used, as a researcher reads it in a terminal: what the run view shows, where it is told."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flipnb.cli import runs as told
from flipnb.cli.main import app
from flipnb.contracts.run import Failure, Progress, RunView, TrustPart
from flipnb.workbench import home, runs
from flipnb.workbench.narrative import describe_memory

GIB = 1 << 30
NOW = datetime(2026, 12, 1, tzinfo=UTC)
OF_THE_KERNEL = {"memory_bytes": 3 * GIB // 2, "memory_of_bytes": 4 * GIB}
OF_A_GPU = {"gpu_bytes": 10 * GIB, "gpu_of_bytes": 80 * GIB}


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (None, None),
        (Progress(cell=1), None),
        (Progress(**OF_THE_KERNEL), "1.5 GB of 4 GB"),
        (Progress(**OF_THE_KERNEL, **OF_A_GPU), "1.5 GB of 4 GB, GPU 10 GB of 80 GB"),
        (Progress(memory_bytes=128 << 20, memory_of_bytes=1 << 40), "128 MB of 1020 GB"),
    ],
)
def test_memory_is_told_with_that_of_a_gpu_where_there_is_any(progress, said):
    assert describe_memory(progress) == said


@pytest.mark.parametrize(
    ("progress", "rows"),
    [
        (
            Progress(cell=1, cells=4, round=2, eighths=3),
            [
                "Trust state heard progress why",
                "north training 7 s ago cell 1 of 4, round 2, epochs [###-----]",
                "south failed not lately ValueError",
            ],
        ),
        (
            Progress(**OF_THE_KERNEL, **OF_A_GPU),
            [
                "Trust state heard progress memory, at most why",
                "north training 7 s ago at work 1.5 GB of 4 GB, GPU 10 GB of 80 GB",
                "south failed not lately kept inside ValueError",
            ],
        ),
    ],
)
def test_each_trust_has_its_memory_where_any_tells_it(monkeypatch, tmp_path, progress, rows):
    heard = NOW - timedelta(seconds=7)
    view = RunView(
        run="0" * 32, study="heart", title="t", bundle="0" * 64, researcher="a" * 64, point={}, state="running",
        submitted=NOW, rounds_done=2, rounds=9, last_event=9, trusts=(
            TrustPart(trust="a" * 64, name="north", state="running", progress=progress, heard=heard),
            TrustPart(trust="b" * 64, name="south", state="failed", failure=Failure(error_class="ValueError")),
        ),
    )  # fmt: skip
    monkeypatch.setattr(told, "datetime", SimpleNamespace(now=lambda zone: NOW))
    monkeypatch.setattr(home.Home, "find", lambda: home.Home(tmp_path))
    monkeypatch.setattr(runs, "view_run", lambda home, run: view)
    monkeypatch.setattr(runs, "view_rounds", lambda home, run: ())
    said = CliRunner().invoke(app, ["runs", "0" * 32])
    assert [" ".join(line.split()) for line in said.output.splitlines()[2:]] == rows
