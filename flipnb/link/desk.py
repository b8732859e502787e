"""The desk of a Trust's data controllers, as the terminal, Lab and the approval page reach it: over the unix socket of
the enclave's agent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import Signed
from flipnb.contracts.document import Document, load_json
from flipnb.contracts.problem import FlipError
from flipnb.link.exchange import AS_SENT, Peer, exchange

_AGENT = Peer(
    name="agent",
    code="agent-down",
    silence="The enclave's agent does not answer",
    remedy="Is it running? See its log.",
)
_ANSWER_BYTES = 1 << 30
"""The desk's answers may hold pictures, and a whole audit log."""

D = TypeVar("D", bound=Document)


class DeskClient:
    """Requests to the desk that listens at ``socket``. Safe to use from several threads.

    Raises FlipError: what the desk refuses, ``agent-down`` where nobody listens.
    """

    def __init__(self, socket: Path) -> None:
        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reads no authorities
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket), verify=no_tls),
            base_url="http://desk",
            headers=AS_SENT,
            timeout=60.0,
            trust_env=False,
        )

    def __enter__(self) -> DeskClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(self, path: str, model: type[D]) -> D:
        """What the desk has at ``path`` (with its query), as a ``model``."""
        return model.model_validate_json(self.send("GET", path))

    def post(self, path: str, body: bytes = b"") -> None:
        """Have the desk do something; ``body`` is a document's bytes."""
        self.send("POST", path, body)

    def post_envelope(self, path: str, sealed: bytes, model: type[D]) -> D:
        """Hand over what a data controller has sealed; the desk's answer, as a ``model``."""
        return model.model_validate_json(self.send("POST", path, Signed(envelope=sealed.decode()).to_bytes()))

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One request; the bytes of its answer."""
        request = self._http.build_request(method, path, content=body, headers={"content-type": "application/json"})
        return exchange(self._http, request, _AGENT, _ANSWER_BYTES)


@contextmanager
def desk(enclave: Path) -> Iterator[DeskClient]:
    """The desk of the enclave in the directory ``enclave``. Raises FlipError ``no-enclave``, ``agent-down``."""
    with DeskClient(enclave / enclave_configuration(enclave)["runtime_dir"] / "desk.sock") as client:
        yield client


def enclave_configuration(enclave: Path) -> dict[str, Any]:
    """``enclave.json``. Raises FlipError ``no-enclave``."""
    path = enclave / "enclave.json"
    try:
        configuration: dict[str, Any] = load_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise FlipError("no-enclave", f"{enclave} is no enclave: there is no enclave.json.") from None
    return configuration


def enclave_controllers(enclave: Path) -> tuple[Controller, ...]:
    """The data controllers of the enclave. Raises FlipError ``no-enclave``, ``invalid-document``."""
    try:
        return tuple(Controller.model_validate(entry) for entry in enclave_configuration(enclave)["controllers"])
    except (KeyError, ValidationError):
        raise FlipError("invalid-document", f"{enclave / 'enclave.json'} does not say who decides here.") from None
