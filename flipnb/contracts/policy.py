"""A Trust's policy: what its data controller allows at all, before any single approval."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import Document, Later
from flipnb.contracts.plan import MAX_INTEGER_CLIP, Plan
from flipnb.contracts.problem import FlipError

MIB = 1 << 20
ATTACHED_BYTES = 256 * MIB
"""The code of a study, and pretrained weights as large as those of a ResNet-152 or a ViT-B."""


def least_trusts(plan: Plan, minimum: int, one_trust_runs: bool) -> int:
    """The least number of Trusts by a policy's ``minimum``: 1 where nothing is trained and the policy allows that."""
    return 1 if one_trust_runs and plan.rounds == 0 else minimum


class CountPolicy(Document):
    """Counts of people: noise, then suppression below ``threshold``, then rounding to the nearest ``rounding``.

    ``noise`` is the standard deviation of a discrete Gaussian; 0 is none, and then no bound holds. Each count costs 1
    of ``budget``, which all studies and researchers of the Trust share; one study may spend ``budget_per_study``.
    What was spent comes back after ``period_days``, not with a new estate version. ``contracts.bound`` says what noise
    and budget imply.

    ``seed``: noise is drawn by a secret of the Trust over the estate version and the ``question``, or over the
    version and the cell's ``members``. By members another wording draws nothing new, but two answers that differ
    show that two sets of people do, so that no bound holds (docs/controller.md).

    Every answer leaves ``answer_seconds`` after its question's turn, whatever the question and the estate; a question
    that takes longer is stopped, and answered as a small number is. ``waiting_per_study``: how many of a study's
    questions may wait for their turn; one more is refused.
    """

    threshold: int = Field(default=10, ge=1)
    rounding: int = Field(default=5, ge=1)
    noise: float = Field(default=10.0, ge=0, le=1000)
    seed: Literal["question", "members"] = "question"
    charts: bool = True
    budget: int = Field(default=200, ge=0)
    budget_per_study: int = Field(default=100, ge=0)
    period_days: int = Field(default=365, ge=1)
    answer_seconds: Annotated[float, Later(2.0)] = Field(default=2.0, ge=0.5, le=60)
    waiting_per_study: Annotated[int, Later(50)] = Field(default=50, ge=1, le=1000)

    @field_validator("noise")
    @classmethod
    def _noise_or_none(cls, noise: float) -> float:
        if 0 < noise < 1:
            raise ValueError("noise is 0 or at least 1")
        return noise


class KernelLimits(Document):
    """What one run's kernel may use. Sizes in bytes, times in seconds."""

    memory_bytes: int = Field(default=4096 * MIB, ge=256 * MIB)
    scratch_bytes: int = Field(default=256 * MIB, ge=MIB)
    shm_bytes: int = Field(default=256 * MIB, ge=MIB)
    processes: int = Field(default=64, ge=8, le=4096)
    cpu_seconds: int = Field(default=86_400, ge=1)
    wall_seconds: int = Field(default=86_400, ge=1)
    cell_seconds: int = Field(default=86_400, ge=1)
    output_bytes: int = Field(default=8 * MIB, ge=1024)
    threads: int = Field(default=1, ge=1, le=1024)
    require_memory_cgroup: bool = False


class Policy(Document):
    """``slots``: kernels at once. One that waits for its next round or a total longer than ``waiting_seconds`` gives
    its slot to others: it is ended, and started anew from its saved state when the round comes. ``memory_use``: whether
    progress says how much memory a kernel has used, in eighths of its limit, and of a GPU in eighths of that.
    ``approvals``: how many different data controllers must approve a bundle before anything of it runs.
    ``maximum_clip_norm`` and ``maximum_integer_clip`` bound what a plan may let a round change of float tensors (L2
    norm), and of an element of integer tensors. ``one_trust_runs``: whether a run that trains nothing may have this
    Trust alone, whatever ``minimum_trusts`` says, where its bundle asks for one: its totals and metrics are then this
    Trust's own numbers. ``attached_bytes``: how large the files beside a notebook may be together; 0 is none.

    Approvals name this document's digest. A field that an upgrade brings, at its first default, is left out of it
    (``document.Later``), since that allows nothing more than what was approved: so no upgrade voids approvals.

    When something leaves can tell as much as what leaves: steps of progress (cells, rounds, epochs, memory) leave on a
    grid of ``progress_seconds``, replies for rounds and totals on one of ``reply_seconds``.
    """

    counts: CountPolicy = CountPolicy()
    per_trust_metrics: bool = False
    memory_use: bool = False
    individual_updates: bool = False
    approvals: int = Field(default=1, ge=1, le=2)
    minimum_trusts: int = Field(default=2, ge=1)
    one_trust_runs: Annotated[bool, Later(False)] = False
    minimum_train: int = Field(default=10, ge=1)
    maximum_clip_norm: float = Field(default=1000.0, gt=0)
    maximum_integer_clip: Annotated[int, Later(MAX_INTEGER_CLIP)] = Field(default=MAX_INTEGER_CLIP, ge=0)
    maximum_rounds: int = Field(default=1000, ge=1)
    bits_per_run: int = Field(default=100_000, ge=1)
    attached_bytes: Annotated[int, Later(ATTACHED_BYTES)] = Field(default=ATTACHED_BYTES, ge=0, le=16 << 30)
    slots: int = Field(default=2, ge=1, le=64)
    waiting_seconds: int = Field(default=900, ge=1)
    progress_seconds: Annotated[float, Later(2.0)] = Field(default=2.0, ge=0.5, le=3600)
    reply_seconds: Annotated[float, Later(0.1)] = Field(default=0.1, ge=0.01, le=60)
    kernel: KernelLimits = KernelLimits()

    def least_trusts(self, bundle: Bundle) -> int:
        """Of how many Trusts every round and total of a run must be at least, by this policy and the bundle."""
        return max(bundle.minimum_trusts, least_trusts(bundle.plan, self.minimum_trusts, self.one_trust_runs))

    def refuse_bundle(self, bundle: Bundle) -> None:
        """Raise FlipError ``policy-refuses`` that names what this policy does not allow."""
        plan = bundle.plan
        bits = bundle.report_bits + (bundle.agreement_bits if self.per_trust_metrics else 0)
        reasons = [
            (plan.aggregation == "individual" and not self.individual_updates,
             "single Trusts' updates (aggregation 'individual') may not leave"),
            (bundle.minimum_trusts < self.least_trusts(bundle),
             f"a run needs at least {self.least_trusts(bundle)} Trusts, the bundle asks for {bundle.minimum_trusts}"),
            (plan.clip_norm > self.maximum_clip_norm,
             f"clip_norm {plan.clip_norm} is above {self.maximum_clip_norm}"),
            (bool(bundle.tensors.integers) and plan.integer_clip > self.maximum_integer_clip,
             f"integer_clip {plan.integer_clip} is above {self.maximum_integer_clip}"),
            (plan.rounds > self.maximum_rounds, f"{plan.rounds} rounds are more than {self.maximum_rounds}"),
            (bundle.attached_bytes > self.attached_bytes,
             f"its files have {bundle.attached_bytes:,} bytes, more than {self.attached_bytes:,}"),
            (bits > self.bits_per_run, f"what is declared carries {bits} bits, more than {self.bits_per_run}"),
        ]  # fmt: skip
        for refused, reason in reasons:
            if refused:
                raise FlipError("policy-refuses", f"This Trust's policy refuses the bundle: {reason}.", status=403)
