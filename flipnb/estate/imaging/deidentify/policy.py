"""What is kept of an image and what is not: a controller's choice of PS3.15's options, as a document."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flipnb.contracts.problem import FlipError
from flipnb.estate.imaging.deidentify.table import safe_private
from flipnb.estate.imaging.postscan import ScanPolicy

_TAG = re.compile(r"^\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?$")


class PrivateElement(BaseModel):
    """A private element that a controller has found to be safe, by creator, group and the element's last two digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    creator: str = Field(min_length=1, max_length=64)
    group: int = Field(ge=0x0009, le=0xFFFF)
    element: int = Field(ge=0, le=0xFF)
    vr: str = Field(pattern="^[A-Z]{2}$")

    @field_validator("group", "element", mode="before")
    @classmethod
    def _hexadecimal(cls, value: Any) -> Any:
        return int(value, 16) if isinstance(value, str) else value

    @field_validator("group")
    @classmethod
    def _private(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a private group is odd")
        return value


class Policy(BaseModel):
    """Options of PS3.15 E.3 over the Basic Application Level Confidentiality Profile. Without any, the profile alone.

    ``dates``: ``remove``, ``shift`` (by the person's own number of weeks) or ``keep``. ``descriptors``: text that
    describes goes, or is cleaned. ``structured_content``: so for the content of reports. ``references``: the study
    that a file refers to stays, under its new UID. ``safe_private``: the private elements of Table E.3.10-1 and those
    of ``private`` stay. ``remove``: attributes that go whatever the options say;
    ``keep``: attributes that stay as they are, which the controller answers for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["flip/image-policy/1"] = "flip/image-policy/1"
    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    dates: Literal["remove", "shift", "keep"] = "remove"
    uids: Literal["replace", "keep"] = "replace"
    patient_characteristics: bool = False
    device: bool = False
    institution: bool = False
    references: bool = False
    safe_private: bool = False
    private: tuple[PrivateElement, ...] = ()
    descriptors: Literal["remove", "clean"] = "remove"
    structured_content: Literal["remove", "clean"] = "remove"
    oldest_age: int = Field(default=90, ge=0, le=90)
    keep: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()

    @field_validator("keep", "remove", mode="before")
    @classmethod
    def _tags(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(_tag(one) if isinstance(one, str) else one for one in value)

    @classmethod
    def named(cls, name: str) -> Policy:
        """``basic``: the profile alone; ``research``: dates shifted, descriptors cleaned, characteristics and device
        kept. Raises FlipError ``unknown-policy``."""
        if name not in _NAMED:
            raise FlipError(
                "unknown-policy",
                f"There is no policy {name!r}.",
                remedy=f"Name one of {', '.join(_NAMED)}, or a file.",
            )
        return _NAMED[name]

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy in a TOML or JSON file. Raises FlipError ``bad-policy`` with the field and what is wrong in it."""
        try:
            text = path.read_text(encoding="utf-8")
            said = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            return cls.model_validate(said)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            problem = f"{where}: {first['msg']}"
        except (OSError, ValueError) as error:
            problem = str(error)
        raise FlipError(
            "bad-policy", f"{path}: {problem}", remedy="See docs/images.md, The policy's file, for the fields."
        )

    def scan_policy(self) -> ScanPolicy:
        """What the independent second look must not take for a survivor, for it stays on purpose."""
        listed = safe_private() if self.safe_private else {}
        own = self.private if self.safe_private else ()
        return ScanPolicy(
            dates={"remove": "removed", "shift": "shifted", "keep": "kept"}[self.dates],  # type: ignore[arg-type]
            uids=self.uids == "keep",
            characteristics=self.patient_characteristics,
            device=self.device,
            institution=self.institution,
            descriptions=self.descriptors == "clean",
            private=frozenset(
                [(creator, group << 16 | element) for creator, group, element in listed]
                + [(one.creator, one.group << 16 | one.element) for one in own]
            ),
            kept=frozenset(self.keep),
        )

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning, from CID 7050 (PS3.16), of the profile and the options that were applied."""
        chosen = {
            "113104": self.structured_content == "clean",
            "113105": self.descriptors == "clean",
            "113106": self.dates == "keep",
            "113107": self.dates == "shift",
            "113108": self.patient_characteristics,
            "113109": self.device,
            "113110": self.uids == "keep",
            "113111": self.safe_private,
            "113112": self.institution,
        }
        return tuple((code, _MEANINGS[code]) for code in _MEANINGS if chosen.get(code, True))


def _tag(written: str) -> int:
    found = _TAG.match(written.strip())
    if not found:
        raise ValueError(f"{written!r} is no tag like (0018,1030)")
    return int(found[1] + found[2], 16)


_MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}

_OCCUPATION = 0x00102180  # a rare one names its holder, and no cleaning can know which is rare

_NAMED = {
    "basic": Policy(name="basic"),
    "research": Policy(
        name="research",
        dates="shift",
        patient_characteristics=True,
        device=True,
        references=True,
        safe_private=True,
        descriptors="clean",
        structured_content="clean",
        remove=(_OCCUPATION,),
    ),
}
