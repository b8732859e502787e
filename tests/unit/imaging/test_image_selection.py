"""Which of a person's images a set takes: by modality, place, window, study, number and bytes."""

from datetime import timedelta

import numpy as np
import pytest
from image_estate import COHORT, INDEX, Scan, estate_of
from image_phantoms import CR, CT, MR, Series, picture, written
from small_estate import Person, fill

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.images import ImageSet
from flipnb.contracts.window import Window
from flipnb.estate.freezing import freeze
from flipnb.records import Records

CHEST, HEAD = 4058758, 4093025
SMALL = Series(columns=3, rows=2, slices=4)


def day(number):
    return INDEX + timedelta(number)


def series(slices, sop_class=CT, study="2.25.1", number=1):
    return SMALL.with_(slices=slices, sop_class=sop_class, study_uid=study, series_uid=f"{study}.{number}").files()


def radiograph(value, study="2.25.7"):
    made = picture(np.full((2, 2), value, dtype=np.uint16), sop_class=CR)
    made.StudyInstanceUID, made.InstanceNumber = study, value
    return written(made)


SCANS = [
    # Person 1: three studies, the middle one with three series of which one is MR.
    Scan(1, series(3, study="2.25.10"), day=day(-300), site=CHEST),
    Scan(1, series(4, study="2.25.11", number=1), day=day(-20), site=CHEST),
    Scan(1, series(6, study="2.25.11", number=2), day=day(-20), site=HEAD),
    Scan(1, series(9, MR, study="2.25.11", number=3), day=day(-20), site=HEAD),
    Scan(1, series(5, study="2.25.12"), day=day(40), site=CHEST),
    # Person 2: radiographs, three in one study.
    Scan(2, [radiograph(3), radiograph(1), radiograph(2)], day=day(-1)),
    Scan(2, [radiograph(9, "2.25.8")], day=day(-9)),
    Scan(3, [radiograph(5, "2.25.9")], day=day(0)),
    # Of somebody who is not in the cohort.
    Scan(99, series(7, study="2.25.13"), day=day(0)),
]


KNOWN = {"modalities": ("CT",), "dimensions": 3, "window": Window(start_days=None, end_days=0)}
PICTURES = {"modalities": ("CR",), "dimensions": 2}
CASES = [
    ({}, [(6, -20)]),
    ({"take": "first"}, [(3, -300)]),
    ({"take": "all", "per_person": 9}, [(3, -300), (6, -20), (4, -20)]),
    ({"per_person": 2}, [(6, -20), (4, -20)]),
    ({"body_parts": (CHEST,)}, [(4, -20)]),
    ({"body_parts": (HEAD, CHEST)}, [(6, -20)]),
    ({"modalities": ("CT", "MR")}, [(9, -20)]),
    ({"modalities": ("MR",), "take": "all"}, [(9, -20)]),
    ({"window": Window(start_days=1, end_days=None)}, [(5, 40)]),
    ({"window": Window(start_days=None, end_days=None)}, [(5, 40)]),
    ({"window": Window(start_days=-19, end_days=0)}, []),
    (PICTURES, [(1, -1), (5, 0)]),
    (PICTURES | {"per_person": 2}, [(1, -1), (2, -1), (5, 0)]),
    (PICTURES | {"take": "all", "per_person": 9}, [(1, -1), (2, -1), (3, -1), (5, 0), (9, -9)]),
    (PICTURES | {"take": "first"}, [(5, 0), (9, -9)]),
    # A picture has eight bytes: whoever comes after the room is full is left out.
    (PICTURES | {"take": "all", "per_person": 9, "most_bytes": 8 * 3 + 7}, None),
]


def freeze_sets(estate, version, sets, place):
    dataset = Dataset(variables=(Variable(name="age", source="age"),), images=sets)
    split = Split(seed=1, shares=Shares(train=1))
    made = freeze(estate, version, CohortExpression.parse(COHORT), dataset, split, b"k" * 32, place / "frozen")
    return Records(place / "frozen"), {one.name: one for one in made.images}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Every case at once."""
    place = tmp_path_factory.mktemp("selection")
    (place / "estate").mkdir()
    version = estate_of(place / "estate", [1, 2, 3], SCANS)
    sets = tuple(ImageSet(name=f"x{number}", **KNOWN | asked) for number, (asked, _) in enumerate(CASES))
    return freeze_sets(place / "estate", version, sets, place)


def seen(entry):
    """(slices or first pixel, day)."""
    if len(entry.shape) == 3:
        return entry.shape[2], entry.day
    return int.from_bytes(entry.file.read_bytes()[entry.file_offset :][:2], "little"), entry.day


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_set_has_what_it_asks_for(frozen, number):
    records, counts = frozen
    expected = CASES[number][1]
    found = [seen(one) for one in records.train.frozen_images(f"x{number}")]
    count = counts[f"x{number}"]
    assert count.frozen == len(found)
    assert count.found == count.frozen + sum(one.images for one in count.left_out)
    if expected is None:
        assert len(found) == 3 and [(one.reason, one.images) for one in count.left_out] == [("over-bytes", 2)]
    elif CASES[number][0].get("dimensions") == 2:
        assert sorted(found) == expected and count.people == 2
    else:
        assert found == expected


def test_a_version_of_an_earlier_release_has_no_images(tmp_path):
    version = fill(tmp_path / "estate", [Person(1, since=INDEX)])
    records, counts = freeze_sets(tmp_path / "estate", version, (ImageSet(name="x", **KNOWN),), tmp_path)
    assert (records.train.frozen_images("x"), counts["x"].found) == ([], 0)
