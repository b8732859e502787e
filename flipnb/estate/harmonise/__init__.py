"""Sources into OMOP, by a mapping."""

from flipnb.estate.harmonise.feed import Progress
from flipnb.estate.harmonise.load import load
from flipnb.estate.harmonise.loading import LoadReport

__all__ = ["LoadReport", "Progress", "load"]
