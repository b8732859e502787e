"""Synthetic data with a cohort's shape, for rehearsing."""

from flipnb.twin.making import make
from flipnb.twin.marginals import Marginals

__all__ = ["Marginals", "make"]
