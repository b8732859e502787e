"""What a data controller declares lost of an enclave, signed with their own key: whoever vouches for it is a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flipnb.contracts.document import Document, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.text import Line


class LostFile(Document):
    """A file of the enclave, by its name, and what is wrong with it."""

    name: Line = Field(min_length=1)
    fault: Line = Field(min_length=1)


class Loss(Document):
    """``restored``: the enclave was put back from a backup, and what happened since is known to nobody."""

    version: Literal["flip/loss/1"] = "flip/loss/1"
    trust: KeyId
    files: tuple[LostFile, ...] = Field(max_length=10_000)
    restored: bool
    declared: Moment
