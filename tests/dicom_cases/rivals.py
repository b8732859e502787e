"""Other people's de-identifiers, each as its own documentation says to use it for the basic profile."""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import httpx
import pydicom
from dicomanonymizer import simpledicomanonymizer
from pydicom.dataset import Dataset

ORTHANCS_TABLE = "2021b"
"""The newest that Debian's Orthanc 1.10.1 knows."""

_LETTERS, _BROKEN, _BARE, _BEYOND = (
    "letters are burned into it",
    "it ends too early, or nobody decodes it",
    "no meta information",
    "pixels that its header does not speak of, at which nobody looks",
)
HELD_OF_PYDICOM = {
    "GDCMJ2K_TextGBR.dcm": _LETTERS,
    "examples_jpeg2k.dcm": _LETTERS,
    "examples_palette.dcm": _LETTERS,
    "examples_rgb_color.dcm": _LETTERS,
    "examples_ybr_color.dcm": _LETTERS,
    "JPEG-lossy.dcm": _BROKEN,
    "JPEG2000-embedded-sequence-delimiter.dcm": _BROKEN,
    "MR_truncated.dcm": _BROKEN,
    "rtplan_truncated.dcm": _BROKEN,
    "ExplVR_BigEndNoMeta.dcm": _BARE,
    "no_meta.dcm": _BARE,
    "badVR.dcm": _BEYOND,
    "meta_missing_tsyntax.dcm": _BEYOND,
    "nested_priv_SQ.dcm": _BEYOND,
}
"""Of pydicom's files, those that are not to be released, or need not be."""


def pydicom_files() -> list[Path]:
    """The DICOM files that pydicom brings for its own tests."""
    return sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


@cache
def _actions() -> dict:
    return simpledicomanonymizer.initialize_actions("dicomfields_2026c")


def dicom_anonymizer(data: bytes) -> bytes | None:
    """dicom-anonymizer with its database of 2026c, private elements deleted; None where it gives up."""
    # It numbers UIDs anew in a dictionary of the process, which would grow for ever.
    simpledicomanonymizer.dictionary.clear()
    output = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            simpledicomanonymizer.anonymize_dicom_file(BytesIO(data), output, None, True, lambda: dict(_actions()))
        except Exception:
            return None
    return output.getvalue()


def orthanc(client: httpx.Client, data: bytes) -> bytes | None:
    """One instance through /anonymize; None where Orthanc takes or reads it not. What was stored is deleted."""
    stored = client.post("/instances", content=data)
    if not stored.is_success:
        return None
    instance = stored.json()["ID"]
    try:
        answer = client.post(f"/instances/{instance}/anonymize", json={"DicomVersion": ORTHANCS_TABLE})
        return answer.content if answer.is_success else None
    finally:
        client.delete(f"/instances/{instance}")


def parsed(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(BytesIO(data), force=True)
        ds.walk(lambda *_: None)
        return ds
