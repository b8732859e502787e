"""A Trust's data: harmonised into OMOP, in immutable versions; counted and frozen, never copied out."""

from flipnb.estate.freezing import FrozenCohort, count, freeze
from flipnb.estate.harmonise import LoadReport, load
from flipnb.estate.splitting import split_people
from flipnb.estate.versions import Estate

__all__ = ["Estate", "FrozenCohort", "LoadReport", "count", "freeze", "load", "split_people"]
