"""The runner process, started in a jail by RunnerProcess."""

from __future__ import annotations

import os
import sys
from typing import Any

_UNUSED = ("pyarrow", "rfc3987_syntax")
"""What papermill and jsonschema import where it is installed, for remote paths and for the format of addresses: two
thirds of a runner's start, half of its memory, and parsers that it has no use for."""


def main() -> int:
    """Do what the order on the descriptor says, without the libraries that it has no use for; 0 at the end."""
    modules: dict[str, Any] = sys.modules
    for name in _UNUSED:
        modules[name] = None
    from flipnb.enclave.runner import execute

    return execute.main()


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Threads of a library, or a kernel's open channel, must not keep a runner from ending.
    os._exit(status)
