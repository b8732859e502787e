"""What runs and Trusts are called, wherever a person reads of them: one function for each.

The screens have the same rules in ``labextension/src/models/naming.ts``; ``labextension/tests/naming.json`` holds the
two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from flipnb.contracts.choices import Choices
from flipnb.contracts.document import canonical_bytes
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunView, TrustPart
from flipnb.workbench.home import Home
from flipnb.workbench.studies import read_roster


class _Named(Protocol):
    @property
    def title(self) -> str: ...

    @property
    def point(self) -> Mapping[str, Scalar]: ...

    @property
    def telling(self) -> Sequence[str]: ...

    @property
    def choices(self) -> Choices: ...


def run_name(run: _Named) -> str:
    """ "Coronary artery disease · lr 0.5": the title, and the parameters that tell the run from others of its bundle.

    ``run`` is a RunView or a RunRecord; of a hub that does not say which parameters tell, all of them are named. What
    it chose beside its parameters tells as well.
    """
    told = {name: run.point[name] for name in run.telling if name in run.point}
    said = point_text((told or dict(run.point)) | run.choices.told)
    return f"{run.title} · {said}" if said else run.title


def point_text(point: Mapping[str, Scalar]) -> str:
    """ "lr 0.5, smooth true": numbers as JavaScript writes them, so that screens and terminals agree."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in point.items())


def trust_titles(home: Home, study: str, parts: Iterable[TrustPart] = ()) -> dict[str, str]:
    """What the Trusts of a study are called, by key: their titles in the roster that this researcher keeps.

    Of a study whose roster is not here, the names that the hub gives for ``parts``.
    """
    titles = {part.trust: part.name for part in parts}
    try:
        roster = read_roster(home, study)
    except FlipError:
        return titles
    return titles | {trust.key_id: trust.title for trust in roster.trusts}


def waited(run: RunView, now: datetime | None = None) -> float:
    """Seconds from its submission to its start, until ``now`` or its end where it has not started."""
    until = run.started or run.finished or now or datetime.now(UTC)
    return max(0.0, (until - run.submitted).total_seconds())


def ran(run: RunView, now: datetime | None = None) -> float | None:
    """Seconds from its start to its end, else until ``now``; None where it has not started."""
    if run.started is None:
        return None
    return max(0.0, ((run.finished or now or datetime.now(UTC)) - run.started).total_seconds())


def duration(seconds: float | None) -> str:
    """ "8 s", "4 min", "1 h 05 min"; empty for None."""
    if seconds is None:
        return ""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _shown(value: Scalar) -> str:
    return value if isinstance(value, str) else canonical_bytes(value).decode()
