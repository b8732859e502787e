"""De-identification of DICOM files: PS3.15 Annex E over bytes, by a policy and a key."""

from flipnb.estate.imaging.deidentify.engine import Deidentified, Deidentifier, Facts
from flipnb.estate.imaging.deidentify.keys import Keys
from flipnb.estate.imaging.deidentify.policy import Policy
from flipnb.estate.imaging.deidentify.walker import Refused

__all__ = ["Deidentified", "Deidentifier", "Facts", "Keys", "Policy", "Refused"]
