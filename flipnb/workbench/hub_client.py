"""The researcher's requests to the hub: TLS under the configured authority, each one signed."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from flipnb.contracts.document import load_json, refusal, sha256
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.request_signature import Request, sign_request
from flipnb.workbench.home import Configuration, Home

_CHUNK = 1 << 20


class HubClient:
    """Synchronous; use as a context manager. Raises FlipError: what the hub says, or ``hub-unreachable``."""

    def __init__(self, configuration: Configuration, key: SigningKey) -> None:
        self._configuration = configuration
        self._key = key
        self._http = httpx.Client(
            verify=trust_only(configuration.ca), timeout=httpx.Timeout(20.0, read=60.0), trust_env=False
        )

    @classmethod
    def of(cls, home: Home) -> HubClient:
        return cls(home.configuration, home.key)

    def __enter__(self) -> HubClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str) -> bytes:
        return self._request("GET", path, b"")

    def get_json(self, path: str) -> Any:
        return load_json(self.get(path), "The hub's answer")

    def post(self, path: str, body: bytes = b"") -> bytes:
        return self._request("POST", path, body)

    def put_blob(self, study: str, file: Path) -> str:
        """Upload a file under its SHA-256, which is returned."""
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()

        def chunks() -> Iterator[bytes]:
            with file.open("rb") as opened:
                while chunk := opened.read(_CHUNK):
                    yield chunk

        headers = {"content-length": str(file.stat().st_size)}
        self._request("PUT", f"/v1/blobs/{digest}?study={study}", chunks(), digest=digest, headers=headers)
        return digest

    def save_blob(self, digest: str, file: Path) -> None:
        """Download a blob; the file appears complete and with this digest, or not at all. FlipError ``wrong-blob``."""
        url = f"{self._configuration.hub}/v1/blobs/{digest}"
        signed = self._signed("GET", url, sha256(b""))
        found = hashlib.sha256()
        partial = file.with_name(file.name + ".partial")
        try:
            with self._http.stream("GET", url, headers=signed.headers) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response.status_code, response.content, "hub")
                with partial.open("wb") as target:
                    for chunk in response.iter_bytes(_CHUNK):
                        found.update(chunk)
                        target.write(chunk)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if found.hexdigest() != digest:
            partial.unlink()
            raise FlipError("wrong-blob", f"The hub gave other bytes for the blob {digest[:12]}…; nothing was kept.")
        partial.replace(file)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes],
        *,
        digest: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        url = self._configuration.hub + path
        signed = self._signed(method, url, digest or sha256(body if isinstance(body, bytes) else b""))
        try:
            response = self._http.request(method, url, content=body, headers={**signed.headers, **(headers or {})})
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if not response.is_success:
            raise refusal(response.status_code, response.content, "hub")
        return response.content

    def _signed(self, method: str, url: str, digest: str) -> Request:
        request = Request(method, url, {})
        sign_request(request, self._key, audience=self._configuration.audience, body_sha256=digest)
        return request

    def _unreachable(self, error: Exception) -> FlipError:
        return FlipError(
            "hub-unreachable",
            f"The hub at {self._configuration.hub} can't be reached: {str(error) or type(error).__name__}.",
            remedy="Try again when it is back; nothing was begun by halves.",
            status=503,
        )


def trust_only(authority: str) -> ssl.SSLContext:
    """TLS that believes the authority in this file and no other. Raises FlipError ``no-ca``."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise FlipError("no-ca", f"The authority's certificate {authority} can't be read: {error}.") from None
