"""A study's roster, and each Trust's own signed membership of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Digest, Document, Later, Moment
from flipnb.contracts.keys import KeyId, PublicKey, key_id
from flipnb.contracts.plan import MAX_TRUSTS
from flipnb.contracts.text import Line, Name


class Researcher(Document):
    """A person who may send bundles to a study, by key; the name is for people alone."""

    name: Line = Field(min_length=1)
    public_key: PublicKey


class Trust(Document):
    """A Trust of a study: ``name`` for commands, ``title`` for screens, the public half of its node key."""

    name: Name
    title: Line
    public_key: PublicKey

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's 32 raw bytes, hexadecimal: how messages name the Trust."""
        return key_id(self.public_key)


class Roster(Document):
    """Who takes part in a study, by key. Its digest is the membership digest that bundles name.

    ``institution``, ``ethics`` (the ethics committee's reference) and ``governance`` (the information governance
    reference) are for the data controllers who decide; empty where the study does not give them.
    """

    version: Literal["flip/roster/1"] = "flip/roster/1"
    study: Name
    purpose: Line = Field(min_length=1)
    institution: Annotated[Line, Later("")] = ""
    ethics: Annotated[Line, Later("")] = ""
    governance: Annotated[Line, Later("")] = ""
    researchers: tuple[Researcher, ...] = Field(min_length=1, max_length=1000)
    trusts: tuple[Trust, ...] = Field(min_length=1, max_length=MAX_TRUSTS)

    @model_validator(mode="after")
    def _unique(self) -> Roster:
        keys = [r.public_key for r in self.researchers] + [t.public_key for t in self.trusts]
        if len(set(keys)) != len(keys):
            raise ValueError("one key is entered twice")
        if len({trust.name for trust in self.trusts}) != len(self.trusts):
            raise ValueError("two Trusts have the same name")
        return self

    def researcher_keys(self) -> dict[str, str]:
        """The researchers' public keys by key id."""
        return {key_id(member.public_key): member.public_key for member in self.researchers}

    def trust_keys(self) -> dict[str, str]:
        """The Trusts' public keys by key id, in the roster's order."""
        return {trust.key_id: trust.public_key for trust in self.trusts}

    def trust_named(self, key: str) -> Trust | None:
        """The Trust whose key id is ``key``; None where the study has none such."""
        return next((trust for trust in self.trusts if trust.key_id == key), None)


class Membership(Document):
    """What a Trust's data controller signs to join: the whole roster, fingerprints compared. It stays inside."""

    version: Literal["flip/membership/1"] = "flip/membership/1"
    roster: Roster
    trust: KeyId
    joined: Moment


class SessionCertificate(Document):
    """A researcher's key lets a session key ask for counts, for at most twelve hours."""

    version: Literal["flip/session/1"] = "flip/session/1"
    study: Name
    session_key: PublicKey
    not_before: Moment
    expires: Moment

    @model_validator(mode="after")
    def _short(self) -> SessionCertificate:
        if not timedelta(0) < self.expires - self.not_before <= timedelta(hours=12):
            raise ValueError("a session lasts at most twelve hours")
        return self


class Join(Document):
    """What a Trust tells the hub when it joined: the roster's digest, not the membership."""

    study: Name
    roster: Digest
