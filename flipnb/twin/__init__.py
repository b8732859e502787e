"""Synthetic data with a cohort's shape, for rehearsing."""

from flipnb.twin.schema_twin import make

__all__ = ["make"]
