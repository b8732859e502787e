"""A study out of the files that were given of it: what is loaded, what is not and why, and what is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.estate.harmonise.rejects import Reject
from flipnb.estate.imaging.loading.catalogue import Given
from flipnb.estate.imaging.loading.days import day_of
from flipnb.estate.imaging.loading.headers import Header

NUMBERS = ("slice_thickness", "pixel_spacing", "kvp", "rows", "columns")
"""Features that are numbers: of a series, the largest of its images."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """``wanted`` are how many images were asked for, by original series UID."""

    source_uid: str
    files: tuple[Given, ...]
    wanted: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of everything that rows are made of; a file's name where it may be a reject's."""
        files = [
            [
                "" if one.outcome.state == "released" else one.name,
                one.header.__dict__,
                one.outcome.state,
                one.outcome.reason,
                one.outcome.sha256,
            ]
            for one in self.files
        ]
        return sha256(canonical_bytes([self.source_uid, files, sorted(self.wanted.items())]))


@dataclass
class Rows:
    """Of one study, for tables by their names, and what is not loaded."""

    tables: dict[str, list[Row]] = field(
        default_factory=lambda: {"image_study": [], "image_series": [], "image_file": []}
    )
    rejects: list[Reject] = field(default_factory=list)


def rows_of(study: Study, uid: Callable[[str], str]) -> Rows:
    """``uid`` gives the UID in place of an original one."""
    rows = Rows()
    good = _good(study, rows.rejects)
    study_uid = uid(study.source_uid)
    for (issuer, number), files in _by(study.files, lambda one: (one.header.issuer, one.header.number)).items():
        states = Counter(one.outcome.state for one in files)
        released = sum(1 for one in files if one.header.sha256 in good)
        again = sum(1 for one in files if good.get(one.header.sha256, one) is None)
        rows.tables["image_study"].append(
            {
                "study_uid": study_uid,
                "source_study_uid": study.source_uid[:64],
                "issuer": issuer[:255] or None,
                "number": number[:64],
                "study_date": min(filter(None, (day_of(one.header.day) for one in files)), default=None),
                "accession": _only(one.header.accession[:64] for one in files),
                "wanted": sum(study.wanted.values()) if study.wanted else None,
                "files": len(files) - again,
                "released": released - again,
                "quarantined": states["quarantined"],
                "refused": len(files) - released - states["quarantined"],
            }
        )
    if not study.files:
        rows.tables["image_study"].append(_not_there(study, study_uid))
    kept = [one for one in study.files if good.get(one.header.sha256) is not None]
    for series, files in _by(kept, lambda one: one.header.series).items():
        given = [one for one in study.files if one.header.series == series]
        rows.tables["image_series"].append(_series(study, study_uid, uid(series), files, given))
        rows.tables["image_file"] += [_file(one, study_uid, uid) for one in files]
    return rows


def _good(study: Study, rejects: list[Reject]) -> dict[str, Given | None]:
    """By SHA-256 the files that may be loaded; None for one that another stands for, with the same pixels."""
    good: dict[str, Given | None] = {}
    rejects += [
        _reject(one, f"{one.outcome.state}: {one.outcome.reason}")
        for one in study.files
        if one.outcome.state != "released"
    ]
    released = [one for one in study.files if one.outcome.state == "released"]
    for files in _by(released, lambda one: one.header.sop).values():
        if len({one.outcome.features.get("pixels") for one in files}) > 1:
            rejects += [_reject(one, "its instance is there twice, with other pixels") for one in files]
            continue
        dated = [one for one in files if day_of(one.header.day) is not None]
        good |= {one.header.sha256: one if one is dated[0] else None for one in dated}
        undated = [one for one in files if day_of(one.header.day) is None]
        rejects += [_reject(one, "its header has no date", "StudyDate", one.header.day) for one in undated]
    return good


def _reject(one: Given, reason: str, column: str | None = None, value: str | None = None) -> Reject:
    return Reject(one.name, 0, column, reason, value)


def _series(study: Study, study_uid: str, series_uid: str, files: Sequence[Given], given: Sequence[Given]) -> Row:
    first = files[0]
    series = first.header.series
    snomed = _only(one.outcome.features.get("body_part_snomed", "") for one in files)
    part = _only(one.outcome.features.get("body_part", "") for one in files)
    features: dict[str, Any] = {
        name: max((one.outcome.features[name] for one in files if name in one.outcome.features), default=None)
        for name in NUMBERS
    }
    features["plane"] = _only(one.outcome.features.get("plane", "") for one in files)
    features["images"] = len(files)
    return {
        "study_uid": study_uid,
        "series_uid": series_uid,
        "source_series_uid": series[:64],
        "series_date": min(filter(None, (_day_of_series(one.header) for one in files))),
        "modality": _only(one.header.modality[:16] for one in files),
        "body_part": snomed or part,
        "body_part_vocabulary": "SNOMED" if snomed else "BodyPartExamined" if part else None,
        "images": len(files),
        "wanted": study.wanted.get(series),
        "missing": _missing(given, study.wanted.get(series)),
        "features": json.dumps({name: value for name, value in features.items() if value is not None}, sort_keys=True),
    }


def _day_of_series(header: Header) -> Any:
    return day_of(header.series_date) or day_of(header.day)


def _missing(given: Sequence[Given], wanted: int | None) -> int:
    """How many images of a series were not given: of those wanted, else of the numbers between first and last."""
    if wanted is not None:
        return max(0, wanted - len({one.header.sop for one in given}))
    numbers = {int(one.outcome.facts.get("instance_number") or 0) for one in given}
    if 0 in numbers or len(numbers) < len({one.header.sop for one in given}):
        return 0
    return max(numbers) - min(numbers) + 1 - len(numbers)


def _file(one: Given, study_uid: str, uid: Callable[[str], str]) -> Row:
    facts = one.outcome.facts
    return {
        "sha256": one.outcome.sha256,
        "bytes": one.outcome.bytes,
        "sop_class": facts["sop_class"],
        "transfer_syntax": facts["transfer_syntax"],
        "instance_number": facts["instance_number"] or None,
        "frames": facts["frames"],
        "rows": facts["rows"] or None,
        "columns": facts["columns"] or None,
        "study_uid": study_uid,
        "series_uid": uid(one.header.series),
        "sop_uid": uid(one.header.sop),
    }


def _not_there(study: Study, study_uid: str) -> Row:
    counts = dict.fromkeys(("files", "released", "quarantined", "refused"), 0)
    wanted = sum(study.wanted.values())
    return {"study_uid": study_uid, "source_study_uid": study.source_uid, "number": "", "wanted": wanted, **counts}


def _only(values: Iterable[str]) -> str | None:
    """The value that all have that have any; None where there are none or several."""
    found = {value for value in values if value}
    return found.pop() if len(found) == 1 else None


def _by(files: Iterable[Given], key: Callable[[Given], Any]) -> dict[Any, list[Given]]:
    groups: dict[Any, list[Given]] = {}
    for one in files:
        groups.setdefault(key(one), []).append(one)
    return groups
