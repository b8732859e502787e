"""``flip.rounds``: the federated rounds as a ``for`` loop in the notebook."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.broker import Ended, Lease, NextRound, Submit, Tell
from flipnb.contracts.outputs import admit_report
from flipnb.contracts.problem import FlipError
from flipnb.session.agreement import compare
from flipnb.session.broker import Channel
from flipnb.session.model import Model
from flipnb.session.state import DeclaredState
from flipnb.session.update import write_change
from flipnb.session.weights import Weights

Conclusions = Callable[[], Any] | Any
"""One conclusion per person, or a function without arguments that gives them."""


class Round:
    """One round, as the loop's variable. ``training`` is False in the last one, which has the final weights.

    ``number`` counts from 1, ``of`` is the number of training rounds at most, ``config`` what the plan's strategy tells
    of this round (``proximal_mu``), ``reported`` the numbers given to ``report``, None before.
    """

    def __init__(self, rounds: Rounds, answer: NextRound) -> None:
        self._rounds = rounds
        self.number: int = answer.round
        self.of: int = answer.of
        self.training: bool = answer.training
        self.config: dict[str, float] = dict(answer.config)
        self.reported: dict[str, float] | None = None
        self._global: Any = None
        self._local: Any = None

    def agree(self, predict_global: Conclusions, predict_local: Conclusions | None = None) -> None:
        """Compare what the weights that came in conclude with what the model concludes after local training.

        Both over this Trust's own validation data, and both either conclusions [people] or a function without
        arguments that returns them (one function may do for both). ``predict_global`` is called at once, with the
        round's incoming weights in the model, ``predict_local`` when the round is submitted. Without a consensus in
        the plan, and in the last round, nothing is compared.
        """
        if self._rounds.consensus is None or not self.training:
            return
        local = predict_local if predict_local is not None else predict_global
        if not callable(predict_global) and predict_local is None:
            raise FlipError("no-agreement", "rnd.agree was given one set of conclusions; two are compared.")
        self._global = self._rounds.with_start(predict_global) if callable(predict_global) else predict_global
        self._local = local

    def agreement(self) -> float | None:
        """How well the two agree now; None where nothing is to be compared, or nobody is in validation.

        Raises FlipError ``no-agreement`` where ``agree`` was not called, ``wrong-conclusions``.
        """
        consensus = self._rounds.consensus
        if consensus is None or not self.training:
            return None
        if self._local is None:
            raise FlipError(
                "no-agreement",
                f"Round {self.number} ended without rnd.agree(…), which the plan's consensus needs.",
                remedy="Call rnd.agree(predict_global, predict_local) over data.validation in every training round.",
            )
        return compare(consensus.measure, self._global, self._local() if callable(self._local) else self._local)

    def report(self, **numbers: float) -> None:
        """This round's declared numbers, once: ``rnd.report(loss=loss, accuracy=accuracy)``.

        Each is a Python number, a NumPy scalar or a tensor with one element. Raises FlipError ``undeclared-output``,
        ``missing-output``, ``not-a-number``, ``output-out-of-bounds``, ``reported-twice``.
        """
        if self.reported is not None:
            raise FlipError("reported-twice", f"Round {self.number} was reported already.")
        plain = {name: _plain(value) for name, value in numbers.items()}
        admit_report(self._rounds.outputs, plain)
        self.reported = plain

    def progress(self, epoch: int) -> None:
        """Say that ``epoch`` epochs of this round's local training are done, of the ``epochs`` that the plan declares.

        What is told outside is the eighth that this is of them, which only rises within a round; nothing where the
        plan declares no epochs.
        """
        self._rounds.channel.tell(Tell(epoch=epoch))

    def proximal(self, model: Any) -> Any:
        """FedProx's term, proximal_mu / 2 · |w - w_global|², as a tensor to add to the loss (Li et al., MLSys 2020).

        0 where the plan's strategy has no ``proximal_mu``. ``model`` is a torch module with this round's parameters.
        """
        import torch

        mu = self.config.get("proximal_mu", 0.0)
        total = torch.zeros(())
        if mu == 0.0:
            return total
        for name, parameter in model.named_parameters():
            start = self._rounds.start.get(name)
            if start is not None:
                total = total + (parameter - torch.from_numpy(np.array(start)).to(parameter)).pow(2).sum()
        return mu / 2 * total

    def __repr__(self) -> str:
        kind = "training" if self.training else "final weights"
        return f"<round {self.number} of {self.of}, {kind}>"


class Rounds:
    """Iterates over the plan's training rounds, and once more with the final weights.

    The update leaves when the next round is asked for. ``break`` sends the current one and leaves the run, by name.
    """

    def __init__(
        self, channel: Channel, model: Any, *, state: Sequence[Any] = (), exclude: str | Iterable[str] = ()
    ) -> None:
        self.channel = channel
        self.start: Mapping[str, npt.NDArray[Any]] = {}
        self._model = Model(model, exclude)
        self._state = DeclaredState(state)
        welcome = channel.hello()
        self.outputs, self.consensus = welcome.outputs, welcome.consensus
        self._used = False

    def __iter__(self) -> Iterator[Round]:
        if self._used:
            raise FlipError("rounds-used", "flip.rounds can be iterated once.", remedy="Call flip.rounds only once.")
        self._used = True
        return self._iterate()

    def _iterate(self) -> Iterator[Round]:
        answer: NextRound | Ended
        answer, descriptors = self.channel.open(self._model)
        while isinstance(answer, NextRound):
            self._load(answer, descriptors)
            current = Round(self, answer)
            try:
                yield current
            except GeneratorExit:
                if current.reported is not None:
                    self._leave(current)
                raise
            answer, descriptors = self._submit(current)

    def _load(self, answer: NextRound, descriptors: list[int]) -> None:
        self.start = Weights.of(descriptors[0])
        self._model.load(self.start)
        if answer.state_bytes:
            self._state.restore(_take(descriptors[1], answer.state_bytes))

    def with_start(self, predict: Callable[[], Any]) -> Any:
        """What ``predict`` gives while the model holds the weights that this round began with."""
        now = self._model.arrays()
        if all(np.array_equal(now[name], start) for name, start in self.start.items()):
            return predict()
        kept = {name: np.array(value) for name, value in now.items()}
        self._model.load(self.start)
        try:
            return predict()
        finally:
            self._model.load(kept)

    def _leave(self, current: Round) -> None:
        """Send the current round and leave the run, unless it was an exception that ended the loop.

        Python closes a generator alike on both: the update is written now, and sent when the cell has ended well.
        """
        submit = self._prepare(current, leave=True)

        def send() -> None:
            self.channel.submit(submit)

        _when_cell_ends_well(send)

    def _submit(self, current: Round) -> tuple[NextRound | Ended, list[int]]:
        submit = self._prepare(current, leave=False)
        self.start = {}  # the memory of these weights is given back before the next ones come
        return self.channel.submit(submit)

    def _prepare(self, current: Round, *, leave: bool) -> Submit:
        """Fill the leases; the returned request names them."""
        if current.reported is None:
            raise FlipError(
                "no-report",
                f"Round {current.number} ended without rnd.report(…).",
                remedy=f"Report {', '.join(output.name for output in self.outputs)} in every round.",
            )
        agreement = current.agreement()
        if current.training:
            lease = self.channel.lease(Lease(what="update"))
            write_change(lease, self._model.spec, self.start, self._model.arrays())
        saved = self._state.save() if current.training and not leave else b""
        if saved:
            _write(self.channel.lease(Lease(what="state", size=len(saved))), saved)
        return Submit(
            round=current.number,
            report=current.reported,
            agreement=agreement,
            update=current.training,
            state=bool(saved),
            leave=leave,
        )


def _when_cell_ends_well(action: Callable[[], None]) -> None:
    """In IPython: after the running cell, if it raised nothing. Elsewhere at once."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        action()
        return

    def ended(result: Any) -> None:
        shell.events.unregister("post_run_cell", ended)
        if result.success:
            action()

    shell.events.register("post_run_cell", ended)


def _plain(value: Any) -> float:
    """A Python number of a NumPy scalar or a torch tensor with one element."""
    item = getattr(value, "item", None)
    number: float = item() if callable(item) else value
    return number


def _take(descriptor: int, size: int) -> bytes:
    """The first ``size`` bytes that a descriptor holds, which is closed."""
    try:
        with mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
            return mapped[:]
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    try:
        with mmap.mmap(descriptor, len(data), mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
            mapped[:] = data
    finally:
        os.close(descriptor)
