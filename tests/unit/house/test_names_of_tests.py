"""Modules of tests are imported by their own names: two of one name could not run together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[2]


def test_no_two_modules_have_one_name():
    packaged = TESTS / "benchmarks"
    names = Counter(
        path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py" and packaged not in path.parents
    )
    assert [name for name, times in names.items() if times > 1] == []
