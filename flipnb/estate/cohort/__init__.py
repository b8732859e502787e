"""Cohort expressions over an estate: the compiler to SQL, and what it finds."""

from flipnb.estate.cohort.compiler import compile_cohort
from flipnb.estate.cohort.generation import AttritionStep, CohortReport, generate

__all__ = ["AttritionStep", "CohortReport", "compile_cohort", "generate"]
