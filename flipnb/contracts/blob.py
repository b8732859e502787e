"""How far an upload has come, so that it goes on where it broke off."""

from __future__ import annotations

from pydantic import Field

from flipnb.contracts.document import Document


class ReceivedBlob(Document):
    """GET /v1/blobs/{sha256}/received. ``size`` bytes of the caller's upload are at the hub; ``whole``: it is there."""

    size: int = Field(ge=0)
    whole: bool
