"""The papermill engine ``flip``: executes an approved notebook in a sandboxed kernel whose messages it does not trust.

Papermill and nbclient drive the kernel; this engine decides which kernel that is (never the notebook), counts and
filters what it sends, and keeps its own account of how it ended, for a kernel can say anything of itself.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine

from flipnb.contracts.failure import (
    KERNEL_DIED,
    OUT_OF_MEMORY,
    OUTPUT_LIMIT,
    SCRATCH_FULL,
    TIME_LIMIT,
    UNKNOWN,
    error_class,
)
from flipnb.contracts.problem import FlipError
from flipnb.enclave.kernels.kernelspec import kernelspec
from flipnb.enclave.kernels.provisioner import NAME, EnclaveProvisioner
from flipnb.enclave.runner.meter import Meter, OutputLimitReached, metered_client
from flipnb.enclave.runner.order import CellEvent, KernelStarted, MemoryEvent, Told, Verdict
from flipnb.enclave.runner.outputs import KeptOutputs
from flipnb.enclave.runner.place import failing_line
from flipnb.enclave.runner.watch import Watch
from flipnb.enclave.sandbox.jail import CONTROL_GROUP
from flipnb.enclave.sandbox.limits import oom_kills
from flipnb.enclave.sandbox.sandbox import Sandbox

INJECTED = "injected-parameters"
_NO_SPACE = re.compile(rf"\[Errno (?:{errno.ENOSPC}|{errno.EFBIG}|{errno.EDQUOT})\]")
_LATE_OUTPUT_S = 30
"""How long after a cell's reply its last output may still come; a broken connection is noticed sooner."""
_ALMOST_FULL = 64 << 10
_SIGBUS, _SIGXCPU, _SIGKILL = 135, 152, 137


class Execution:
    """One run of a notebook through the engine: its kernel, its limits, and how it ended.

    ``tell`` receives what happens, from this thread and from the watch's.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        tell: Callable[[Told], None],
        output_messages: int,
        kept_bytes: int,
    ) -> None:
        self.sandbox = sandbox
        self.tell = tell
        self.meter = Meter(sandbox.limits.output_bytes, output_messages)
        self.watch = Watch(
            sandbox.limits,
            self.meter,
            watch_memory=not sandbox.cgroup,
            rose=lambda eighths: tell(MemoryEvent(eighths=eighths)),
        )
        self.kept = KeptOutputs(kept_bytes)
        self.notebook: NotebookNode | None = None
        self.provisioner: EnclaveProvisioner | None = None
        self.started = False
        self.cell: int | None = None
        self.failure: tuple[str, int | None] | None = None
        self._oom_kills = oom_kills(CONTROL_GROUP)

    def fail(self, content: dict[str, Any], source: str | None) -> None:
        """Keep what an error reply says: class and line. ``source`` is None for the injected parameters."""
        name = error_class(content.get("ename"))
        message = content.get("evalue")
        if (isinstance(message, str) and _NO_SPACE.match(message)) or self._scratch_full():
            name = SCRATCH_FULL
        elif self._out_of_memory():
            name = OUT_OF_MEMORY
        line = failing_line(content.get("traceback"), source) if source is not None else None
        self.failure = (name, line)

    def verdict(self, error: BaseException | None) -> Verdict:
        """How the execution ended, ``error`` being what papermill raised."""
        status = self.provisioner.exit_status if self.provisioner is not None else None
        if status is not None and status < 0:
            status = 128 - status  # bubblewrap itself was ended by a signal
        status = status if status is not None and status <= 255 else None
        cause = self.watch.cause
        if cause == "stop":
            return Verdict(outcome="stopped")
        if cause in ("wall-time", "cell-time"):
            return Verdict(outcome="failed", error_class=TIME_LIMIT, cell=self.cell, reason=cause)
        if cause in ("output-bytes", "output-messages"):
            return Verdict(outcome="failed", error_class=OUTPUT_LIMIT, cell=self.cell, reason=cause)
        if cause == "bad-message":
            return Verdict(outcome="failed", error_class=UNKNOWN, cell=self.cell, reason=cause)
        if cause == "memory":
            return Verdict(outcome="failed", error_class=OUT_OF_MEMORY, cell=self.cell, reason=cause)
        if self.failure is not None:
            name, line = self.failure
            return Verdict(outcome="failed", error_class=name, cell=self.cell, line=line)
        if error is None:
            return Verdict(outcome="finished")
        if isinstance(error, OutputLimitReached | CellTimeoutError):
            # No cell has a time limit of nbclient's own: what it waits for in vain is lost output.
            return Verdict(outcome="failed", error_class=OUTPUT_LIMIT, cell=self.cell, reason="output-bytes")
        if not self.started:
            return Verdict(outcome="failed", error_class=KERNEL_DIED, reason="start", status=status)
        if isinstance(error, DeadKernelError):
            return self._died(status)
        return Verdict(outcome="failed", error_class=UNKNOWN, cell=self.cell, reason="runner")

    def _died(self, status: int | None) -> Verdict:
        if status == _SIGKILL and self._out_of_memory():
            return Verdict(outcome="failed", error_class=OUT_OF_MEMORY, cell=self.cell, reason="memory", status=status)
        if status == _SIGXCPU:
            return Verdict(outcome="failed", error_class=TIME_LIMIT, cell=self.cell, reason="cpu-time", status=status)
        if status == _SIGBUS and self._scratch_full():
            return Verdict(outcome="failed", error_class=SCRATCH_FULL, cell=self.cell, reason="scratch", status=status)
        reason = "signal" if status is not None and status > 128 else "exit"
        return Verdict(outcome="failed", error_class=KERNEL_DIED, cell=self.cell, reason=reason, status=status)

    def _out_of_memory(self) -> bool:
        return oom_kills(CONTROL_GROUP) > self._oom_kills

    def _scratch_full(self) -> bool:
        return any(_full(place) for place in (self.sandbox.scratch, self.sandbox.shm) if place is not None)


class FlipEngine(NBClientEngine):
    """Registered with papermill as ``flip``; takes an ``execution`` and refuses to run without one."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, execution: Execution | None = None, **kwargs: Any
    ) -> NotebookNode:
        if execution is None:
            raise FlipError(
                "enclave-only",
                "The papermill engine 'flip' runs notebooks inside an enclave only.",
                remedy="Use `flip rehearse` to try a notebook.",
            )
        return FlipNotebookClient(
            nb_man, execution=execution, startup_timeout=kwargs.get("start_timeout", 60)
        ).execute()


class FlipNotebookClient(PapermillNotebookClient):
    """Papermill's client with the kernel forced, its messages metered, and its outputs rebuilt."""

    def __init__(self, nb_man: Any, *, execution: Execution, startup_timeout: float) -> None:
        self._execution = execution
        super().__init__(
            nb_man,
            kernel_name=NAME,
            startup_timeout=startup_timeout,
            timeout=None,
            iopub_timeout=_LATE_OUTPUT_S,
            force_raise_errors=True,
            record_timing=False,
            coalesce_streams=False,
            store_widget_state=False,
            shutdown_kernel="immediate",
            on_notebook_start=self._kernel_started,
            on_cell_execute=self._cell_started,
            on_cell_executed=self._cell_finished,
        )
        self._numbers = _code_cell_numbers(self.nb)
        self._code_cells = max(self._numbers, default=0)
        execution.notebook = self.nb

    def execute(self, **kwargs: Any) -> NotebookNode:
        """As papermill's, without asking the kernel what language it is and without widgets' state."""
        self.reset_execution_trackers()
        with self.setup_kernel(**kwargs):
            self.papermill_execute_cells()
        notebook: NotebookNode = self.nb
        return notebook

    def create_kernel_manager(self) -> AsyncKernelManager:
        # The provisioner is made here, not looked up by name: another package could register the same name.
        specs = _OneKernel()
        manager = AsyncKernelManager(kernel_name=NAME, kernel_spec_manager=specs)
        manager.client_factory = metered_client(self._execution.meter)
        provisioner = EnclaveProvisioner(
            kernel_id="enclave",
            kernel_spec=manager.kernel_spec,
            parent=manager,
            sandbox=self._execution.sandbox.model_dump(mode="json"),
        )
        manager.provisioner = self._execution.provisioner = provisioner
        self.km = manager
        return manager

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        await super().async_start_new_kernel(**kwargs)
        provisioner = self._execution.provisioner
        if provisioner is not None and provisioner.process is not None:
            self._execution.watch.attach(provisioner.process, provisioner.complaints)

    start_new_kernel = run_sync(async_start_new_kernel)

    async def _async_cleanup_kernel(self) -> None:
        self._execution.watch.deafen()
        await super()._async_cleanup_kernel()

    _cleanup_kernel = run_sync(_async_cleanup_kernel)

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: NotebookNode, cell_index: int) -> None:
        try:
            await super()._async_poll_output_msg(parent_msg_id, cell, cell_index)
        except Exception:
            # nbclient would look at this at the cell's end, which may never come, and read no more until then.
            meter = self._execution.meter
            meter.exceeded = meter.exceeded or "bad-message"
            raise

    def process_message(self, message: dict[str, Any], cell: NotebookNode, cell_index: int) -> None:
        """Only the state ``idle`` is acted upon, which ends the cell; outputs are rebuilt."""
        content = message.get("content")
        if message.get("msg_type") == "status" and isinstance(content, dict):
            if content.get("execution_state") == "idle":
                # nbclient's own class for it is raised by its method alone.
                super().process_message({"msg_type": "status", "content": {"execution_state": "idle"}}, cell, 0)
            return
        self._execution.kept.add(cell.outputs, message)

    def _kernel_started(self, notebook: NotebookNode) -> None:
        self._execution.started = True
        if self.kc is not None:
            self._execution.watch.listen(self.kc.iopub_channel.socket)
        self._execution.tell(KernelStarted())

    def _cell_started(self, cell: NotebookNode, cell_index: int) -> None:
        self._execution.cell = self._numbers[cell_index] or None
        self._execution.watch.cell(True)
        self._tell(cell, cell_index, "started")

    def _cell_finished(self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        self._execution.watch.cell(False)
        cell.execution_count = self.code_cells_executed
        content = execute_reply.get("content")
        if not isinstance(content, dict) or content.get("status") != "ok":
            content = content if isinstance(content, dict) else {}
            self._execution.fail(content, None if _injected(cell) else cell.source)
            # nbclient compares with "error" alone and would go on after "aborted" or anything else.
            execute_reply["content"] = {"status": "error", "ename": "", "evalue": "", "traceback": []}
            return
        self._tell(cell, cell_index, "finished")

    def _tell(self, cell: NotebookNode, cell_index: int, state: Any) -> None:
        if not _injected(cell):
            number = self._numbers[cell_index]
            self._execution.tell(CellEvent(index=number, of=self._code_cells, state=state))


class _OneKernel(KernelSpecManager):
    """Knows the enclave's kernel and no other, so that no name in a notebook can reach one."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name != NAME:
            raise NoSuchKernel(kernel_name)
        return KernelSpec(**kernelspec(None))


def _code_cell_numbers(notebook: NotebookNode) -> list[int]:
    """For each cell its number among the approved code cells, from 1; the injected one has the number before it."""
    numbers, count = [], 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and not _injected(cell):
            count += 1
        numbers.append(count)
    return numbers


def _injected(cell: NotebookNode) -> bool:
    return INJECTED in cell.metadata.get("tags", [])


def _full(place: Path) -> bool:
    try:
        state = os.statvfs(place)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _ALMOST_FULL or state.f_favail < 2
