"""An elementwise strategy over a whole model, round by round, in bounded memory; its state between rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import FLOATS, Tensor, TensorSpec
from flipnb.federation.arithmetic import STRATEGIES, told
from flipnb.federation.mean_strategy import Means, MeanStrategy
from flipnb.federation.update_file import pieces
from flipnb.federation.weights import Arrays, Weights, in_file_order, moved

GROUP = 1 << 19
"""Elements of neighbouring tensors, or of a part of a large one, that are worked on at once: they stay in a core's
cache, and a model of many small tensors costs no more than one of a few large ones."""

_MOMENTUM = "momentum_vector"


@dataclass(frozen=True)
class Part:
    """Flat elements of a float tensor."""

    tensor: Tensor
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name of the part's tensor."""
        return self.tensor.name


class ElementwiseStrategy(MeanStrategy):
    """One of ``arithmetic.STRATEGIES``, by groups of tensors and parts of large ones, so that memory is bounded."""

    def __init__(self, chosen: Strategy, spec: TensorSpec) -> None:
        self._chosen, self._kind = chosen, STRATEGIES[chosen.name]
        self._parameters = {**self._kind.parameters, **chosen.parameters}
        self._order = in_file_order(spec)
        self._groups = _groups([tensor for tensor in self._order if tensor.dtype in FLOATS])
        self._begins: dict[str, list[int]] = {}
        for index, group in enumerate(self._groups):
            self._begins.setdefault(group[0].name, []).append(index)
        self._states: list[Mapping[str, npt.NDArray[Any]]] = [{} for _ in self._groups]

    def config(self, number: int, members: int) -> dict[str, float]:
        """Those of the strategy's parameters that an enclave is told of, by name: FedProx's ``proximal_mu``."""
        return told(self._chosen)

    def round(
        self, number: int, members: int, weights: Weights, means: Means
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """The next weights tensor by tensor, in the model's order, each in its own shape."""
        made: Arrays = {}
        for tensor in self._order:
            if tensor.dtype not in FLOATS:
                change = means.mean_of(tensor, 0, tensor.elements).reshape(tensor.shape)
                yield tensor.name, moved(tensor, weights[tensor.name], change)
                means.forget(tensor)
                continue
            if tensor.name in self._begins:
                begun = {part.name: part.tensor for index in self._begins[tensor.name] for part in self._groups[index]}
                old = {name: weights[name].reshape(-1) for name in begun}
                made |= {name: np.empty(one.elements, one.update_dtype) for name, one in begun.items()}
                for group in self._begins[tensor.name]:
                    self._advance(group, number, old, means, made)
            yield tensor.name, made.pop(tensor.name).reshape(tensor.shape)

    def _advance(self, group: int, number: int, old: Arrays, means: Means, made: Arrays) -> None:
        """Fill ``made`` with what becomes of one group's parts."""
        before, mean = [], []
        for part in self._groups[group]:
            weights = old[part.name][part.start : part.end]
            before.append(weights.astype(part.tensor.update_dtype, copy=False))
            mean.append(moved(part.tensor, weights, means.mean_of(part.tensor, part.start, part.end)))
            if part.end == part.tensor.elements:
                means.forget(part.tensor)
        with np.errstate(all="ignore"):  # what is not finite is refused by name when it is cast
            new, self._states[group] = self._kind.rule(
                _joined(before), _joined(mean), self._states[group], self._parameters, number
            )
            start = 0
            for part in self._groups[group]:
                size = part.end - part.start
                made[part.name][part.start : part.end] = new[start : start + size]
                start += size

    def state(self) -> Arrays:
        """The moments after the last round, by group and name; none before the first."""
        # By the names that Flower's classes gave them when they did this: a run goes on over an upgrade of its hub.
        return {
            f"{group}:{name}#0" if name == _MOMENTUM else f"{group}:{name}/{self._groups[group][0].name}": array
            for group, state in enumerate(self._states)
            for name, array in state.items()
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
        states: list[Arrays] = [{} for _ in self._groups]
        for key, array in state.items():
            group, _, name = key.partition(":")
            states[int(group)][name.partition("#")[0].partition("/")[0]] = array
        self._states = [*states]


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _groups(tensors: Sequence[Tensor]) -> list[list[Part]]:
    """Runs of neighbouring tensors of one dtype with at most ``GROUP`` elements together, and parts of larger ones."""
    groups: list[list[Part]] = []
    room = 0
    for tensor in tensors:
        if groups and tensor.elements <= room and groups[-1][0].tensor.update_dtype == tensor.update_dtype:
            groups[-1].append(Part(tensor, 0, tensor.elements))
            room -= tensor.elements
        else:
            groups += [[Part(tensor, *piece)] for piece in pieces(tensor, GROUP)]
            room = GROUP - tensor.elements
    return groups
