"""Strategies by name, and which parameters each one has.

The ten of Flower are listed here with their parameters, so that an unknown one is refused by name before anything is
sent. Others are packages that the hub's operator installs; their names have a dot (``lab.RobustMean``), so that none
can take the place of Flower's, and their parameters are checked at the hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.text import Identifier

Aggregation = Literal["sum", "individual"]
"""sum: the coordinator gets nothing but what can be added. individual: each Trust's update by itself."""


@dataclass(frozen=True)
class Range:
    """Values of a parameter, ends included where not ``open_end``; ``whole``: integers only."""

    minimum: float
    maximum: float
    whole: bool = False
    open_end: bool = False

    def allows(self, value: float) -> bool:
        """Whether a parameter may have this value."""
        below = value < self.maximum if self.open_end else value <= self.maximum
        return self.minimum <= value and below and not (self.whole and value != int(value))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} in [{self.minimum:g}, {self.maximum:g}{')' if self.open_end else ']'}"


@dataclass(frozen=True)
class Known:
    """What aggregation a strategy of Flower works on, and its own parameters."""

    aggregation: Aggregation
    parameters: Mapping[str, Range] = field(default_factory=dict)


_POSITIVE = Range(0.0, 1e9)
_SHARE = Range(0.0, 1.0, open_end=True)
_TRUSTS = Range(0, 64, whole=True)
_ADAPTIVE = {"eta": _POSITIVE, "eta_l": _POSITIVE, "tau": _POSITIVE}
_MOMENTS = {**_ADAPTIVE, "beta_1": _SHARE, "beta_2": _SHARE}

FLOWER: Mapping[str, Known] = {
    "FedAvg": Known("sum"),
    "FedProx": Known("sum", {"proximal_mu": _POSITIVE}),
    "FedAvgM": Known("sum", {"server_learning_rate": _POSITIVE, "server_momentum": _SHARE}),
    "FedAdam": Known("sum", _MOMENTS),
    "FedYogi": Known("sum", _MOMENTS),
    "FedAdagrad": Known("sum", _ADAPTIVE),
    "FedMedian": Known("individual"),
    "FedTrimmedAvg": Known("individual", {"beta": Range(0.0, 0.5, open_end=True)}),
    "Krum": Known("individual", {"num_malicious_nodes": _TRUSTS}),
    "MultiKrum": Known("individual", {"num_malicious_nodes": _TRUSTS, "num_nodes_to_select": Range(1, 64, whole=True)}),
}
"""``flwr.serverapp.strategy`` 1.41, by name."""


class Strategy(Document):
    """A strategy by name, with its own parameters; a name with a dot is one that the hub's operator installed."""

    name: str = Field(default="FedAvg", pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}(\.[A-Za-z][A-Za-z0-9_-]{0,40})?$")
    parameters: dict[Identifier, float] = Field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether it is a package of the operator's, not one of Flower's."""
        return "." in self.name

    @model_validator(mode="after")
    def _known(self) -> Strategy:
        if self.installed:
            return self
        known = FLOWER.get(self.name)
        if known is None:
            raise ValueError(f"there is no strategy {self.name!r}; there are {', '.join(FLOWER)}")
        for name, value in self.parameters.items():
            allowed = known.parameters.get(name)
            if allowed is None:
                has = ", ".join(sorted(known.parameters)) or "none"
                raise ValueError(f"strategy {self.name} has no parameter {name!r}; it has {has}")
            if not allowed.allows(value):
                raise ValueError(f"strategy {self.name}: {name} is {allowed}, not {value:g}")
        return self

    def refuse_aggregation(self, aggregation: Aggregation) -> None:
        """ValueError where a strategy of Flower does not work on ``aggregation``."""
        known = FLOWER.get(self.name)
        if known is not None and known.aggregation != aggregation:
            raise ValueError(f"strategy {self.name} needs aggregation {known.aggregation!r}")
