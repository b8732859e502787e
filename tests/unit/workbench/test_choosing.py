"""What a researcher asks of split and rounds: a choice where the bundle leaves it to runs, else another bundle."""

import json

import pytest
from workbench_samples import NOTEBOOKS

from flipnb.contracts.choices import Choices, SeedRange
from flipnb.contracts.problem import FlipError
from flipnb.workbench.choosing import choose
from flipnb.workbench.plan_file import PlanFile


def plan_file(folds=None, **choosable):
    content = json.loads((NOTEBOOKS / "heart_disease.flip.json").read_text())
    content["plan"]["rounds"] = 20
    content["split"] |= {"seed": 0} | ({"folds": folds, "shares": {"train": 2}} if folds else {})
    return PlanFile.model_validate(content | {"choosable": choosable})


def test_nothing_asked_is_the_plan_file():
    plan = plan_file(seeds=[1, 2])
    chosen = choose(plan, {})
    assert (chosen.split, chosen.plan, chosen.choices) == (plan.split, plan.plan, (Choices(),))
    assert chosen.choosable.seeds == (1, 2)


def test_one_value_that_may_be_chosen_leaves_the_bundle_as_it_was():
    plan = plan_file(minimum_rounds=5, seeds={"minimum": 0, "maximum": 9})
    chosen = choose(plan, {"rounds": 10, "seed": 3})
    assert (chosen.split, chosen.plan, chosen.choosable) == (plan.split, plan.plan, plan.choosable)
    assert chosen.choices == (Choices(rounds=10, seed=3),)
    assert choose(plan, {"rounds": 20, "seed": [0]}).choices == (Choices(),)


def test_one_other_value_makes_another_bundle():
    chosen = choose(plan_file(minimum_rounds=5, seeds=[1]), {"rounds": 30, "seed": 7})
    assert (chosen.plan.rounds, chosen.split.seed, chosen.choices) == (30, 7, (Choices(),))
    fewer = choose(plan_file(minimum_rounds=5), {"rounds": 3})
    assert (fewer.plan.rounds, fewer.choosable.minimum_rounds) == (3, 3)


def test_several_values_are_a_sweep_and_part_of_what_is_approved():
    chosen = choose(plan_file(seeds=[1], folds=3), {"seed": [0, 1, 5], "fold": [0, 2]})
    assert chosen.choosable.seeds == (1, 5)
    assert chosen.choosable.folds
    assert [(c.seed, c.fold) for c in chosen.choices] == [(None, None), (None, 2), (1, None), (1, 2), (5, None), (5, 2)]


@pytest.mark.parametrize(
    ("plan", "asked", "code"),
    [
        (plan_file(seeds={"minimum": 0, "maximum": 9}), {"seed": [0, 10]}, "out-of-bounds"),
        (plan_file(), {"fold": 1}, "no-folds"),
    ],
)
def test_what_can_not_be_is_refused(plan, asked, code):
    with pytest.raises(FlipError) as caught:
        choose(plan, asked)
    assert caught.value.code == code


def test_a_range_of_seeds_is_one():
    assert plan_file(seeds={"minimum": 0, "maximum": 9}).choosable.seeds == SeedRange(minimum=0, maximum=9)
