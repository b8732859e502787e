"""A Trust that missed a round's deadline: left out, but not sent away; it may come back in a later round.

The round's task stays in its queue. When it has answered that round (too late: the reply is refused, by name), its
enclave is ready for the next one, and it is asked again with the others.
"""

from __future__ import annotations

from flipnb.contracts.problem import FlipError
from flipnb.hub.store.tables import PartRow, TaskRow

LATE, BACK = "late", "late-reply"


def is_late(part: PartRow) -> bool:
    """Whether the part missed a round's deadline, and nothing worse."""
    return part.state == "left-out" and part.code == LATE


def late_reply(title: str, task: TaskRow) -> FlipError:
    """Why the reply of the Trust with this title to a round that is over is not taken."""
    return FlipError(
        BACK,
        f"The reply of {title} to round {task.round} came after the deadline and is not in the sum.",
        remedy="Nothing needs to be done: the Trust takes part again from the next round on.",
        status=409,
    )
