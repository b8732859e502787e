"""Errors that people see: what was wrong, where, and what to do."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FlipError(Exception):
    """An error for a person: no traceback is shown, ``code`` is stable and can be tested for.

    ``code`` is a short kebab-case name; ``message`` says what was wrong and where; ``remedy`` what to do.
    ``status`` is the HTTP status under which a server sends it.
    """

    def __init__(self, code: str, message: str, *, remedy: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def problem(self) -> Problem:
        """The error as it is sent: code, message and remedy, without the status."""
        return Problem(code=self.code, message=self.message, remedy=self.remedy)


class Problem(BaseModel):
    """The JSON body of every error response between zones."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    message: str
    remedy: str = ""

    def error(self, status: int) -> FlipError:
        """The error to raise where a problem was received with the HTTP ``status``."""
        return FlipError(self.code, self.message, remedy=self.remedy, status=status)
