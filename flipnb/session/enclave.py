"""``flip.data`` and ``flip.rounds`` inside an enclave: a frozen cohort and a broker, found by environment variables."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flipnb.records import Records
from flipnb.session.broker import BrokerChannel
from flipnb.session.rounds import Rounds
from flipnb.session.total import ask_total

BROKER = "FLIP_BROKER"
COHORT = "FLIP_COHORT"


@functools.cache
def data() -> Records:
    """This run's frozen cohort: ``train``, ``validation`` and ``test`` by the plan's split."""
    return Records(Path(os.environ[COHORT]))


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The federated rounds, to be iterated: ``for rnd in flip.rounds(model, state=[optimiser])``.

    ``model`` is a torch module, a dictionary of modules, or a dictionary of NumPy arrays; it gets the global weights in
    place at each round's start. ``state`` are objects with ``state_dict`` that a restarted kernel goes on from;
    ``exclude`` are patterns of tensor names that stay local.
    """
    return Rounds(_channel(), model, state=state, exclude=exclude)


def total(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of each array over the Trusts, as float64 in the same shape; every Trust gets the same.

    The arrays of one call are one step of the plan's ``totals``, which declare shape, bounds and decimals.
    """
    return ask_total(_channel(), arrays)


@functools.cache
def _channel() -> BrokerChannel:
    return BrokerChannel(os.environ[BROKER])
