"""Counts: small ones and zero look alike, others are rounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipnb.contracts.policy import CountPolicy
from flipnb.estate.disclosure import release


@pytest.mark.parametrize(
    ("people", "released"), [(0, None), (1, None), (9, None), (10, 10), (12, 10), (13, 15), (46, 45), (303, 305)]
)
def test_default_policy(people, released):
    assert release(people, CountPolicy()) == released


@given(st.integers(0, 5000), st.integers(1, 50), st.integers(1, 50))
def test_any_policy(people, threshold, rounding):
    released = release(people, CountPolicy(threshold=threshold, rounding=rounding))
    assert (released is None) == (people < threshold)
    if released is not None:
        assert released % rounding == 0
        assert released >= threshold
        assert abs(released - people) <= max(rounding, threshold)
