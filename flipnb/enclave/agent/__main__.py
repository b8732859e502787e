"""``python -m flipnb.enclave.agent --enclave DIR``: the daemon of one enclave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.daemon import serve


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0, or 1 where the enclave can't be served."""
    parser = argparse.ArgumentParser(prog="python -m flipnb.enclave.agent", description="The agent of one enclave.")
    parser.add_argument("--enclave", type=Path, required=True, help="the enclave's directory")
    arguments = parser.parse_args()
    try:
        serve(arguments.enclave)
    except FlipError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
