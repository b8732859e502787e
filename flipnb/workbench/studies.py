"""Studies: a roster made by a researcher, posted to the hub, and given to each Trust by another channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flipnb.contracts import envelope
from flipnb.contracts.document import Document, invalid, load_json, parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Researcher, Roster, Trust
from flipnb.files.whole import write
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient

_ROSTER = ".roster.json"


class TrustList(Document):
    """A file of Trusts and their node keys, as their data controllers gave them."""

    trusts: tuple[Trust, ...]


def read_trusts(path: Path) -> tuple[Trust, ...]:
    """The Trusts of a file ``{"trusts": […]}``. Raises FlipError ``no-file``, ``not-json``, ``invalid-document``."""
    try:
        return TrustList.model_validate(load_json(path.read_bytes(), str(path))).trusts
    except FileNotFoundError:
        raise FlipError("no-file", f"There is no file {path}.") from None
    except ValidationError as error:
        raise invalid(error, str(path)) from None


def create_study(
    home: Home,
    name: str,
    purpose: str,
    trusts: Sequence[Trust],
    *,
    institution: str = "",
    ethics: str = "",
    governance: str = "",
) -> Roster:
    """Make the roster, post it to the hub and keep it under ``studies``.

    ``institution``, ``ethics`` and ``governance`` (the two references) are what the Trusts' data controllers read of
    the study beside its purpose. Raises FlipError ``invalid-document``, and what the hub says.
    """
    me = Researcher(name=home.configuration.name, public_key=home.key.public_key)
    try:
        roster = Roster(
            study=name,
            purpose=purpose,
            institution=institution,
            ethics=ethics,
            governance=governance,
            researchers=(me,),
            trusts=tuple(trusts),
        )
    except ValidationError as error:
        raise invalid(error, "The roster") from None
    sealed = envelope.seal(roster, envelope.ROSTER, home.key)
    with HubClient.of(home) as hub:
        hub.post("/v1/studies", sealed)
    path = roster_path(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, sealed)
    return roster


def roster_path(home: Home, study: str) -> Path:
    """The sealed roster; this file goes to each Trust's data controller, not through the hub."""
    return home.directory / "studies" / f"{study}{_ROSTER}"


def read_roster(home: Home, study: str) -> Roster:
    """The roster that this researcher keeps: keys come from there, never from the hub. FlipError ``unknown-study``."""
    path = roster_path(home, study)
    try:
        payload = envelope.peek(path.read_bytes(), "The roster")
    except FileNotFoundError:
        raise FlipError(
            "unknown-study", f"There is no study {study!r} here.", remedy="Make one with `flip study create`."
        ) from None
    return parse(Roster, payload, "The roster")


def list_studies(home: Home) -> list[dict[str, Any]]:
    """The studies that the hub lets this researcher know of, as it writes them."""
    with HubClient.of(home) as hub:
        studies: list[dict[str, Any]] = hub.get_json("/v1/studies")
        return studies


def kept_studies(home: Home) -> list[str]:
    """Names of the studies whose rosters this researcher keeps, without asking the hub."""
    return sorted(path.name.removesuffix(_ROSTER) for path in (home.directory / "studies").glob(f"*{_ROSTER}"))
