"""What a researcher's workbench hears from the hub: that something changed, and where to look."""

from __future__ import annotations

from pydantic import Field

from flipnb.contracts.document import Document
from flipnb.contracts.run import RunId


class Feed(Document):
    """GET /v1/feed: answers when ``position`` or ``pulse`` is another than the caller names, or after its wait.

    ``position`` is the number of all events of the caller's studies; it only rises. ``runs`` gives the number of the
    last event of each run that goes on or ended within the last hour, so that a listener sees which ones to fetch.
    ``pulse`` changes when a Trust of the caller's studies comes, goes, joins or says something new of itself.
    """

    position: int = Field(ge=0)
    pulse: str
    runs: dict[RunId, int]
