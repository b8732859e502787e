"""Where a run is, as its researcher may know it."""

from __future__ import annotations

from flipnb.contracts.broker import Tell
from flipnb.contracts.channels import EIGHTHS
from flipnb.contracts.run import Progress
from flipnb.enclave.stores.grid import Grid
from flipnb.enclave.stores.store import Store


class ProgressKeeper:
    """Where a run is, told on the ticks of its grid, once a tick at most and where anything is new. Thread-safe.

    A notebook chooses when its cells begin, how much memory it takes and how fast it trains: all of that only rises,
    so that what it can tell by it is counted (``contracts.channels``). A round's kernel does not wait until its start
    is on disk: the agent calls ``flush`` a few times a second. ``epochs`` are those that the plan declares for a round.
    """

    def __init__(self, store: Store, run: str, *, epochs: int | None, grid: Grid) -> None:
        self._store, self._run, self._epochs, self._grid = store, run, epochs, grid
        self._seen = 0
        self._new = False
        self._cell: tuple[int, int] | None = None
        self._eighths: int | None = None
        self._memory: tuple[int, int] | None = None
        self._gpu: tuple[int, int] | None = None
        self.at_cell: int | None = None
        """The 1-based number of the code cell that runs; None before the first."""
        self.number: int | None = None

    def cell(self, index: int, of: int) -> None:
        """A cell has begun, by the runner's word."""
        self.at_cell = index
        if self._cell is None or index > self._cell[0]:
            self._cell, self._new = (index, of), True

    def offered(self, number: int) -> None:
        """The weights of a round are there. Any but the first begins with that: a kernel that hangs up, or is started
        anew, chooses when it asks for them."""
        if self.number is not None:
            self.round(number)

    def round(self, number: int) -> None:
        """A round has begun, by the airlock's word; a kernel that is started anew begins it again."""
        if self.number is None or number > self.number:
            self.number, self._new = number, True
            self._eighths = 0 if self._epochs is not None else None

    def memory(self, eighths: int, of_bytes: int) -> None:
        """The most that a kernel of this run has used, which a kernel that is started anew does not undo."""
        if self._memory is None or eighths > self._memory[0]:
            self._memory, self._new = (eighths, of_bytes), True

    def gpu(self, eighths: int, of_bytes: int) -> None:
        """As ``memory``, of the GPU that a kernel has filled most."""
        if self._gpu is None or eighths > self._gpu[0]:
            self._gpu, self._new = (eighths, of_bytes), True

    def tell(self, message: Tell) -> None:
        """The notebook says how many epochs of this round are done."""
        if self._epochs is None or self._eighths is None:
            return
        eighths = min(EIGHTHS, EIGHTHS * message.epoch // self._epochs)
        if eighths > self._eighths:
            self._eighths, self._new = eighths, True

    def flush(self) -> None:
        """Keep and report what is new, where a tick has come since the last call; what is later waits for the next."""
        tick = self._grid.point
        if tick > self._seen:
            self._seen = tick
            if self._new:
                self._keep(tick, None)

    def end(self) -> None:
        """Keep what is new at the run's end, to be reported with the next tick."""
        if self._new:
            self._keep(self._grid.point + 1, self._grid.next)

    def _keep(self, tick: int, due: float | None) -> None:
        self._new = False
        cell, cells = self._cell or (None, None)
        memory, memory_of = _bytes_used(self._memory)
        gpu, gpu_of = _bytes_used(self._gpu)
        self._store.runs.progress(
            self._run,
            Progress(
                cell=cell,
                cells=cells,
                round=self.number,
                eighths=self._eighths,
                seconds=round(tick * self._grid.step, 3),
                memory_bytes=memory,
                memory_of_bytes=memory_of,
                gpu_bytes=gpu,
                gpu_of_bytes=gpu_of,
            ),
            due=due,
        )


def _bytes_used(measured: tuple[int, int] | None) -> tuple[int | None, int | None]:
    if measured is None:
        return None, None
    eighths, of_bytes = measured
    return -(-eighths * of_bytes // EIGHTHS), of_bytes
