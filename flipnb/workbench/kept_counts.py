"""What the Trusts told this researcher, kept on disk: so that counts come back, and that what is paid for is known.

Below ``counts`` in the researcher's home lie released numbers alone, noisy and rounded, and digests of questions. What
a Trust charges is its own ledger's word; since a ledger never forgets what was paid for, a question that is kept here
as paid is free there, as long as the Trust's estate and its noise are as they were.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from flipnb.contracts.asked import Asked
from flipnb.contracts.count import CountReply
from flipnb.contracts.document import D, Digest, Document, Moment, parse
from flipnb.contracts.keys import KeyId
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Name
from flipnb.files.whole import write
from flipnb.workbench.home import Home

_MOST_CELLS = 20_000
"""Far more than a budget pays for in years."""
_MOST_BYTES = 8 << 20


class KeptCounts(Document):
    """What the Trusts of a study said of a cohort when they were last asked for people; silent ones are missing."""

    study: Name
    asked: Moment
    replies: dict[KeyId, CountReply]


class Paid(Document):
    """What was paid for at one Trust: ``cells`` by digest, of its estate's version ``estate``, under its ``noise``."""

    estate: str
    noise: float
    cells: tuple[Digest, ...] = ()


def keep(home: Home, study: str, asked: Asked, replies: Mapping[KeyId, CountReply]) -> None:
    """Keep what Trusts replied, by key id; a disk that is full or read-only is no reason to lose an answer."""
    with suppress(OSError):
        for trust, reply in replies.items():
            _keep_paid(home, trust, asked, reply)
        if asked.rules and replies:
            kept = KeptCounts(study=study, asked=datetime.now(UTC), replies=dict(replies))
            _write(_counts_file(home, study, asked.whole), kept)


def last_counts(home: Home, study: str, cohort: str) -> KeptCounts | None:
    """The last counts of the cohort with this meaning; None where there are none."""
    kept = _read(KeptCounts, _counts_file(home, study, cohort))
    if kept is None or kept.study != study or any(reply.trust != trust for trust, reply in kept.replies.items()):
        return None
    return kept


def price_at(home: Home, trust: KeyId, asked: Asked) -> int:
    """What a Trust will charge for a question, as far as is known here: at most that, unless its estate was changed."""
    paid = _paid(home, trust)
    known = set(paid.cells) if paid is not None else set()
    return sum(cost for cell, cost in asked.costs.items() if cell not in known)


def _keep_paid(home: Home, trust: KeyId, asked: Asked, reply: CountReply) -> None:
    if reply.problem is not None or reply.estate_version is None or reply.noise is None:
        return
    before = _paid(home, trust)
    same = before is not None and (before.estate, before.noise) == (reply.estate_version, reply.noise)
    cells = before.cells if before is not None and same else ()
    known = set(cells)
    new = tuple(cell for cell in asked.costs if cell not in known)
    if new or not same:
        made = Paid(estate=reply.estate_version, noise=reply.noise, cells=(*cells, *new)[-_MOST_CELLS:])
        _write(_paid_file(home, trust), made)


def _paid(home: Home, trust: KeyId) -> Paid | None:
    return _read(Paid, _paid_file(home, trust))


def _paid_file(home: Home, trust: KeyId) -> Path:
    return home.directory / "counts" / "paid" / f"{trust}.json"


def _counts_file(home: Home, study: str, cohort: str) -> Path:
    return home.directory / "counts" / "studies" / study / f"{cohort}.json"


def _read(model: type[D], path: Path) -> D | None:
    """What ``_write`` wrote; None of anything else: a pipe would be waited for, a device has no end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return parse(model, file.read(_MOST_BYTES + 1), path.name, limit=_MOST_BYTES)
    except (OSError, FlipError):
        return None
    finally:
        os.close(handle)


def _write(path: Path, kept: Document) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write(path, kept.to_bytes(), mode=0o600)
