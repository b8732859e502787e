"""Synthetic data with a cohort's shape, for rehearsing."""

from flipnb.twin.making import make
from flipnb.twin.marginals import Marginals
from flipnb.twin.preview import Preview, preview

__all__ = ["Marginals", "Preview", "make", "preview"]
