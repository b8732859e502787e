"""Where a run is, as its researcher may know it."""

from __future__ import annotations

import time

from flipnb.contracts.broker import Tell
from flipnb.contracts.run import Progress
from flipnb.enclave.stores.store import Store

_PROGRESS_S = 0.5


class ProgressKeeper:
    """Where a run is, by the enclave's own clock; at most two reports a second, beside one per cell. Thread-safe.

    A round's kernel does not wait until its start is on disk: what is new is kept by ``flush``, which the agent calls
    a few times a second. Epochs come from the notebook: within a round they only rise, up to the number told first.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._started = time.monotonic()
        self._told = 0.0
        self._new = False
        self._cell: tuple[int, int] | None = None
        self._epoch: tuple[int, int | None] | None = None
        self._memory: tuple[int, int] | None = None
        self._gpu: tuple[int, int] | None = None
        self.number: int | None = None

    @property
    def at_cell(self) -> int | None:
        """The 1-based number of the code cell that runs; None before the first."""
        return self._cell[0] if self._cell is not None else None

    def cell(self, index: int, of: int) -> None:
        """A cell has begun, by the runner's word."""
        self._cell = (index, of)
        self._keep()

    def round(self, number: int) -> None:
        """A round has begun, by the airlock's word."""
        self.number, self._epoch, self._new = number, None, True

    def memory(self, eighths: int, of_bytes: int) -> None:
        """The most that a kernel of this run has used, which a kernel that is started anew does not undo."""
        if self._memory is None or eighths > self._memory[0]:
            self._memory = (eighths, of_bytes)
            self._keep()

    def gpu(self, eighths: int, of_bytes: int) -> None:
        """As ``memory``, of the GPU that a kernel has filled most."""
        if self._gpu is None or eighths > self._gpu[0]:
            self._gpu, self._new = (eighths, of_bytes), True

    def tell(self, message: Tell) -> None:
        """The notebook says how far its local training is."""
        before, of = self._epoch or (-1, message.epochs)
        if message.epoch > before and (of is None or message.epoch <= of):
            self._epoch, self._new = (message.epoch, of), True

    def flush(self) -> None:
        """Keep and report what is new since the last report, if that is not from just now."""
        if self._new and time.monotonic() - self._told >= _PROGRESS_S:
            self._keep()

    def _keep(self) -> None:
        now = time.monotonic()
        self._told, self._new = now, False
        cell, cells = self._cell or (None, None)
        epoch, epochs = self._epoch or (None, None)
        memory, memory_of = _bytes_used(self._memory)
        gpu, gpu_of = _bytes_used(self._gpu)
        seconds = round(now - self._started, 1)
        self._store.runs.progress(
            self._run,
            Progress(
                cell=cell,
                cells=cells,
                round=self.number,
                epoch=epoch,
                epochs=epochs,
                seconds=seconds,
                memory_bytes=memory,
                memory_of_bytes=memory_of,
                gpu_bytes=gpu,
                gpu_of_bytes=gpu_of,
            ),
        )


def _bytes_used(measured: tuple[int, int] | None) -> tuple[int | None, int | None]:
    if measured is None:
        return None, None
    eighths, of_bytes = measured
    return -(-eighths * of_bytes // 8), of_bytes
