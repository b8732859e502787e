"""What a quality report says, as data."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from flipnb.contracts.document import Document

Category = Literal["conformance", "completeness", "plausibility"]
Status = Literal["pass", "fail", "note"]


class Finding(Document):
    """One check of one table or field: ``violated`` of ``total`` rows (or people, or values).

    ``allowed`` is the share that may be violated; None where the share is told and not judged. ``example`` is a value
    or an id that violates, for whoever mends it.
    """

    category: Category
    check: str
    table: str
    field: str | None = None
    meaning: str
    violated: int
    total: int
    allowed: float | None = None
    example: str | None = None

    @property
    def share(self) -> float:
        """The share of rows that violate the rule, 0 to 1; 0 where there are none."""
        return self.violated / self.total if self.total else 0.0

    @property
    def status(self) -> Status:
        """``fail`` above the share that is allowed, else ``pass``; ``note`` where nothing is required."""
        if self.allowed is None:
            return "note"
        return "fail" if self.share > self.allowed else "pass"


def example_of(value: Any) -> str | None:
    """A value that violates, as a finding shows it."""
    return None if value is None else str(value)[:80]


class QualityReport(Document):
    """Exact numbers, for inside the enclave: rows of the tables that have any, rows by table and year, findings."""

    version: str
    day: date
    people: int
    rows: dict[str, int]
    years: dict[str, dict[int, int]]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that fail, in the report's order."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    def told(self) -> dict[str, object]:
        """The report with each finding's share and status, as ``--json`` prints it."""
        findings = [
            {**finding.model_dump(mode="json"), "share": finding.share, "status": finding.status}
            for finding in self.findings
        ]
        judged = [finding for finding in self.findings if finding.allowed is not None]
        summary = {"checks": len(judged), "failed": len(self.failed), "notes": len(self.findings) - len(judged)}
        return {**self.model_dump(mode="json", exclude={"findings"}), "summary": summary, "findings": findings}
