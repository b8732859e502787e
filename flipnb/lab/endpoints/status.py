"""Whether front end and back end fit together, and whether the hub can be reached."""

from __future__ import annotations

from flipnb import __version__
from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.lab.listener import HubContact


class LabStatus(Document):
    """``version`` is the server extension's; ``researcher`` the name in the configuration, None without one."""

    version: str
    researcher: str | None
    contact: HubContact


@endpoint("GET", "status", "status")
def get_status(bench: Bench) -> LabStatus:
    """Versions, who works here, and how the hub can be reached."""
    try:
        researcher = bench.home.configuration.name
    except FlipError:
        researcher = None
    return LabStatus(version=__version__, researcher=researcher, contact=bench.listener.contact)


@endpoint("POST", "hub/tries", "status")
def try_hub(bench: Bench) -> HubContact:
    """Try to reach the hub now; what comes of it is told as an event."""
    bench.listener.try_now()
    return bench.listener.contact
