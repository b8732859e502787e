"""Errors and remarks as FHIR's OperationOutcome (hl7.org/fhir/R4/operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flipnb.contracts.problem import FlipError

# FlipError code → FHIR's issue type and the HTTP status; others are 400 "invalid".
_ISSUES: dict[str, tuple[str, int]] = {
    "unknown-resource": ("not-supported", 404),
    "unknown-interaction": ("not-supported", 404),
    "method-not-allowed": ("not-supported", 405),
    "not-found": ("not-found", 404),
    "bad-value": ("value", 400),
    "unknown-modifier": ("not-supported", 400),
    "unknown-parameter": ("not-supported", 400),
    "unknown-value-set": ("not-supported", 400),
    "bad-cursor": ("invalid", 400),
    "version-gone": ("deleted", 410),
    "too-many-included": ("too-costly", 400),
    "not-acceptable": ("not-supported", 406),
    "unsupported-media-type": ("not-supported", 415),
    "too-long": ("too-long", 413),
    "no-token": ("login", 401),
    "wrong-host": ("security", 421),
    "wrong-origin": ("security", 403),
    "no-estate": ("transient", 503),
    "database-away": ("transient", 503),
    "internal": ("exception", 500),
}


def status_of(error: FlipError) -> int:
    """The HTTP status under which the server sends an error; 400 where nothing else fits."""
    return _ISSUES.get(error.code, ("invalid", 400))[1]


def outcome_of(error: FlipError) -> dict[str, Any]:
    """The OperationOutcome of an error, with FHIR's code of its kind."""
    return outcome([("error", _ISSUES.get(error.code, ("invalid", 400))[0], str(error))])


def outcome(issues: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Issues as (severity, type, words)."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": severity, "code": code, "diagnostics": " ".join(words.split())}
            for severity, code, words in issues
        ],
    }
