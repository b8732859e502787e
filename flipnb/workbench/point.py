"""From what a researcher asks for to a parameter space that contains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flipnb.contracts.parameters import Parameter, Scalar, check_point
from flipnb.contracts.problem import FlipError


def fix_point(
    declared: Sequence[Parameter], asked: Mapping[str, Scalar]
) -> tuple[tuple[Parameter, ...], dict[str, Scalar]]:
    """The space and the full point. A parameter without bounds or choices is fixed to the value that is asked for.

    Raises FlipError ``unknown-parameter``, ``wrong-type``, ``out-of-bounds``.
    """
    space: list[Parameter] = []
    for given in declared:
        parameter = given
        free = parameter.minimum is None and parameter.maximum is None and not parameter.choices
        if free and parameter.name in asked:
            wanted = asked[parameter.name]
            value = parameter.model_copy(update={"choices": (wanted,)}).check(wanted)
            parameter = parameter.model_copy(update={"default": value})
        space.append(parameter)
    return tuple(space), check_point(space, asked)


def parse_value(declared: Sequence[Parameter], name: str, text: str) -> Scalar:
    """A value typed on a command line, in its parameter's type. FlipError ``unknown-parameter``, ``wrong-type``."""
    for parameter in declared:
        if parameter.name != name:
            continue
        wrong = FlipError("wrong-type", f"Parameter {name} is a {parameter.type}; {text!r} is none.")
        if parameter.type == "str":
            return text
        if parameter.type == "bool":
            if text.lower() not in ("true", "false"):
                raise wrong
            return text.lower() == "true"
        try:
            return int(text) if parameter.type == "int" else float(text)
        except ValueError:
            raise wrong from None
    names = ", ".join(parameter.name for parameter in declared) or "none"
    raise FlipError("unknown-parameter", f"The notebook has no parameter {name!r}; it has {names}.")
