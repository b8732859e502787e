"""The bundle: what a data controller approves, and the only thing that an enclave runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.consensus import VALUE_BITS
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.document import Digest, Document, Later, Moment
from flipnb.contracts.keys import KeyId
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.plan import MAX_TRUSTS, Plan
from flipnb.contracts.tensors import TensorSpec
from flipnb.contracts.text import Line, Name
from flipnb.contracts.total import TotalStep, check_steps


class AttachedFile(Document):
    """A file beside the notebook, by digest; it lies read-only under ``/bundle/NAME`` in the kernel."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    sha256: Digest
    size: int = Field(ge=0, le=1 << 30)


class Environment(Document):
    """A named environment that a Trust built offline; ``lock`` is the SHA-256 of its lock file."""

    name: Name
    lock: Digest


class Bundle(Document):
    """Everything that decides what runs. Stored as bytes, named by their SHA-256, signed by the researcher.

    ``notebook_name`` is the file's name at the researcher's, for people alone; empty in earlier bundles.
    """

    version: Literal["flip/bundle/1"] = "flip/bundle/1"
    study: Name
    title: Line = Field(min_length=1)
    membership: Digest
    trusts: tuple[KeyId, ...] = Field(min_length=1, max_length=MAX_TRUSTS)
    minimum_trusts: int = Field(ge=1)
    notebook: FrozenNotebook
    notebook_name: Annotated[Line, Later("")] = ""
    files: tuple[AttachedFile, ...] = Field(default=(), max_length=100)
    parameters: tuple[Parameter, ...] = Field(max_length=1000)
    cohort: dict[str, Any]
    dataset: Dataset
    split: Split
    plan: Plan
    tensors: TensorSpec
    initial_weights: Digest
    outputs: tuple[DeclaredOutput, ...] = Field(min_length=1, max_length=100)
    totals: tuple[TotalStep, ...] = Field(default=(), max_length=100)
    environment: Environment
    not_before: Moment
    expires: Moment

    @field_validator("cohort")
    @classmethod
    def _cohort_is_supported(cls, cohort: dict[str, Any]) -> dict[str, Any]:
        CohortExpression.parse(cohort)
        return cohort

    @model_validator(mode="after")
    def _consistent(self) -> Bundle:
        if len(set(self.trusts)) != len(self.trusts):
            raise ValueError("a Trust is named twice")
        if self.minimum_trusts > len(self.trusts):
            raise ValueError(f"minimum_trusts is {self.minimum_trusts}, but {len(self.trusts)} Trusts are named")
        for what, names in (
            ("parameter", [p.name for p in self.parameters]),
            ("output", [o.name for o in self.outputs]),
            ("file", [f.name for f in self.files]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"a {what} is declared twice")
        if self.not_before >= self.expires:
            raise ValueError("the bundle expires before it is valid")
        check_steps(self.totals, self.plan.rounds)
        if self.plan.consensus is not None and not self.split.has_validation:
            raise ValueError("consensus is reached over validation data, and the split has no validation share")
        names = [variable.name for variable in self.dataset.variables]
        for rule in (self.split.stratify, self.split.by_variable):
            if rule is not None and rule.variable not in names:
                raise ValueError(f"the split names the variable {rule.variable!r}, which is not there")
        return self

    @property
    def cohort_expression(self) -> CohortExpression:
        """The cohort, parsed. Raises FlipError ``unsupported-cohort``, ``invalid-cohort``."""
        return CohortExpression.parse(self.cohort)

    @property
    def report_bits(self) -> int:
        """Bits that one Trust's reports, votes and totals can carry over a whole run."""
        return report_bits(self.plan, self.outputs, self.totals)

    @property
    def agreement_bits(self) -> int:
        """Bits that the agreements themselves carry, where a policy lets a Trust's own figures out."""
        return agreement_bits(self.plan)


def report_bits(plan: Plan, outputs: Iterable[DeclaredOutput], totals: Iterable[TotalStep]) -> int:
    """Bits that one Trust's reports, votes and totals can carry over a whole run of what is declared so."""
    arrays = sum(array.bits for step in totals for array in step.arrays)
    votes = plan.rounds if plan.consensus is not None else 0
    return (plan.rounds + 1) * sum(output.bits for output in outputs) + votes + arrays


def agreement_bits(plan: Plan) -> int:
    """Bits that the agreements themselves carry, where a policy lets a Trust's own figures out."""
    return VALUE_BITS * plan.rounds if plan.consensus is not None else 0
