"""Texts and images of a twin's people: no dataset tells of them, so each concept is drawn, for half of the people.

What is drawn depends on the person and the concept alone: the same question finds the same people again, a narrower one
some of them. A feature's number lies where the dataset's variable of its concept has it; no variable, no number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flipnb.contracts.cohort_criteria import TextMention
from flipnb.contracts.dataset import Variable

_MENTIONED = _SCANNED = 0.5
_DENIED = _PAST = 0.25
ANYTHING = 0
"""Stands for the concept of a criterion that names none."""


@dataclass(frozen=True)
class Inventor:
    """``ranges`` are the plausible numbers of concepts, by concept."""

    ranges: Mapping[int, tuple[float, float]]

    @classmethod
    def of(cls, variables: Iterable[Variable]) -> Inventor:
        """One that draws an image's features within the plausible ranges of these variables."""
        return cls(
            {
                one.concept_id: (one.minimum, one.maximum)
                for one in variables
                if one.concept_id is not None and one.minimum is not None and one.maximum is not None
            }
        )

    def mentioned(self, person: int, concept: int, asked: TextMention) -> bool:
        """Whether a note of the person has the concept, in the way that is asked for."""
        denied = _drawn(person, "denied", concept) < _DENIED
        past = _drawn(person, "past", concept) < _PAST
        return (
            _drawn(person, "text", concept) < _MENTIONED
            and asked.term_exists in (None, "N" if denied else "Y")
            and asked.term_temporal in (None, "past" if past else "present")
        )

    def scanned(self, person: int, modality: int) -> bool:
        """Whether the person has a series of images of this modality (a concept id): the same each time."""
        return _drawn(person, "image", modality) < _SCANNED

    def number(self, person: int, modality: int, feature: int) -> float | None:
        """A feature's number in the person's images of a modality; None where nobody says what is plausible."""
        if feature not in self.ranges:
            return None
        low, high = self.ranges[feature]
        return low + (high - low) * _drawn(person, f"image {modality}", feature)


def _drawn(person: int, what: str, concept: int) -> float:
    """Uniform in [0, 1)."""
    digest = hashlib.sha256(f"{person}/{what}/{concept}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
