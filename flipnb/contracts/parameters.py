"""The parameter space of a bundle: typed, bounded; a run is one point of it."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import model_validator

from flipnb.contracts.document import Document
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Identifier, Line, require_visible
from flipnb.contracts.units import finite

MAX_INTEGER = 2**53
"""The largest magnitude of an integer: beyond it a double, and so JSON, holds not each of them."""

Scalar = bool | int | float | str
ParameterType = Literal["bool", "int", "float", "str"]


class Parameter(Document):
    """One name of the notebook's ``parameters`` cell.

    Numbers lie within ``minimum`` and ``maximum`` (inclusive); where ``choices`` is given, the value is one of them.
    A parameter with neither is fixed to its default.
    """

    name: Identifier
    type: ParameterType
    default: Scalar
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: Line = ""

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if keyword.iskeyword(self.name):
            raise ValueError(f"{self.name!r} is a Python keyword")
        for bound in (self.minimum, self.maximum):
            if bound is not None and self.type not in ("int", "float"):
                raise ValueError(f"{self.name} is a {self.type} and can't have bounds")
        try:
            for value in (self.default, *self.choices):
                self._typed(value)
            self.check(self.default)
        except FlipError as error:
            raise ValueError(error.message) from None
        return self

    @property
    def fixed(self) -> bool:
        """Whether its default is the only value that it may have."""
        return self.minimum is None and self.maximum is None and not self.choices

    def _typed(self, value: Scalar) -> Scalar:
        wrong = FlipError(
            "wrong-type",
            f"Parameter {self.name} is a {self.type}; {value!r} is a {type(value).__name__}.",
            remedy=f"Give {self.name} a value of type {self.type}.",
        )
        if self.type == "bool":
            if not isinstance(value, bool):
                raise wrong
            return value
        if self.type == "str":
            if not isinstance(value, str):
                raise wrong
            return require_visible(value, f"Parameter {self.name}", multiline=False)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong
        # Canonical JSON writes 1.0 as 1, so that a float may arrive as an integer; never the other way round.
        number = finite(value)
        if number is None:
            raise wrong
        if self.type == "float":
            return number
        if abs(value) > MAX_INTEGER or not number.is_integer():
            raise wrong
        return int(value)

    def check(self, value: Scalar) -> Scalar:
        """``value`` in this parameter's type. Raises FlipError ``wrong-type``, ``out-of-bounds``."""
        typed = self._typed(value)
        if self.choices:
            if typed not in {self._typed(choice) for choice in self.choices}:
                raise FlipError("out-of-bounds", f"Parameter {self.name} = {value!r} is none of {list(self.choices)}.")
        elif self.fixed and typed != self._typed(self.default):
            raise FlipError(
                "out-of-bounds",
                f"Parameter {self.name} is fixed to {self.default!r} in this bundle; {value!r} was asked for.",
            )
        if isinstance(typed, int | float) and not isinstance(typed, bool):
            below = self.minimum is not None and typed < self.minimum
            above = self.maximum is not None and typed > self.maximum
            if below or above:
                raise FlipError(
                    "out-of-bounds",
                    f"Parameter {self.name} = {value!r} is outside [{self.minimum}, {self.maximum}].",
                    remedy="Choose a value within the bounds that the notebook declares.",
                )
        return typed


def check_point(space: Sequence[Parameter], point: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """A full point: ``point`` checked against ``space``, defaults filled in, in the order of the space.

    Raises FlipError ``unknown-parameter``, ``wrong-type``, ``out-of-bounds``.
    """
    known = {parameter.name for parameter in space}
    for name in point:
        if name not in known:
            raise FlipError(
                "unknown-parameter",
                f"The notebook has no parameter {name!r}; it has {', '.join(sorted(known)) or 'none'}.",
            )
    return {p.name: p.check(point.get(p.name, p.default)) for p in space}


def telling(space: Sequence[Parameter], point: Mapping[str, Scalar]) -> tuple[Identifier, ...]:
    """The parameters that tell a run of the space from all of its others, in the notebook's order.

    Those whose values are not their defaults; of a run with nothing but defaults the first one that can be varied.
    """
    changed = tuple(p.name for p in space if p.name in point and point[p.name] != p.default)
    varied = (p.name for p in space if p.choices or p.minimum is not None or p.maximum is not None)
    return changed or tuple(itertools.islice(varied, 1))


def grid(values: Mapping[str, Iterable[Scalar]]) -> Iterator[dict[str, Scalar]]:
    """All points of a sweep, the last name varying fastest."""
    names = list(values)
    for combination in itertools.product(*values.values()):
        yield dict(zip(names, combination, strict=True))
