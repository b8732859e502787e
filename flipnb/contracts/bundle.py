"""The bundle: what a data controller approves, and the only thing that an enclave runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from flipnb.contracts.attached import MOST_FILES, AttachedFile
from flipnb.contracts.choices import Choices, Choosable
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.consensus import VALUE_BITS
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.document import Digest, Document, Later, Moment, canonical_bytes, sha256, unsaid
from flipnb.contracts.keys import KeyId
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.plan import MAX_TRUSTS, Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import TensorSpec
from flipnb.contracts.text import Line, Name
from flipnb.contracts.total import TotalStep, check_steps


class Environment(Document):
    """A named environment that a Trust built offline; ``lock`` is the SHA-256 of its lock file."""

    name: Name
    lock: Digest


class Bundle(Document):
    """Everything that decides what runs. Stored as bytes, named by their SHA-256, signed by the researcher.

    ``notebook_name`` is the file's name at the researcher's, for people alone; empty in earlier bundles. ``parameters``
    and ``choosable`` are the space of which each run is one point; ``at`` gives what a run with some choices is made
    by.
    """

    version: Literal["flip/bundle/1"] = "flip/bundle/1"
    study: Name
    title: Line = Field(min_length=1)
    membership: Digest
    trusts: tuple[KeyId, ...] = Field(min_length=1, max_length=MAX_TRUSTS)
    minimum_trusts: int = Field(ge=1)
    notebook: FrozenNotebook
    notebook_name: Annotated[Line, Later("")] = ""
    files: tuple[AttachedFile, ...] = Field(default=(), max_length=MOST_FILES)
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
    choosable: Annotated[Choosable, Later(Choosable())] = Choosable()
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
        fewest = self.plan.rounds if self.choosable.minimum_rounds is None else self.choosable.minimum_rounds
        if fewest > self.plan.rounds:
            raise ValueError(f"a run may choose {fewest} rounds at least, and the plan has {self.plan.rounds} at most")
        check_steps(self.totals, fewest)
        if self.choosable.folds and self.split.folds is None:
            raise ValueError("a run may choose a fold, and the split has none")
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
    def content_digest(self) -> str:
        """SHA-256 of the canonical bytes but for ``not_before`` and ``expires``: equal for the same content sent
        again."""
        content = self.model_dump(mode="json", by_alias=True, exclude=unsaid(self))
        return content_digest(content)

    def at(self, choices: Choices) -> Bundle:
        """The bundle as a run with these choices has it: what hub, coordinator and enclaves go by for that run.

        It has other bytes than the approved one, whose digest still names it. Raises FlipError ``not-choosable`` (the
        bundle fixes it), ``out-of-bounds``.
        """
        if not choices.made:
            return self
        free = self.choosable
        changed: dict[str, Any] = {}
        split: dict[str, Any] = {}
        if choices.rounds is not None and choices.rounds != self.plan.rounds:
            fewest = _free("the number of rounds", free.minimum_rounds)
            _require(fewest <= choices.rounds <= self.plan.rounds, f"{choices.rounds} rounds", self._told)
            changed["plan"] = self.plan.model_copy(update={"rounds": choices.rounds})
        if choices.seed is not None and choices.seed != self.split.seed:
            _free("the split's seed", free.seeds or None)
            _require(free.has_seed(choices.seed), f"Seed {choices.seed}", self._told)
            split["seed"] = choices.seed
        if choices.fold is not None and choices.fold != self.split.fold:
            _free("the fold", free.folds or None)
            _require(choices.fold < (self.split.folds or 0), f"Fold {choices.fold}", self._told)
            split["fold"] = choices.fold
        if choices.initial_weights is not None and choices.initial_weights != self.initial_weights:
            _free("the weights that it begins with", free.initial_weights or None)
            named = f"The weights {choices.initial_weights[:16]}…"
            _require(choices.initial_weights in free.initial_weights, named, self._told)
            changed["initial_weights"] = choices.initial_weights
        if split:
            changed["split"] = self.split.model_copy(update=split)
        return self.model_copy(update=changed)

    @property
    def attached_bytes(self) -> int:
        """Bytes of the files beside the notebook, together."""
        return sum(file.size for file in self.files)

    @property
    def _told(self) -> str:
        return " ".join(self.choosable.told(rounds=self.plan.rounds, folds=self.split.folds))

    @property
    def report_bits(self) -> int:
        """Bits that one Trust's reports, votes and totals can carry over a whole run."""
        return report_bits(self.plan, self.outputs, self.totals)

    @property
    def agreement_bits(self) -> int:
        """Bits that the agreements themselves carry, where a policy lets a Trust's own figures out."""
        return agreement_bits(self.plan)


def content_digest(content: dict[str, Any]) -> str:
    """As ``Bundle.content_digest``, of a bundle's plain JSON data."""
    return sha256(canonical_bytes({k: v for k, v in content.items() if k not in ("not_before", "expires")}))


T = TypeVar("T")


def _free(what: str, choosable: T | None) -> T:
    if choosable is None:
        raise FlipError("not-choosable", f"The bundle fixes {what}; a run of it can't choose that.")
    return choosable


def _require(allowed: bool, what: str, told: str) -> None:
    if not allowed:
        raise FlipError("out-of-bounds", f"{what} can't be chosen. {told}")


def report_bits(plan: Plan, outputs: Iterable[DeclaredOutput], totals: Iterable[TotalStep]) -> int:
    """Bits that one Trust's reports, votes and totals can carry over a whole run of what is declared so."""
    arrays = sum(array.bits for step in totals for array in step.arrays)
    votes = plan.rounds if plan.consensus is not None else 0
    return (plan.rounds + 1) * sum(output.bits for output in outputs) + votes + arrays


def agreement_bits(plan: Plan) -> int:
    """Bits that the agreements themselves carry, where a policy lets a Trust's own figures out."""
    return VALUE_BITS * plan.rounds if plan.consensus is not None else 0
