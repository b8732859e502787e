"""``python -m flipnb.enclave.viewer RUN``: a notebook on standard input, a ``ShownNotebook`` on standard output."""

from __future__ import annotations

import sys

from flipnb.enclave.viewer.show import show

if __name__ == "__main__":
    sys.stdout.write(show(sys.argv[1], sys.stdin.buffer.read()).model_dump_json())
