"""``flip.data``, ``flip.rounds`` and ``flip.file`` inside an enclave, by what environment variables name."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.session.attached import BUNDLE, attached_file
from flipnb.session.broker import BrokerChannel
from flipnb.session.data import Data
from flipnb.session.rounds import Rounds
from flipnb.session.total import ask_total

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BROKER = "FLIP_BROKER"
COHORT = "FLIP_COHORT"


def data(plan: str | Path | None = None) -> Data:
    """This run's frozen cohort: ``train``, ``validation`` and ``test`` by the approved split, whatever ``plan`` is.

        data = flip.data()
        data.train.frame()                                  # a DataFrame: a row per person, a column per variable
        data.train.images("scan")                           # a torch dataset: the images that the dataset names
        data.sql("SELECT count(*) FROM measurement")

    The same object each time. Raises FlipError ``no-cohort``.
    """
    return _frozen()


def file(name: str) -> Path:
    """The path of a file that goes with this notebook: weights, or a module, named in the plan's ``files``.

        model.load_state_dict(safetensors.torch.load_file(flip.file("resnet.safetensors")))

    It can be read, never written. Raises FlipError ``no-file``.
    """
    return attached_file(Path(os.environ.get(BUNDLE, "")), name)


@functools.cache
def _frozen() -> Data:
    return Data(Path(os.environ[COHORT]))


def rounds(model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()) -> Rounds:
    """The federated rounds, to be iterated: this Trust's part of the run.

        for rnd in flip.rounds(model, state=[optimiser]):   # the round's global weights are in the model now
            if rnd.training:
                loss = train_one_epoch(model, optimiser, data.train)
            rnd.report(loss=loss, accuracy=accuracy)

    ``model`` is a torch module, a dictionary of modules, or a dictionary of NumPy arrays; it gets the global weights in
    place at each round's start. ``state`` are objects with ``state_dict`` that a restarted kernel goes on from;
    ``exclude`` are patterns (regular expressions) of tensor names that stay local. Raises FlipError ``not-a-model``,
    ``no-tensors``, ``unsupported-dtype``, ``not-a-state``; while it goes on ``no-report``, ``no-agreement``,
    ``rounds-used``, and what the enclave refuses.
    """
    return Rounds(_channel(), model, state=state, exclude=exclude)


def total(arrays: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """The sum of each array over the Trusts, as float64 in the same shape; every Trust gets the same.

        total = flip.total({"sums": x.sum(0), "people": len(x)})
        mean = total["sums"] / total["people"]

    The arrays of one call are one step of the plan's ``totals``, which declare shape, bounds and decimals; it returns
    when all Trusts have given theirs. Raises FlipError ``wrong-total``, ``undeclared-total``.
    """
    return ask_total(_channel(), arrays)


@functools.cache
def _channel() -> BrokerChannel:
    return BrokerChannel(os.environ[BROKER])
