"""The agent's end of the viewer: one jailed process for one look at an executed notebook."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import JailedProcess, spawn
from flipnb.enclave.sandbox.uids import viewer_uid

MIB = 1 << 20
_LIMITS = {"DATA": 1024 * MIB, "CPU": 60, "CORE": 0, "FSIZE": 0, "NOFILE": 256}
_MOST_BYTES = 128 * MIB
_PATIENCE_S = 60.0


async def shown(enclave: Path, run: str, notebook: Path) -> bytes:
    """The JSON of a ``ShownNotebook``, not parsed here: its words are a kernel's.

    Raises FlipError ``not-shown`` where the viewer fails or says too much.
    """
    process = await asyncio.to_thread(_spawn, enclave, run, notebook)
    try:
        said = await asyncio.wait_for(asyncio.to_thread(_read, process), _PATIENCE_S)
    except TimeoutError:
        said = b""
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    if not said or len(said) > _MOST_BYTES:
        raise FlipError(
            "not-shown",
            "This executed notebook can't be shown: it is too large, or not what a notebook is.",
            remedy=f"It lies in {notebook}; open it with no program that runs what is in it.",
            status=422,
        )
    return said


def _spawn(enclave: Path, run: str, notebook: Path) -> JailedProcess:
    interpreter = Interpreter.current()
    with notebook.open("rb") as file:
        return spawn(
            [interpreter.executable, "-P", "-m", "flipnb.enclave.viewer", run],
            uid=viewer_uid(enclave),
            limits=_LIMITS,
            interpreter=interpreter,
            stdin=file,
            stdout=subprocess.PIPE,
        )


def _read(process: JailedProcess) -> bytes:
    """Standard output, up to one byte more than is allowed; empty where the viewer failed."""
    assert process.stdout is not None
    with process.stdout as stream:
        said = stream.read(_MOST_BYTES + 1)
    return said if len(said) > _MOST_BYTES or process.wait() == 0 else b""
