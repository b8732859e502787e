"""What the tour takes on one small machine, as on Binder: JupyterLab, a kernel, two simulated Trusts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from benchmarks.figures import Figures
from benchmarks.processes import GB, PeakMemory, memory
from flipnb.enclave.sandbox.limits import tree

_NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_START = Path(__file__).resolve().parents[2] / "binder" / "start"
_SETTLED_SECONDS = 15


def tour(figures: Figures) -> None:
    """Peak memory of all processes of JupyterLab and of the tour, with the settings of ``binder/start``."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "notebooks"
        shutil.copytree(_NOTEBOOKS, folder)
        os.environ |= _environment(directory)
        server = subprocess.Popen(
            [_START, sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(_SETTLED_SECONDS)
            figures.add("JupyterLab with the extension, nothing open (GB)", "GB", [memory(tree(server.pid)) / GB])
            notebook = nbformat.read(folder / "00_tour.ipynb", as_version=4)
            client = NotebookClient(
                notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
            )

            def everything() -> dict[str, list[psutil.Process]]:
                return {"all": [p for p in tree(os.getpid())[1:] if p.is_running()]}

            began = time.monotonic()
            with PeakMemory(everything) as peak:
                client.execute()
            figures.add("00_tour on two simulated Trusts, first cell to last (s)", "s", [time.monotonic() - began])
            figures.add(
                "peak memory of JupyterLab, the tour's kernel and its Trusts (GB)", "GB", [peak.peaks["all"] / GB]
            )
        finally:
            server.terminate()
            server.wait(30)


def _environment(home: str) -> dict[str, str]:
    """What binder/start sets, for the kernel that is started here."""
    return {"HOME": home, "OMP_NUM_THREADS": "1", "FLIP_HOME": f"{home}/.flip", "FLWR_TELEMETRY_ENABLED": "0"}


MEASURES = {"tour": tour}
