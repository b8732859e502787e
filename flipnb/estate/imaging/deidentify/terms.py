"""Defined and enumerated terms of PS3.3 by which a reader knows what kind of thing it reads.

Such a term is the standard's word, not a writer's, even where it is somebody's name too: a report whose value types are
taken out is none. Anything else in these attributes is text like any other.
"""

from __future__ import annotations

from functools import cache

_TERMS = {
    0x00080008: "ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER MPR VOLUME RESAMPLED MIXED NONE",
    0x00080060: "CR CT MR US XA RF DX MG PT NM SR PR KO SEG ECG OT SC RTIMAGE RTDOSE RTPLAN RTSTRUCT SM OP OPT XC",
    0x00080064: "DV DI DF WSD SD SI DRW SYN",
    0x00080105: "DCMR SDM UCUM FMA MAYOASRG",
    0x00089205: "COLOR MONOCHROME MIXED TRUE_COLOR",
    0x00089206: "VOLUME SAMPLED DISTORTED MIXED",
    0x00185100: "HFP HFS HFDR HFDL FFDR FFDL FFP FFS LFP LFS RFP RFS AFDR AFDL PFDR PFDL",
    0x00200060: "L R",
    0x00200062: "L R U B",
    0x00209311: "3D 3D_TEMPORAL TILED_FULL TILED_SPARSE",
    0x00280004: "MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT XYB ARGB CMYK HSV"
    " YBR_PARTIAL_422",
    0x00280301: "YES NO",
    0x00281056: "LINEAR LINEAR_EXACT SIGMOID",
    0x00282110: "00 01",
    0x003A0004: "ORIGINAL DERIVED",
    0x0040A050: "SEPARATE CONTINUOUS",
    0x0040A040: "TEXT NUM CODE DATE TIME DATETIME UIDREF PNAME COMPOSITE IMAGE WAVEFORM SCOORD SCOORD3D TCOORD"
    " CONTAINER TABLE",
    0x0040A130: "POINT MULTIPOINT SEGMENT MULTISEGMENT BEGIN END",
    0x0040A491: "PARTIAL COMPLETE",
    0x0040A493: "UNVERIFIED VERIFIED",
    0x00620001: "BINARY FRACTIONAL LABELMAP",
    0x00620008: "AUTOMATIC SEMIAUTOMATIC MANUAL",
    0x00700003: "PIXEL DISPLAY MATRIX",
    0x00700004: "PIXEL DISPLAY MATRIX",
    0x00700005: "PIXEL DISPLAY MATRIX",
    0x00700012: "LEFT RIGHT CENTER",
    0x00700015: "Y N",
    0x00700023: "POINT MULTIPOINT POLYLINE INTERPOLATED CIRCLE ELLIPSE POLYGON ELLIPSOID",
    0x00700024: "Y N",
    0x20500020: "IDENTITY INVERSE",
    0x30060042: "POINT OPEN_PLANAR OPEN_NONPLANAR CLOSED_PLANAR CLOSEDPLANAR_XOR",
    0x54001006: "SB UB MB AB SS US SL UL SV UV",
}
_OF_SEVERAL_WORDS = {
    0x0040A010: (
        "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS PROPERTIES", "HAS ACQ CONTEXT", "INFERRED FROM",
        "SELECTED FROM",
    ),
}  # fmt: skip


@cache
def _terms() -> dict[int, frozenset[bytes]]:
    terms = {tag: frozenset(words.encode().split()) for tag, words in _TERMS.items()}
    return terms | {tag: frozenset(term.encode() for term in many) for tag, many in _OF_SEVERAL_WORDS.items()}


def is_of_the_standard(tag: int, value: bytes) -> bool:
    """Whether all values of an attribute are terms that PS3.3 has for it."""
    terms = _terms().get(tag)
    return terms is not None and all(one.strip(b" \0") in terms for one in value.split(b"\\"))
