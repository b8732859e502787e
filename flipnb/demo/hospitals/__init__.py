"""The four hospitals of the demo: their extracts, each in a shape of its own, and the mapping of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent

CONCEPTS = _HERE / "mappings" / "concepts.csv"
"""The demo's own concepts: invented ones, as no vocabulary may be shipped."""


@dataclass(frozen=True)
class Hospital:
    """``name`` is the Trust's; ``mapping`` says what its extract means."""

    name: str
    title: str
    records: str

    @property
    def mapping(self) -> Path:
        """The file that says how its extract becomes OMOP."""
        return _HERE / "mappings" / f"{self.name}.toml"

    @property
    def extract(self) -> Path:
        """The folder of its extract, in the hospital's own shape."""
        return _HERE / "extracts" / self.name

    @property
    def original(self) -> Path:
        """The records as published (UCI Heart Disease)."""
        return _HERE.parent / "data" / "heart-disease" / self.records


HOSPITALS = (
    Hospital("cleveland", "Cleveland", "cleveland.csv"),
    Hospital("hungary", "Hungary", "hungarian.csv"),
    Hospital("switzerland", "Switzerland", "switzerland.csv"),
    Hospital("long-beach", "Long Beach VA", "long-beach-va.csv"),
)
