"""The desk of a Trust's data controllers, as their tools reach it: over the unix socket of the enclave's agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import Signed
from flipnb.contracts.document import Document, load_json, refusal
from flipnb.contracts.problem import FlipError

D = TypeVar("D", bound=Document)


class DeskClient:
    """Requests to the agent's desk over its unix socket."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, model: type[D]) -> D:
        return model.model_validate_json(self.send("GET", path))

    def post(self, path: str, body: bytes = b"") -> None:
        self.send("POST", path, body)

    def post_envelope(self, path: str, sealed: bytes, model: type[D]) -> D:
        return model.model_validate_json(self.send("POST", path, Signed(envelope=sealed.decode()).to_bytes()))

    def raw(self, path: str) -> bytes:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        try:
            answer = self._http.request(method, path, content=body, headers={"content-type": "application/json"})
        except httpx.TransportError as error:
            raise FlipError(
                "agent-down", f"The enclave's agent does not answer: {error}.", remedy="Is it running? See its log."
            ) from None
        if not answer.is_success:
            raise refusal(answer.status_code, answer.content, "agent")
        return answer.content


@contextmanager
def desk(enclave: Path) -> Iterator[DeskClient]:
    """The desk of the enclave in the directory ``enclave``. Raises FlipError ``no-enclave``, ``agent-down``."""
    socket = enclave / enclave_configuration(enclave)["runtime_dir"] / "desk.sock"
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://desk", timeout=60.0, trust_env=False
    ) as http:
        yield DeskClient(http)


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
