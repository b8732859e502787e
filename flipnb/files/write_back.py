"""Large files that are on disk soon after their last byte: written back while they are still being written."""

from __future__ import annotations

import os
import threading

_STRIDE = 32 << 20


class WriteBack:
    """Syncs an open file in the background every 32 MB, so that the last sync has little left to do.

    Linux would begin to write back at a tenth of all memory, or after 30 s; a round of a large model is over by then.
    Call ``wrote`` after each write, and ``finish`` or ``abandon`` once, before the file is closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unsynced = 0
        self._thread: threading.Thread | None = None
        self._failed: OSError | None = None

    def wrote(self, size: int) -> None:
        """So many bytes more were written; those of a full stride begin to go to disk."""
        self._unsynced += size
        if self._unsynced < _STRIDE or (self._thread is not None and self._thread.is_alive()):
            return
        self._unsynced = 0
        self._thread = threading.Thread(target=self._sync, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """All of it is on disk when this returns. Raises OSError as ``os.fsync``."""
        self.abandon()
        if self._failed is not None:
            raise self._failed
        os.fsync(self._descriptor)

    def abandon(self) -> None:
        """Nothing touches the descriptor any more."""
        if self._thread is not None:
            self._thread.join()

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failed = error  # Linux says it once only
