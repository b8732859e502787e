"""A frozen cohort as tables: what ``flip.data()`` gives."""

from flipnb.records.records import PartRecords, Records

__all__ = ["PartRecords", "Records"]
