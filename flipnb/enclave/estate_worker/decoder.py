"""The walls of what decodes images: a jail within the estate worker's, which sees neither its estate nor its folder."""

from __future__ import annotations

from socket import socket

from flipnb.enclave.sandbox.interpreter import Interpreter
from flipnb.enclave.sandbox.jail import JailedProcess, spawn
from flipnb.estate.imaging.decoder import ENVIRONMENT


def jailed(inside: socket) -> JailedProcess:
    """A decoder that answers on ``inside``; it sees Python and flipnb alone. Raises FlipError ``jail-failed``."""
    interpreter = Interpreter.current()
    return spawn(
        [interpreter.executable, "-P", "-m", "flipnb.estate.imaging.decoder_process", str(inside.fileno())],
        uid=None,
        pass_fds=[inside.fileno()],
        environment=ENVIRONMENT,
        interpreter=interpreter,
    )
