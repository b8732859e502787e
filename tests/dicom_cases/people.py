"""Invented patients of the cases, with everything about them that a header may hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date


@dataclass(frozen=True)
class Person:
    """``name`` as DICOM writes it (family^given^middle^prefix^suffix); dates of the calendar."""

    name: str
    mrn: str
    nhs: str
    born: date
    sex: str = "F"
    age: str = "075Y"
    address: str = "14 Larkspur Rise, Harrogate HG2 7QW"
    phone: str = "01423 496 0182"
    mother: str = "Hartlepool"
    accession: str = "RAD7741209"
    scanned: date = date(2023, 5, 3)
    words: tuple[str, ...] = field(default=())
    """Parts of the name that no output may hold anywhere; left out where a part is a clinical word, or too short."""

    def forms(self) -> tuple[str, ...]:
        """What must be nowhere in an output."""
        return (*self.words, self.mrn, self.nhs, self.accession, self.address, self.phone, self.mother)


def nhs_number(nine: str) -> str:
    """With the check digit (modulus 11, weights 10 to 2). Raises ValueError where these nine digits have none."""
    check = 11 - sum(int(digit) * weight for digit, weight in zip(nine, range(10, 1, -1), strict=True)) % 11
    if check == 10:
        raise ValueError(f"{nine} is not the beginning of an NHS number")
    return nine + str(check % 11)


ELEANOR = Person(
    "Whitcombe^Eleanor^Jane^Mrs",
    "00451873",
    nhs_number("943476591"),
    date(1948, 4, 12),
    words=("whitcombe", "eleanor"),
)
HYPHEN = replace(
    ELEANOR,
    name="Smythe-Okonkwo^Chidiebere",
    mrn="H2290417",
    nhs=nhs_number("401023213"),
    born=date(1961, 11, 30),
    age="061Y",
    words=("okonkwo", "chidiebere", "smythe"),
)
APOSTROPHE = replace(
    ELEANOR,
    name="O'Shaughnessy^Niamh",
    mrn="77120934",
    nhs=nhs_number("450557710"),
    words=("shaughnessy", "niamh"),
)
MARROW = replace(
    ELEANOR, name="Marrow^Drake", mrn="M0098123", nhs=nhs_number("625401888"), sex="M", words=(), accession="RAD7741210"
)
LUNG = replace(ELEANOR, name="Lung^May", mrn="M0098124", nhs=nhs_number("625401901"), words=(), accession="RAD7741211")
SHORT = replace(ELEANOR, name="Ng^Wei Li", mrn="S5512008", nhs=nhs_number("485777345"), words=())
SMITH = replace(ELEANOR, name="Smith^John", mrn="10020030", nhs=nhs_number("700012345"), sex="M", words=("smith",))
OLD = replace(
    ELEANOR,
    name="Abernathy^Winifred",
    mrn="90071554",
    nhs=nhs_number("592193485"),
    born=date(1929, 2, 28),
    age="094Y",
    words=("abernathy", "winifred"),
)
