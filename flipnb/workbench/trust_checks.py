"""What would be refused at one Trust, by the Trust's own card: looked at before anything is signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flipnb.contracts.bundle import Environment, agreement_bits, report_bits
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.policy import least_trusts
from flipnb.contracts.tensors import TensorSpec
from flipnb.contracts.total import TotalStep
from flipnb.contracts.trust_card import TrustCard
from flipnb.workbench.attached import installed_modules
from flipnb.workbench.validation import Imported, Issue, normal_name


def find_trust_issues(
    title: str,
    card: TrustCard,
    *,
    plan: Plan,
    outputs: Sequence[DeclaredOutput],
    totals: Sequence[TotalStep],
    tensors: TensorSpec | None,
    minimum_trusts: int,
    environment: Environment,
    imported: Sequence[Imported],
    attached_bytes: int = 0,
) -> Iterator[Issue]:
    """``title`` names the Trust in the messages; what its policy or its environment would refuse is an error.

    ``tensors`` are those of the last rehearsal, None where there was none; the files that go with the notebook have
    ``attached_bytes``.
    """
    allowance = card.allowance
    bits = report_bits(plan, outputs, totals) + (agreement_bits(plan) if allowance.per_trust_metrics else 0)
    least = least_trusts(plan, allowance.minimum_trusts, allowance.one_trust_runs)
    alone = "" if plan.rounds or allowance.one_trust_runs else ", which its policy does not allow (one_trust_runs)"
    refusals = (
        (plan.aggregation == "individual" and not allowance.individual_updates,
         "does not let single Trusts' updates out, which this strategy needs"),
        (minimum_trusts < least, f"takes part from {least} Trusts on; the plan asks for {minimum_trusts}{alone}"),
        (plan.clip_norm > allowance.maximum_clip_norm,
         f"allows a clip norm of {allowance.maximum_clip_norm:g}; the plan has {plan.clip_norm:g}"),
        (tensors is not None and tensors.integers and plan.integer_clip > allowance.maximum_integer_clip,
         f"allows an integer clip of {allowance.maximum_integer_clip}; the plan has {plan.integer_clip}"),
        (plan.rounds > allowance.maximum_rounds,
         f"allows {allowance.maximum_rounds} rounds; the plan has {plan.rounds}"),
        (bits > allowance.bits_per_run,
         f"lets {allowance.bits_per_run} bits of numbers out of a run; what is declared carries {bits}"),
        (attached_bytes > allowance.attached_bytes,
         f"takes {allowance.attached_bytes:,} bytes of files with a notebook; these have {attached_bytes:,}"),
        (card.data is None, "has loaded no data yet"),
    )  # fmt: skip
    for refused, what in refusals:
        if refused:
            yield Issue("error", "policy-refuses", f"{title} {what}.", trust=card.trust)
    built = next((item for item in card.environments if item.lock == environment.lock), None)
    if built is None:
        message = f"{title} has not built the environment {environment.name} that runs name."
        yield Issue("error", "no-environment", message, trust=card.trust)
        return
    has = frozenset(built.distributions)
    for item in imported:
        if not distributions_of(item.module) & has:
            message = f"{item.told}, which {title} lacks."
            yield Issue("error", "not-in-environment", message, item.cell, item.line, trust=card.trust)


def distributions_of(module: str) -> frozenset[str]:
    """The normalised names of what provides a module here; the module's own name where nothing does."""
    return frozenset(normal_name(name) for name in installed_modules().get(module, [module]))
