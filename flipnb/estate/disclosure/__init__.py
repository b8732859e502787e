"""Disclosure control: what of a count may leave."""

from flipnb.estate.disclosure.rounding import release

__all__ = ["release"]
