"""The plan file beside a notebook, ``NAME.flip.json``: everything of a bundle that is not in the notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, field_validator

from flipnb.contracts.attached import FILE_NAME, MOST_FILES, require_name
from flipnb.contracts.choices import Choosable, Seed, SeedRange
from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Split, require_windows
from flipnb.contracts.document import Digest, Document, invalid, load_json
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import Line, Name
from flipnb.contracts.total import TotalStep

NO_EPOCHS = 'rnd.progress(…) tells nothing: the plan declares no "epochs", the number of them that a round trains.'
"""Said where a notebook's progress would leave no Trust."""


Start = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32}|[0-9a-f]{64})$")]
"""A run's id, whose final weights are meant, or the SHA-256 of weights."""


def _can_go(name: str) -> str:
    try:
        require_name(name)
    except FlipError as error:
        raise ValueError(error.message) from None
    return name


AttachableName = Annotated[str, AfterValidator(_can_go), Field(json_schema_extra={"pattern": FILE_NAME})]
"""The name of a module or of weights beside the notebook."""


class PlanChoosable(Document):
    """What each run may choose within one approval, as ``contracts.choices.Choosable`` has it; weights by ``Start``."""

    minimum_rounds: int | None = Field(default=None, ge=0)
    seeds: SeedRange | Annotated[tuple[Seed, ...], Field(max_length=1000)] = ()
    folds: bool = False
    start_from: tuple[Start, ...] = Field(default=(), max_length=100)

    def contract(self, weights: tuple[Digest, ...]) -> Choosable:
        """As a bundle has it, with ``weights`` for those of ``start_from``."""
        return Choosable(
            minimum_rounds=self.minimum_rounds, seeds=self.seeds, folds=self.folds, initial_weights=weights
        )


class PlanFile(Document):
    """``cohort`` is the name of an ATLAS JSON file beside it. ``trusts`` are names of the roster; empty means all.

    ``start_from``: its weights take the place of the rehearsal's first ones. ``choosable`` is what each run may choose
    without a new approval. ``files`` are the modules (NAME.py) and weights (NAME.safetensors) beside it that go with
    the notebook, which imports no other.
    """

    title: Line = Field(min_length=1)
    cohort: str
    dataset: Dataset
    split: Split
    outputs: tuple[DeclaredOutput, ...] = Field(min_length=1)
    totals: tuple[TotalStep, ...] = ()
    plan: Plan
    trusts: tuple[Name, ...] = ()
    minimum_trusts: int | None = Field(default=None, ge=1)
    start_from: Start | None = None
    choosable: PlanChoosable = PlanChoosable()
    files: tuple[AttachableName, ...] = Field(default=(), max_length=MOST_FILES)
    valid_days: int = Field(default=30, ge=1, le=365)

    @field_validator("dataset")
    @classmethod
    def _windows_are_stated(cls, dataset: Dataset) -> Dataset:
        require_windows(dataset)
        return dataset


def plan_path(notebook: Path) -> Path:
    """``NAME.flip.json`` beside ``NAME.ipynb``, whether it is there or not."""
    return notebook.with_name(f"{notebook.stem}.flip.json")


def plan_beside(notebook: Path | None, folder: Path) -> Path:
    """The plan of a notebook that runs in ``folder``: the one of its name. None: a notebook that nobody could name.

    Raises FlipError ``no-plan`` where it is not there, or where nobody could name the notebook and ``folder`` has no
    plan or several.
    """
    found = sorted(folder.glob("*.flip.json"))
    listed = ", ".join(path.name for path in found)
    remedy = f'Write flip.data("{found[0].name if len(found) == 1 else "NAME.flip.json"}") with the plan that you mean.'
    if notebook is not None:
        named = plan_path(notebook)
        if named.is_file():
            return named
        has = f"; the folder has {listed}" if found else ""
        raise FlipError("no-plan", f"{notebook.name} has no plan file {named.name} beside it{has}.", remedy=remedy)
    if len(found) == 1:
        return found[0]
    raise FlipError(
        "no-plan",
        f"{folder} has {len(found)} plan files{f' ({listed})' if found else ''}, "
        "and this kernel does not say which notebook it runs.",
        remedy=remedy,
    )


def read_plan(path: Path) -> PlanFile:
    """Raises FlipError ``no-plan``, ``invalid-document`` (names the field)."""
    content = _read(path, "no-plan", "The plan file")
    try:
        return PlanFile.model_validate(content)
    except ValidationError as error:
        raise invalid(error, str(path)) from None


def read_cohort(plan: PlanFile, directory: Path) -> dict[str, Any]:
    """The plan's cohort expression, checked to be supported. Raises FlipError ``no-cohort``, ``unsupported-cohort``."""
    expression: dict[str, Any] = load_cohort(directory / plan.cohort)
    return expression


def load_cohort(path: Path) -> dict[str, Any]:
    """A file's cohort expression. Raises FlipError ``no-cohort``, ``unsupported-cohort``, ``invalid-cohort``."""
    expression = _read(path, "no-cohort", "The cohort file")
    if not isinstance(expression, dict):
        raise FlipError("no-cohort", f"{path} holds no cohort expression.")
    CohortExpression.parse(expression)
    return expression


def _read(path: Path, code: str, what: str) -> Any:
    try:
        return load_json(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise FlipError(code, f"{what} {path} is not there.") from None
