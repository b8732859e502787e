"""Cohort expressions over an estate: the compiler to SQL."""

from flipnb.estate.cohort.compiler import compile_cohort

__all__ = ["compile_cohort"]
