"""The approval page of an enclave as a browser sends to it, for tests."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from enclave_federation import CONTROLLER, Trust

from flipnb.contracts.desk import ApprovalPage


class ApprovalTab:
    """A browser's tab on the approval page of one request."""

    def __init__(self, trust: Trust, bundle: str, controller: str = CONTROLLER) -> None:
        trust.read(bundle, controller)
        issued = ApprovalPage.model_validate_json(trust.post(f"/requests/{bundle}/page", b"").content)
        self.url, self.bundle, self.controller = issued.url, bundle, controller

    def look(self, **headers: str) -> httpx.Response:
        return httpx.get(self.url, headers=_named(headers), timeout=30, trust_env=False)

    def press(
        self, passphrase: str, *, bundle: str | None = None, executions: str = "1", fields: int = 0, **headers: str
    ) -> httpx.Response:
        parts = urlsplit(self.url)
        own = {"origin": f"{parts.scheme}://{parts.netloc}", "sec-fetch-site": "same-origin"}
        form = {"bundle": bundle or self.bundle, "executions": executions, "days": "7"}
        form |= {"controller": self.controller, "passphrase": passphrase}
        form |= {f"field{number}": "1" for number in range(fields)}
        return httpx.post(self.url, data=form, headers=own | _named(headers), timeout=30, trust_env=False)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
