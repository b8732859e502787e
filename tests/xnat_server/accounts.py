"""Who may ask: users with passwords, alias tokens that stand for them, and the sessions that they opened."""

from __future__ import annotations

import base64
import secrets
import uuid
from dataclasses import dataclass, field

from starlette.requests import Request


@dataclass
class Accounts:
    """Passwords by user; users by alias and secret; users by JSESSIONID."""

    passwords: dict[str, str] = field(default_factory=lambda: {"flip": secrets.token_hex(8)})
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)

    def issue(self, user: str) -> tuple[str, str]:
        """An alias token: an alias and a secret, which stand for a name and a password."""
        made = (str(uuid.uuid4()), secrets.token_urlsafe(48))
        self.tokens[made] = user
        return made

    def log_in(self, name: str, password: str) -> str | None:
        """The user whom these credentials are of."""
        if (name, password) in self.tokens:
            return self.tokens[name, password]
        return name if self.passwords.get(name) == password else None

    def open(self, user: str) -> str:
        """A JSESSIONID of 32 characters."""
        made = secrets.token_hex(16).upper()
        self.sessions[made] = user
        return made

    def close(self, request: Request) -> None:
        self.sessions.pop(request.cookies.get("JSESSIONID", ""), None)

    def who(self, request: Request) -> str | None:
        """By Basic credentials, else by cookie."""
        kind, _, told = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            name, _, password = base64.b64decode(told).decode("utf-8", "replace").partition(":")
            return self.log_in(name, password)
        return self.sessions.get(request.cookies.get("JSESSIONID", ""))
