"""Any bytes are answered or refused: no crash, no endless loop, no more than twice the file's memory or size."""

from __future__ import annotations

from collections import Counter

import pytest
from dicom_cases.answer_key import BASIC, RESEARCH
from dicom_cases.hostile import answer, within_bounds
from dicom_cases.mutations import bombs, mutated, seeds
from dicom_cases.outcomes import deidentified
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flipnb.estate.imaging.deidentify import Deidentifier, Keys, Policy

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture(scope="module", params=[BASIC, RESEARCH])
def engine(request) -> Deidentifier:
    return Deidentifier(Policy.named(request.param), Keys(b"k" * 32))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 40))
def test_whatever_the_bytes_the_engine_answers_or_refuses(engine, seed):
    data = mutated(seed)
    given_back = answer(engine, data)
    assert within_bounds(given_back, data), (given_back, len(data))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000), prefix=st.booleans())
def test_noise_is_refused(engine, data, prefix):
    data = b"\0" * 128 + b"DICM" + data if prefix else data
    assert within_bounds(answer(engine, data), data)


@pytest.mark.parametrize("name", sorted(bombs()))
def test_a_bomb_takes_no_more_than_its_size(engine, name):
    data = bombs()[name]
    given_back = answer(engine, data)
    assert within_bounds(given_back, data), (given_back, len(data))


def test_the_mutations_reach_past_the_front_door(engine):
    """Fuzzing that is refused at once tests nothing: some files are still answered, and refusals are of many kinds."""
    states = Counter(answer(engine, mutated(seed)).state.split(" at ")[0] for seed in range(400))
    assert states["released"] > 40 and len(states) > 5, states
    assert len(seeds()) > 60


def test_hostile_files_in_a_folder_are_each_accounted_for(tmp_path):
    """By the command, with whatever workers and checks it has: one file never takes another with it."""
    (tmp_path / "in").mkdir()
    for name, data in bombs().items():
        (tmp_path / "in" / f"{name}.dcm").write_bytes(data)
    for seed in range(60):
        (tmp_path / "in" / f"mutated_{seed:03}.dcm").write_bytes(mutated(seed))
    outcomes, code, printed = deidentified(tmp_path / "in", tmp_path / "out", BASIC)
    assert Counter(one.file for one in outcomes) == Counter(path.name for path in (tmp_path / "in").iterdir())
    assert code == 0, printed[-2000:]
    states = Counter(one.state for one in outcomes)
    assert states["released"] > 5 and states["refused"] > 5, states
