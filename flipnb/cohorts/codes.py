"""Sets of concepts, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flipnb.cohorts.written import Json


@dataclass(frozen=True)
class Codes:
    """A set of concepts, as ``concepts`` makes it; one set in a definition for all that are equal."""

    name: str
    included: tuple[int, ...]
    excluded: tuple[int, ...]
    descendants: bool
    mapped: bool

    def written(self, number: int) -> Json:
        """OHDSI's JSON of the set, under the id ``number``."""
        items = [(concept, False) for concept in self.included] + [(concept, True) for concept in self.excluded]
        return {
            "id": number,
            "name": self.name,
            "expression": {
                "items": [
                    {
                        "concept": {"CONCEPT_ID": concept},
                        "isExcluded": excluded,
                        "includeDescendants": self.descendants,
                        "includeMapped": self.mapped,
                    }
                    for concept, excluded in items
                ]
            },
        }


def concepts(
    name: str, *ids: int, excluding: Sequence[int] = (), descendants: bool = True, mapped: bool = False
) -> Codes:
    """Concepts with their descendants: ``concepts("Diabetes", 201826, excluding=[4058243])``.

    ``excluding`` takes concepts out again, with their descendants as well; ``descendants=False`` leaves each concept by
    itself, ``mapped`` adds source concepts that map to them. The name is for people.
    """
    return Codes(name, ids, tuple(excluding), descendants, mapped)
