"""Days as headers write them."""

from __future__ import annotations

import re
from datetime import date

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")


def day_of(text: str) -> date | None:
    """A day written as DA (PS3.5, 6.2), or as ACR-NEMA wrote it, with points; None for anything else."""
    found = _DA.fullmatch(text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
