"""FLIP workbench: federated learning from a notebook, on data that never leaves the hospital.

    import flipnb as flip

    data = flip.data()                              # a twin: invented people; in a Trust its frozen cohort
    for rnd in flip.rounds(model, state=[optimiser]):
        if rnd.training:
            loss = train(model, optimiser, data.train.frame())
        rnd.report(loss=loss)

The same notebook runs on a twin in the researcher's own kernel, and unchanged in the Trusts' enclaves. Importing this
package imports nothing heavy: each name below is looked up where it lives when it is first used (PEP 562). What type
checkers and editors see of it is in ``__init__.pyi``.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Looked up by name, not imported: an enclave has no workbench, and nobody may reach one through this package.
_IN_A_KERNEL = {"data", "file", "rounds", "total"}
_ON_A_WORKBENCH = {"cohort", "follow", "new", "rehearse", "results", "runs", "submit"}
_ELSEWHERE = {"new": "flipnb.workbench.templates", "rehearse": "flipnb.simulation.rehearsing"}
_MODULES = {"cohorts"}

__all__ = [
    "cohort", "cohorts", "data", "file", "follow", "new", "rehearse", "results", "rounds", "runs", "submit", "total",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _IN_A_KERNEL | _ON_A_WORKBENCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    inside = "FLIP_BROKER" in os.environ
    if inside and name in _ON_A_WORKBENCH:
        raise AttributeError(f"flip.{name} is for the workbench; inside an enclave there is none.")
    home = "flipnb.session.enclave" if inside else _ELSEWHERE.get(name, "flipnb.workbench.notebook")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
