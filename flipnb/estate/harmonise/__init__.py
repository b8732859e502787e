"""Extracts into OMOP by a declarative mapping file."""

from flipnb.estate.harmonise.loader import LoadReport, Progress, load

__all__ = ["LoadReport", "Progress", "load"]
