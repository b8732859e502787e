"""FHIR R4 resources out of OMOP tables: what each row becomes, and searches that run as SQL."""

from flipnb.records.fhir.search import Page, Search, read, search
from flipnb.records.fhir.store import Pseudonyms, Store

__all__ = ["Page", "Pseudonyms", "Search", "Store", "read", "search"]
