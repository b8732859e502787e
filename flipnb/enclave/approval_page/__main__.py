"""``python -m flipnb.enclave.approval_page --listen FD --desk SOCKET --keys DIR``, started by the agent."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from flipnb.enclave.approval_page.page import ApprovalSite
from flipnb.link.desk import DeskClient


def main() -> None:
    """Serve the page on a listening socket of the agent's, until the agent ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--desk", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    threading.Thread(target=_end_with_agent, daemon=True).start()
    listener = socket.socket(fileno=given.listen)
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    site = ApprovalSite(origin, DeskClient(given.desk), given.keys)
    server = uvicorn.Server(
        uvicorn.Config(
            site.application(), log_config=None, access_log=False, lifespan="off", ws="none", server_header=False
        )
    )
    server.run(sockets=[listener])


def _end_with_agent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
