"""How good an estate's data are: conformance, completeness and plausibility, per table and field."""

from flipnb.estate.quality.assessment import assess
from flipnb.estate.quality.findings import Finding, QualityReport
from flipnb.estate.quality.page import page

__all__ = ["Finding", "QualityReport", "assess", "page"]
