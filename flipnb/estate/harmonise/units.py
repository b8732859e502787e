"""Units of measure: UCUM codes through ucumvert and Pint."""

from __future__ import annotations

from functools import cache
from typing import Any

from flipnb.contracts.problem import FlipError


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def require_unit(code: str, where: str) -> None:
    """Raises FlipError ``unknown-unit`` where ``code`` is no UCUM unit."""
    try:
        _registry().from_ucum(code)
    except Exception as error:  # the parser's errors have no common class
        raise FlipError(
            "unknown-unit",
            f"{where}: {code!r} is no unit of UCUM.",
            remedy="Units are case-sensitive UCUM codes, for example mm[Hg], kPa, mmol/L, mg/dL, /min, 1.",
        ) from error


def conversion_factor(unit: str, to: str, molar_mass: float | None, where: str) -> float:
    """By what a number in ``unit`` is multiplied to be in ``to``; ``molar_mass`` in g/mol.

    Raises FlipError ``unknown-unit``, ``unit-conversion`` (other dimensions, an offset as in degrees Celsius, or a
    molar mass that is needed and not given, or given and not needed).
    """
    require_unit(unit, where)
    require_unit(to, where)
    registry = _registry()
    source, target = registry.from_ucum(unit), registry.from_ucum(to)
    if unit == to:
        return 1.0
    try:
        quantity = registry.Quantity(source.magnitude, source.units)
        if molar_mass is not None:
            mass = registry.Quantity(molar_mass, "gram / mole")
            quantity = quantity * mass if quantity.check("[substance] / [length] ** 3") else quantity / mass
        goal = registry.Quantity(target.magnitude, target.units)
        factor = float((quantity / goal).to_base_units().to("dimensionless").magnitude)
    except Exception as error:  # Pint's errors: dimensions, offset units, logarithmic units
        hint = "" if molar_mass is not None else " (a molar mass, if one is amount and the other mass, must be given)"
        raise FlipError("unit-conversion", f"{where}: {unit} can't be converted to {to}{hint}.") from error
    return factor
