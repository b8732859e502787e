"""What a site does to images when it takes them in: its DicomEdit script, read for the doctor, and put there.

FLIP does not lean on it: what comes from an XNAT passes this Trust's own engine and post-scan all the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.order import Look
from flipnb.enclave.collector.pacs.archive import Away, NotGiven
from flipnb.enclave.collector.xnat.configuration import Xnat
from flipnb.enclave.collector.xnat.site import Site, path_of

_SCRIPT = path_of("xapi", "anonymize", "site")
_ENABLED = path_of("xapi", "anonymize", "site", "enabled")
_ELEMENTS = path_of("data", "search", "elements")
_MOST_BYTES = 1 << 20
_OF_SESSIONS = ("cr", "ct", "dx", "mg", "mr", "nm", "pet", "us", "xa")
"""The session types that a hospital's project usually has; XNAT secures some of them only where it is told to."""


@dataclass(frozen=True)
class SiteScript:
    """A site's script: whether it is applied, its SHA-256 as 64 hexadecimal digits, and how many bytes it has."""

    enabled: bool
    sha256: str
    size: int


def site_script(site: Site) -> SiteScript:
    """Raises Away, NotGiven."""
    script = site.text(_SCRIPT).encode()
    enabled = site.text(_ENABLED).strip().lower()
    if enabled not in ("true", "false"):
        raise NotGiven("it does not say whether its script is applied")
    return SiteScript(enabled == "true", hashlib.sha256(script).hexdigest(), len(script))


def put_site_script(xnat: Xnat, folder: Path, script: str) -> SiteScript:
    """Have a site apply this DicomEdit script to all that it takes in; what it says of it afterwards.

    The token must be of one of the site's administrators. Raises FlipError ``no-script``, ``archive-away``,
    ``archive-refused``, ``script-differs``, and as ``token_of``."""
    content = script.encode()
    if not content.strip() or len(content) > _MOST_BYTES:
        raise FlipError("no-script", f"The script is empty, or has more than {_MOST_BYTES} bytes.")
    site = Site(xnat, folder)
    try:
        site.put(_SCRIPT, content, "text/plain")
        site.put(_ENABLED, b"true", "application/json", enable="true")
        found = site_script(site)
    except Away as error:
        raise FlipError("archive-away", f"The XNAT can't be asked: {error}.", status=503) from None
    except NotGiven as error:
        raise FlipError(
            "archive-refused",
            f"The XNAT did not take the script: {error}.",
            remedy="Only its administrators may change it: use an alias token of one of them.",
        ) from None
    finally:
        site.close()
    if not found.enabled or found.sha256 != hashlib.sha256(content).hexdigest():
        raise FlipError("script-differs", "The XNAT took the script, and says that it applies another one, or none.")
    return found


def examine(xnat: Xnat, folder: Path) -> list[Look]:
    """What the doctor tells of an XNAT: whether it answers, its script, and which types of sessions it hides. Raises
    FlipError as ``token_of``."""
    site = Site(xnat, folder)
    try:
        path = path_of("data", "archive", "projects", xnat.project)
        found = Look(what="XNAT", good=True, detail=f"project {site.fields(path).get('id', xnat.project)}")
        return [found, _script(site), _types(site)]
    except Away as error:
        remedy = "Look at its address, certificate and alias token."
        return [Look(what="XNAT", good=False, detail=f"it can't be asked: {error}", remedy=remedy)]
    except NotGiven as error:
        said = f"it does not show the project {xnat.project}: {error}"
        remedy = "Give the token's owner the right to read the project."
        return [Look(what="XNAT", good=False, detail=said, remedy=remedy)]
    finally:
        site.close()


def _script(site: Site) -> Look:
    """Either way is good: ours is the guarantee. That it changed is what somebody may want to see."""
    what = "XNAT's own anonymisation"
    try:
        found = site_script(site)
    except NotGiven as error:
        return Look(what=what, good=True, detail=f"not shown to this token ({error})")
    state = "on" if found.enabled else "off"
    said = f"{state}, script of {found.size} bytes, SHA-256 {found.sha256[:16]}…"
    return Look(what=what, good=True, detail=said)


def _types(site: Site) -> Look:
    what = "XNAT's session types"
    secured = {row.get("element_name", "") for row in site.rows(_ELEMENTS)}
    hidden = [name.upper() for name in _OF_SESSIONS if f"xnat:{name}SessionData" not in secured]
    if not hidden:
        return Look(what=what, good=True, detail="all usual ones can be searched")
    return Look(
        what=what,
        good=False,
        detail=f"sessions of {', '.join(hidden)} are in no listing: their types are not secured",
        remedy="XNAT: Administer, Data Types, set up the type. Until then such a session is found by its label alone.",
    )
