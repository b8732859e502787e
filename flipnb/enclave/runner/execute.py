"""What a runner does: one notebook, one kernel, then a verdict."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path

import nbformat
import papermill
from papermill.engines import papermill_engines
from papermill.execute import remove_error_markers

from flipnb.contracts.document import Document
from flipnb.enclave.kernels.provisioner import NAME
from flipnb.enclave.runner.engine import Execution, FlipEngine
from flipnb.enclave.runner.order import RunnerTask, Verdict
from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import RUNTIME
from flipnb.enclave.sandbox.sandbox import Sandbox
from flipnb.files.logs import log_to_stderr

SCRATCH, SHARED_MEMORY = RUNTIME / "scratch", RUNTIME / "shm"
ENGINE = "flip"
_LOG = logging.getLogger("flipnb.enclave.runner")


def run(task: RunnerTask, send: socket.socket) -> Verdict:
    """Execute the order; tell events on ``send``; store the executed notebook; the verdict."""
    order = task.order

    def tell(event: Document) -> None:
        send.send(event.model_dump_json().encode())

    sandbox = Sandbox(
        limits=order.limits,
        interpreter=Interpreter.current(),
        cohort=order.cohort,
        files=order.files,
        broker=order.broker,
        scratch=SCRATCH,
        shm=SHARED_MEMORY,
        devices=order.devices,
        cgroup=task.cgroup,
    )
    execution = Execution(sandbox, tell=tell, output_messages=order.output_messages, kept_bytes=order.kept_bytes)
    signal.signal(signal.SIGTERM, lambda *_: execution.watch.stop())
    execution.watch.start()
    papermill_engines.register(ENGINE, FlipEngine)
    notebook = nbformat.from_dict(order.notebook.to_nbformat(NAME))  # type: ignore[no-untyped-call]
    error: BaseException | None = None
    try:
        papermill.execute_notebook(
            notebook,
            None,
            parameters=order.values(),
            engine_name=ENGINE,
            kernel_name=NAME,
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=False,
            autosave_cell_every=0,
            start_timeout=order.start_seconds,
            execution=execution,
        )
    except BaseException as raised:
        # The message may be a patient's; the class is the library's own.
        _LOG.warning("the execution ended with %s", type(raised).__name__)
        error = raised
    execution.watch.close()
    verdict = execution.verdict(error)
    if execution.notebook is not None:
        with os.fdopen(os.dup(task.executed), "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(nbformat.writes(remove_error_markers(execution.notebook)))  # type: ignore[no-untyped-call]
            file.flush()
            os.fsync(file.fileno())
    return verdict


def main() -> int:
    """Do the task on the descriptor, and send the verdict as the last event; 0 however the notebook ended."""
    log_to_stderr(logging.WARNING)
    # Libraries log what the kernel sends them.
    for noisy in ("papermill", "traitlets", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    with Path(f"/proc/self/fd/{int(sys.argv[1])}").open("rb") as file:
        task = RunnerTask.model_validate_json(file.read())
    with socket.socket(fileno=task.events) as send:
        verdict = run(task, send)
        send.send(verdict.model_dump_json().encode())
    return 0
