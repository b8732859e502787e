"""A person's approval of one bundle at one Trust, signed with the controller's own key."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.text import Line


class Approval(Document):
    """Holds for this bundle, policy and estate version alone; ``executions`` runs may start before ``expires``."""

    version: Literal["flip/approval/1"] = "flip/approval/1"
    trust: KeyId
    bundle: Digest
    policy: Digest
    estate_version: str = Field(pattern=r"^[0-9a-z-]{1,64}$")
    executions: int = Field(ge=1, le=1000)
    approved: Moment
    expires: Moment


class Decline(Document):
    """A person's refusal. The reason is for the researcher."""

    bundle: Digest
    reason: Line = Field(min_length=1)
