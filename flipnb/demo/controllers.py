"""The demo's four data controllers, played from a notebook: in a real study a person reads and signs in each Trust."""

from __future__ import annotations

from flipnb.demo.federation import Federation
from flipnb.demo.job import Job
from flipnb.demo.narration import Narration
from flipnb.workbench.home import Home


def approve_everywhere(bundle: str, executions: int = 1) -> None:
    """Approve ``bundle`` in all enclaves of the demo federation that this notebook's ``FLIP_HOME`` belongs to.

    Raises FlipError ``not-arrived``, ``refused``, and what ``flip enclave approve`` says.
    """
    home = Home.find()
    federation = Federation(home.directory.parent)
    Job(federation, Narration(), home.directory).approve(bundle, executions)
