"""FLIP workbench: federated learning from a notebook, on data that never leaves the hospital.

The same notebook runs on a twin in the researcher's own kernel, and unchanged in the Trusts' enclaves.
Importing this package imports nothing heavy; every function imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flipnb.records import Records
    from flipnb.session.rounds import Rounds

__version__ = "0.1.0"

__all__ = ["data", "rounds"]


def data() -> Records:
    """This run's frozen cohort inside an enclave; elsewhere the twin of the notebook's plan."""
    from flipnb.session import enclave

    if enclave.inside():
        return enclave.records()
    from flipnb.workbench import rehearsal

    return rehearsal.local_records()


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The federated rounds, to be iterated: ``for rnd in flip.rounds(model, state=[optimiser])``.

    ``model`` is a torch module, a dictionary of modules, or a dictionary of NumPy arrays; it gets the global weights in
    place at each round's start. ``state`` are objects with ``state_dict`` that a restarted kernel goes on from;
    ``exclude`` are patterns of tensor names that stay local. Outside an enclave there are two rounds, on the twin.
    """
    from flipnb.session import enclave
    from flipnb.session.rounds import Rounds

    if enclave.inside():
        return Rounds(enclave.channel(), model, state=state, exclude=exclude)
    from flipnb.workbench import rehearsal

    return Rounds(rehearsal.local_channel(), model, state=state, exclude=exclude)
