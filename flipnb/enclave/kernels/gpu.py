"""NVIDIA's GPUs, through NVIDIA's own library (NVML): how many there are, and how much of one a kernel has filled.

Measured by the agent, and not in the runner's jail: of a process in another process namespace NVML gives no number
that means anything there, or no memory. No driver, no GPU: nothing is imported, started or reported.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from flipnb.enclave.sandbox.limits import eighths, tree

MEASURE_S = 2.0
_GPUS = Path("/proc/driver/nvidia/gpus")
_PROCESS_NAMESPACE = Path("/proc/self/ns/pid")
_MACHINE = 0xEFFFFFFC
"""The machine's own process namespace, which has this number on every Linux."""
_LOG = logging.getLogger(__name__)


def gpu_count() -> int:
    """How many GPUs NVIDIA's driver has; 0 where there is no driver."""
    return len(list(_GPUS.iterdir())) if _GPUS.is_dir() else 0


@contextlib.contextmanager
def gpus_watched(pid: int, rose: Callable[[int, int], None]) -> Iterator[None]:
    """Have a GpuWatch over the process ``pid`` meanwhile, where there are GPUs, and processes by NVML's numbers."""
    if not gpu_count() or _PROCESS_NAMESPACE.stat().st_ino != _MACHINE:
        yield
        return
    watch = GpuWatch(pid, rose)
    watch.start()
    try:
        yield
    finally:
        watch.close()


class GpuWatch(threading.Thread):
    """How much memory ``pid`` and its descendants use of the GPU that they fill most.

    ``rose`` is called, in this thread, with the eighths and that GPU's bytes, whenever the most so far has entered
    another eighth. Nobody waits for this thread: a call to the driver of a GPU that is lost may never return.
    """

    def __init__(self, pid: int, rose: Callable[[int, int], None]) -> None:
        super().__init__(name="gpus", daemon=True)
        self._pid, self._rose, self._eighths = pid, rose, 0
        self._over = threading.Event()

    def close(self) -> None:
        """Measure no more."""
        self._over.set()

    def run(self) -> None:
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            _LOG.warning("GPU memory is not measured: %s", error)
            return
        while not self._over.wait(MEASURE_S):
            self.measure()
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def measure(self) -> None:
        """Tell how much of a GPU the kernel's processes fill, where it is in a higher eighth than before."""
        own = {process.pid for process in tree(self._pid)}
        used, of_bytes = max((_filled(index, own) for index in range(gpu_count())), default=(0, 0))
        if used > self._eighths:
            self._eighths = used
            self._rose(used, of_bytes)


def _filled(index: int, own: Set[int]) -> tuple[int, int]:
    """Eighths that the processes ``own`` use of one GPU, and its bytes; none of one that is lost, or can't tell."""
    import pynvml

    try:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        of_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total)
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    except pynvml.NVMLError:
        return 0, 0
    return eighths(sum(one.usedGpuMemory or 0 for one in running if one.pid in own), of_bytes), of_bytes
