"""From what a researcher asks of split, rounds and weights to what a bundle fixes, what it lets runs choose, and what
each run chooses."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flipnb.contracts.choices import Choices, SeedRange
from flipnb.contracts.dataset import Split
from flipnb.contracts.document import Digest
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.workbench.plan_file import PlanChoosable, PlanFile


@dataclass(frozen=True)
class Chosen:
    """``split`` and ``plan`` are the bundle's, ``choosable`` what it leaves to runs, ``choices`` one for each run that
    is asked for at each point."""

    split: Split
    plan: Plan
    choosable: PlanChoosable
    choices: tuple[Choices, ...]


def choose(plan_file: PlanFile, changes: Mapping[str, Any], weights: Digest | None = None) -> Chosen:
    """``changes`` may have ``seed`` and ``fold`` (one or several), ``rounds`` and ``plan``; ``weights`` is what the
    runs begin with instead of the bundle's own.

    What the plan file lets runs choose is a choice, so that the bundle stays what it was; one other value makes another
    bundle, several others become what its runs may choose. Raises FlipError ``no-folds``, ``out-of-bounds``.
    """
    free, split = plan_file.choosable, plan_file.split
    plan, rounds, free = _rounds(plan_file, changes, free)
    seeds = _several(changes.get("seed"))
    listed = () if isinstance(free.seeds, SeedRange) else free.seeds
    others = [seed for seed in seeds if seed != split.seed and not free.contract(()).has_seed(seed)]
    if others and len(seeds) == 1:
        split, seeds = split.model_copy(update={"seed": seeds[0]}), []
    elif others:
        if isinstance(free.seeds, SeedRange):
            raise FlipError(
                "out-of-bounds", f"Seed {others[0]} is not among those that the plan file lets runs choose."
            )
        free = free.model_copy(update={"seeds": tuple(sorted({*listed, *others}))})
    folds = _several(changes.get("fold"))
    if folds and split.folds is None:
        raise FlipError(
            "no-folds", "The plan file's split has no folds.", remedy='Write `"folds": 5` into its split, for example.'
        )
    if len(folds) == 1 and not free.folds:
        split, folds = split.model_copy(update={"fold": folds[0]}), []
    elif folds:
        free = free.model_copy(update={"folds": True})
    return Chosen(
        split,
        plan,
        free,
        tuple(
            Choices(
                rounds=rounds,
                seed=None if seed == split.seed else seed,
                fold=None if fold == split.fold else fold,
                initial_weights=weights,
            )
            for seed, fold in itertools.product(_or_none(seeds), _or_none(folds))
        ),
    )


def _rounds(
    plan_file: PlanFile, changes: Mapping[str, Any], free: PlanChoosable
) -> tuple[Plan, int | None, PlanChoosable]:
    """The bundle's plan, the rounds that runs choose of it, and what may be chosen."""
    plan: Plan = changes.get("plan") or plan_file.plan
    wanted = plan.rounds if changes.get("rounds") is None else changes["rounds"]
    most, fewest = plan_file.plan.rounds, free.minimum_rounds
    if fewest is not None and fewest <= wanted <= most:
        return plan.model_copy(update={"rounds": most}), wanted if wanted != most else None, free
    if fewest is not None and wanted < fewest:
        free = free.model_copy(update={"minimum_rounds": wanted})
    return plan.model_copy(update={"rounds": wanted}), None, free


def _several(value: int | Sequence[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(dict.fromkeys(value))


def _or_none(values: Sequence[int]) -> Sequence[int | None]:
    return values or [None]
