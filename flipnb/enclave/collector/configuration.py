"""``collector.json``: which archives of images an enclave may ask, by name, and how fast, and when."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from flipnb.contracts.document import Document, invalid, load_json
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Name
from flipnb.enclave.collector.asking import Asking, File
from flipnb.enclave.collector.xnat.configuration import Xnat

Way = Literal["dicomweb", "c-get", "c-move"]
CONFIGURATION = "collector.json"
"""In an enclave's directory."""
_MOST_BYTES = 1 << 20


def _not_blank(title: str) -> str:
    if not title.strip():
        raise ValueError("an AE title is more than blanks")
    return title.strip()


AETitle = Annotated[str, StringConstraints(pattern=r"^[\x20-\x5b\x5d-\x7e]{1,16}$"), AfterValidator(_not_blank)]
"""PS3.8, section 9.3.2, and PS3.5's AE: at most 16 characters, no backslash."""
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$|^::1?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Tls(Document):
    """The authority that signed the PACS's certificate, and the certificate and key that the collector shows (mutual
    TLS). PEM files below the configuration's folder. ``name`` is what the PACS's certificate says, where that is
    not its host (DIMSE alone)."""

    ca: File
    certificate: File
    key: File
    name: Host | None = None


class Pacs(Asking):
    """One archive that speaks DICOM.

    ``way``: how studies come. ``dicomweb`` needs ``root`` (the address before ``/studies``) alone; ``c-get`` and
    ``c-move`` need host, port and AE titles, and ``c-move`` the port on which the collector takes what comes, on
    ``listen``, which the PACS must know as this AE title. ``credentials`` is a file with ``user:password``, for
    DICOMweb.
    """

    way: Way
    root: str | None = Field(default=None, pattern=r"^https?://[\x21-\x7e]{1,400}$")
    host: Host | None = None
    port: Port | None = None
    called_aet: AETitle | None = None
    calling_aet: AETitle | None = None
    listen: Host = "127.0.0.1"
    listen_port: Port | None = None
    tls: Tls | None = None
    credentials: File | None = None

    def dimse(self) -> tuple[str, str, str, int]:
        """Our AE title, the archive's, its host and port; of ``c-get`` and ``c-move`` alone."""
        assert self.calling_aet and self.called_aet and self.host and self.port is not None
        return self.calling_aet, self.called_aet, self.host, self.port

    @model_validator(mode="after")
    def _has_its_address(self) -> Pacs:
        needed: dict[str, object | None] = {"root": self.root}
        if self.way != "dicomweb":
            needed = {
                "host": self.host,
                "port": self.port,
                "called_aet": self.called_aet,
                "calling_aet": self.calling_aet,
            }
        if self.way == "c-move":
            needed["listen_port"] = self.listen_port
        if lacking := [name for name, value in needed.items() if value is None]:
            raise ValueError(f"the way {self.way} needs {', '.join(lacking)}")
        return self

    @model_validator(mode="after")
    def _shows_no_password_in_clear(self) -> Pacs:
        if self.root is None:
            return self
        address = urlsplit(self.root)
        if address.username or address.query or address.fragment:
            raise ValueError("root is an address without user, query and fragment")
        if (address.scheme == "https") != (self.tls is not None) and self.way == "dicomweb":
            raise ValueError("an https root needs tls, and tls an https root")
        if address.scheme == "http" and self.credentials is not None and not _is_own(address.hostname or ""):
            raise ValueError("credentials go over https alone, but to this very machine")
        return self


AnyArchive = Pacs | Xnat


class Collector(Document):
    """``collector.json``: archives by name; no two of them have one."""

    pacs: dict[Name, Pacs] = Field(default_factory=dict, max_length=50)
    xnat: dict[Name, Xnat] = Field(default_factory=dict, max_length=50)

    @model_validator(mode="after")
    def _names_each_archive_once(self) -> Collector:
        if not self.pacs and not self.xnat:
            raise ValueError("it names no archive")
        if both := sorted(self.pacs.keys() & self.xnat.keys()):
            raise ValueError(f"{both[0]} is a PACS and an XNAT")
        return self

    def archives(self) -> dict[Name, AnyArchive]:
        """All of them, by name."""
        return {**self.pacs, **self.xnat}


def read_collector(path: Path) -> Collector:
    """The configuration, validated. Raises FlipError ``no-collector``, ``not-json``, ``duplicate-key``,
    ``invalid-document`` (which names the field), ``no-file``, ``file-open-to-others``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FlipError(
            "no-collector",
            f"{path} can't be read: {error.strerror}.",
            remedy="It names the hospital's archives; docs/operator.md shows one.",
        ) from None
    if len(content) > _MOST_BYTES:
        raise FlipError("invalid-document", f"{path} has {len(content)} bytes; at most {_MOST_BYTES} are allowed.")
    load_json(content, str(path))
    try:
        collector = Collector.model_validate_json(content)
    except ValidationError as error:
        raise invalid(error, str(path)) from None
    for name, pacs in collector.archives().items():
        for file in files_of(pacs, path.parent):
            _require_file(file, f"{path}, {'xnat' if isinstance(pacs, Xnat) else 'pacs'}.{name}")
        for secret in secrets_of(pacs, path.parent):
            _require_secret(secret)
    return collector


def pacs_of(collector: Collector, name: str, path: Path) -> AnyArchive:
    """The archive of this name. Raises FlipError ``unknown-pacs``."""
    archives = collector.archives()
    if name not in archives:
        raise FlipError("unknown-pacs", f"{path} names no PACS {name!r}; it names {', '.join(archives)}.")
    return archives[name]


def files_of(pacs: AnyArchive, folder: Path) -> list[Path]:
    """All files that an archive's part of the configuration names."""
    if isinstance(pacs, Xnat):
        return [folder / pacs.ca, folder / pacs.credentials]
    named = [pacs.credentials] if pacs.credentials is not None else []
    if pacs.tls is not None:
        named += [pacs.tls.ca, pacs.tls.certificate, pacs.tls.key]
    return [folder / name for name in named]


def secrets_of(pacs: AnyArchive, folder: Path) -> list[Path]:
    """Those of them that nobody else may read."""
    if isinstance(pacs, Xnat):
        return [folder / pacs.credentials]
    named = [pacs.credentials, pacs.tls.key if pacs.tls is not None else None]
    return [folder / name for name in named if name is not None]


def password_of(pacs: Pacs, folder: Path) -> str | None:
    """``user:password``, one line; None where none is configured. Raises FlipError ``bad-credentials``."""
    if pacs.credentials is None:
        return None
    path = folder / pacs.credentials
    said = path.read_text(encoding="utf-8", errors="replace").strip("\r\n")
    if ":" not in said or not said.isprintable() or len(said) > 1000:
        raise FlipError("bad-credentials", f"{path} is not one line of user:password.")
    return said


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise FlipError("no-file", f"{what} names {path}, which is no file.")


def _require_secret(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise FlipError(
            "file-open-to-others", f"{path} can be read by other users of this machine.", remedy=f"chmod 0600 {path}"
        )


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
