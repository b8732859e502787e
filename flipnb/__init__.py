"""FLIP workbench: federated learning from a notebook, on data that never leaves the hospital.

The same notebook runs on a twin in the researcher's own kernel, and unchanged in the Trusts' enclaves. Importing this
package imports nothing heavy: each name below is looked up where it lives when it is first used (PEP 562).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    cohort: Callable[..., Any]
    data: Callable[..., Any]
    follow: Callable[..., Any]
    rehearse: Callable[..., Any]
    results: Callable[..., Any]
    rounds: Callable[..., Any]
    runs: Callable[..., Any]
    submit: Callable[..., Any]
    total: Callable[..., Any]

__version__ = "0.1.0"

# Looked up by name, not imported: an enclave has no workbench, and nobody may reach one through this package.
_IN_A_KERNEL = {"data", "rounds", "total"}
_ON_A_WORKBENCH = {"cohort", "follow", "rehearse", "results", "runs", "submit"}
_ELSEWHERE = {"rehearse": "flipnb.simulation.rehearsing"}

__all__ = ["cohort", "data", "follow", "rehearse", "results", "rounds", "runs", "submit", "total"]


def __getattr__(name: str) -> Any:
    if name not in _IN_A_KERNEL | _ON_A_WORKBENCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    inside = "FLIP_BROKER" in os.environ
    if inside and name in _ON_A_WORKBENCH:
        raise AttributeError(f"flip.{name} is for the workbench; inside an enclave there is none.")
    home = "flipnb.session.enclave" if inside else _ELSEWHERE.get(name, "flipnb.workbench.notebook")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
