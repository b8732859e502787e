"""What an enclave must know of an XNAT: where it is, which project, whose token, and how fast it may be asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.asking import Asking, File

_ALIAS = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SECRET = re.compile(r"[\x21-\x7e]{16,400}")
_MOST_BYTES = 1000


class Xnat(Asking):
    """One project of one XNAT.

    ``root`` is the site's address, https alone. ``ca`` is the PEM file of the authority that signed its certificate,
    ``credentials`` a file with ``alias:secret`` on one line, an alias token of XNAT's; both relative to the
    configuration's folder. ``download``: files one by one, or each scan as one zip.
    """

    root: str = Field(pattern=r"^https://[\x21-\x7e]{1,400}$")
    project: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    ca: File
    credentials: File
    download: Literal["file", "zip"] = "file"

    @model_validator(mode="after")
    def _is_an_address_alone(self) -> Xnat:
        address = urlsplit(self.root)
        if address.username or address.query or address.fragment:
            raise ValueError("root is an address without user, query and fragment")
        return self


def token_of(xnat: Xnat, folder: Path) -> tuple[str, str]:
    """The alias and its secret. Raises FlipError ``no-file``, ``file-open-to-others``, ``bad-credentials``."""
    path = folder / xnat.credentials
    try:
        with path.open("rb") as stream:
            open_to_others = path.stat().st_mode & 0o077
            said = stream.read(_MOST_BYTES + 1).decode("ascii", "replace").strip()
    except OSError as error:
        raise FlipError("no-file", f"XNAT's credentials in {path} can't be read: {error.strerror}.") from None
    if open_to_others:
        raise FlipError(
            "file-open-to-others", f"{path} can be read by other users of this machine.", remedy=f"chmod 0600 {path}"
        )
    alias, _, secret = said.partition(":")
    if not _ALIAS.fullmatch(alias) or not _SECRET.fullmatch(secret):
        raise FlipError(
            "bad-credentials",
            f"{path} is not one line of alias:secret, as XNAT issues them.",
            remedy="A name and a password have no place in a file: take an alias token "
            "(XNAT: /data/services/tokens/issue, or Manage Alias Tokens on your own page).",
        )
    return alias, secret
