"""What a run may choose beside its parameters, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from enclave_scenario import Study
from pydantic import ValidationError

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.choices import Choices, Choosable, SeedRange
from flipnb.contracts.dataset import Shares, Split
from flipnb.contracts.document import parse
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunRequest
from flipnb.contracts.total import DeclaredArray, TotalStep

FREE = Choosable(minimum_rounds=1, seeds=SeedRange(minimum=10, maximum=19), initial_weights=("a" * 64,), folds=True)
FOLDED = Split(seed=1, shares=Shares(train=2), folds=5)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Study().bundle(choosable=FREE, split=FOLDED)


def test_a_run_has_what_it_chose_and_the_bundles_own_else(bundle: Bundle) -> None:
    chosen = bundle.at(Choices(rounds=1, seed=12, fold=4, initial_weights="a" * 64))
    assert (chosen.plan.rounds, chosen.split.seed, chosen.split.fold) == (1, 12, 4)
    assert chosen.initial_weights == "a" * 64
    assert chosen.notebook == bundle.notebook
    assert bundle.at(Choices()) == bundle
    assert bundle.at(Choices(rounds=2, seed=1, fold=0, initial_weights=bundle.initial_weights)) == bundle
    assert parse(Bundle, bundle.to_bytes(), "The bundle") == bundle


@pytest.mark.parametrize(
    "choices", [{"rounds": 0}, {"rounds": 3}, {"seed": 9}, {"fold": 5}, {"initial_weights": "b" * 64}]
)
def test_what_is_not_in_the_space_is_refused(bundle: Bundle, choices: dict[str, Any]) -> None:
    with pytest.raises(FlipError) as caught:
        bundle.at(Choices(**choices))
    assert caught.value.code == "out-of-bounds"


@pytest.mark.parametrize("choices", [{"rounds": 1}, {"seed": 9}, {"fold": 1}, {"initial_weights": "b" * 64}])
def test_what_a_bundle_fixes_can_not_be_chosen(choices: dict[str, Any]) -> None:
    with pytest.raises(FlipError) as caught:
        Study().bundle().at(Choices(**choices))
    assert caught.value.code == "not-choosable"


def test_bits_are_those_of_the_most_rounds_and_bounds_are_consistent(bundle: Bundle) -> None:
    assert bundle.report_bits > bundle.at(Choices(rounds=1)).report_bits
    study = Study()
    late = TotalStep(arrays=(DeclaredArray(name="n", minimum=0, maximum=1, decimals=0),), round=2)
    for wrong in (
        {"choosable": Choosable(minimum_rounds=3)},
        {"choosable": Choosable(folds=True)},
        {"choosable": Choosable(minimum_rounds=1), "totals": (late,)},
    ):
        with pytest.raises(ValidationError):
            study.bundle(**wrong)
    with pytest.raises(ValidationError):
        SeedRange(minimum=2, maximum=1)


def test_the_same_content_has_one_digest_whenever_it_is_valid(bundle: Bundle) -> None:
    later = bundle.model_copy(update={"expires": bundle.expires.replace(year=bundle.expires.year + 1)})
    assert later.digest() != bundle.digest()
    assert later.content_digest == bundle.content_digest
    assert bundle.model_copy(update={"title": "Other"}).content_digest != bundle.content_digest


def test_who_approves_is_told_what_may_be_chosen(bundle: Bundle) -> None:
    assert bundle.choosable.told(rounds=2, folds=5) == (
        "A run may train 1 to 2 rounds.",
        "A run may choose the split's seed: 10 to 19.",
        "A run may choose which of 5 folds is its test part.",
        "A run may begin with other weights: aaaaaaaaaaaaaaaa….",
    )


def test_a_request_and_a_bundle_that_choose_nothing_have_the_bytes_that_they_had(bundle: Bundle) -> None:
    plain = Study().bundle()
    assert b"choosable" not in plain.to_bytes()
    request = RunRequest(study="heart", bundle=plain.digest(), point={}, requested=plain.not_before, nonce="0" * 32)
    assert b"choices" not in request.to_bytes()
    assert b'"seed":3' in request.model_copy(update={"choices": Choices(seed=3)}).to_bytes()
