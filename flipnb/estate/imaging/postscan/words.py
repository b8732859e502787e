"""Words that name nobody when they stand alone: of medicine, of hospitals and makers, titles, placeholders."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_TITLES = """
dr mr mrs ms miss prof professor sir md phd msc bsc frcr mbbs jr sr ii iii iv rev the and van von der den del dos
"""
_NOBODY = """
anon anonymous anonymized anonymised deidentified unknown unnamed none null test tests patient doctor physician operator
name names first last middle prefix suffix unspecified default demo sample phantom removed redacted
"""
_PLACES_AND_MAKERS = """
hospital hospitals clinic centre center department radiology imaging university medical nhs trust foundation general
institute institution health care healthcare royal saint infirmary ward unit main scanner room suite office service
emergency casualty outpatient inpatient surgery oncology cardiology neurology paediatrics pediatrics
street road avenue lane london england scotland wales united kingdom states
siemens philips toshiba canon hitachi agfa fuji fujifilm kodak carestream hologic samsung shimadzu mindray hamamatsu
varian elekta konica minolta healthineers systems
"""
# Words of medicine that are far more often somebody's name: found alone, they count.
_RATHER_NAMES = "brown green fox walker marsh ray rex gray grey stone max iris gene"

TITLES = frozenset(_TITLES.split())
NOBODY = frozenset(_NOBODY.split())
PLACES_AND_MAKERS = frozenset(_PLACES_AND_MAKERS.split())


@cache
def clinical() -> frozenset[str]:
    """Words of medicine: those that pydicom's concepts (SNOMED, DCM, …) write in small letters within a meaning."""
    text = files(__package__).joinpath("clinical_words.txt").read_text("ascii")
    return frozenset(text.split()).difference(_RATHER_NAMES.split())


def says_nobody(word: str) -> bool:
    """Whether a word in small letters says nothing about a person when it stands alone."""
    return word in NOBODY or word in TITLES or word in PLACES_AND_MAKERS or word in clinical()
