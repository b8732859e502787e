"""Rehearsing: the notebook on a twin, in the researcher's own kernel; it also records what a bundle must state."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flipnb.contracts.attached import AttachedFile
from flipnb.contracts.document import Digest, Document, canonical_bytes, load_json, sha256
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import TensorSpec
from flipnb.contracts.text import Identifier
from flipnb.files.whole import PARTIAL, publish, write
from flipnb.session.attached import BUNDLE, attached_file
from flipnb.session.data import Data
from flipnb.twin import make
from flipnb.workbench.attached import FOLDER, beside, laid_out, lay_out, sibling_of
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.kernel_sockets import socket_directory
from flipnb.workbench.local_channel import INITIAL, REHEARSED, LocalChannel
from flipnb.workbench.plan_file import PlanFile, plan_beside, plan_path, read_plan
from flipnb.workbench.point import fix_point
from flipnb.workbench.running_notebook import running_notebook
from flipnb.workbench.twin_marginals import kept_marginals

PLAN = "FLIP_PLAN"
RECORD = "FLIP_REHEARSAL"
SHAPES_ALONE = "FLIP_SHAPES_ALONE"
TWIN = "twin"
_RECORDED = "rehearsal.json"
_EXECUTED = "executed.ipynb"
_SCRATCH = "scratch"
_ROUNDS = 2
_MOST_SHOWN = 4
_ONE_MODULE = "A folder can't go with a notebook: write it as one module."
_given: dict[str, Path] = {}


class _Recorded(Document):
    """``rehearsal.json``: digests of the notebook and of what it saw of its plan, which files went with it, at which
    point, and what was found."""

    notebook: Digest
    plan: Digest
    files: tuple[AttachedFile, ...] = ()
    point: dict[Identifier, Scalar] | None = None
    seconds: float
    tensors: TensorSpec
    reports: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found: tensors, initial weights (a file), the reports of its rounds, seconds taken.

    ``point`` is at which values of the parameters; None where an earlier version did not keep that. ``executed`` is the
    notebook as it ran, with its outputs. ``files`` went with it; copies of them, as they were, are in the folder
    ``attached``.
    """

    notebook: str
    point: dict[str, Scalar] | None
    tensors: TensorSpec
    initial_weights: Path
    reports: tuple[dict[str, float], ...]
    seconds: float
    executed: Path
    files: tuple[AttachedFile, ...]
    attached: Path

    def describe(self) -> str:
        """One sentence: how long it took, and the last numbers that the notebook reported."""
        return f"Rehearsed on the twin in {self.seconds:.0f} s: {describe_numbers(self.reports[-1])}."


def rehearsal_directory(notebook: Path) -> Path:
    """The folder ``.flip/NAME`` beside the notebook, whether it is there or not."""
    return notebook.parent / ".flip" / notebook.stem


def rehearse(notebook: Path, point: Mapping[str, Scalar] | None = None) -> Rehearsal:
    """Run ``notebook`` top to bottom on a twin for two rounds and keep what it recorded beside it, in ``.flip``.

    As in a Trust it runs in an empty folder, and can import the files that its plan names and no other ones beside it.
    An earlier rehearsal stays until this one has passed. Raises FlipError ``rehearsal-failed`` (cell, line, error),
    ``no-rounds`` (the notebook never iterated ``flip.rounds`` to its end), and what reading the files raises.
    """
    began = time.monotonic()
    frozen = freeze_notebook(notebook)
    _, values = fix_point(notebook_parameters(frozen), point or {})
    plan_file = plan_path(notebook).absolute()
    plan = read_plan(plan_file)
    final = rehearsal_directory(notebook).absolute()
    work = final.with_name(final.name + PARTIAL)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    files = beside(plan, plan_file.parent)
    lay_out(files, work / FOLDER)
    (work / _SCRATCH).mkdir()
    make_twin(plan_file, work / TWIN)
    with _told({PLAN: str(plan_file), RECORD: str(work)}):
        try:
            run_notebook(frozen, values, work / _EXECUTED, work / _SCRATCH, work / FOLDER)
        except FlipError as error:
            raise _undeclared(error, plan_file.parent) from None
    if not (work / REHEARSED).exists():
        raise FlipError(
            "no-rounds",
            f"{notebook.name} ran, but did not iterate flip.rounds to its end.",
            remedy="Write `for rnd in flip.rounds(model): …` and report in every round.",
        )
    recorded = load_json((work / REHEARSED).read_bytes(), REHEARSED)
    found: dict[str, Any] = {"notebook": frozen.digest(), "plan": _seen_of(plan), "point": values}
    found |= {"files": [one.file.model_dump() for one in files]}
    found |= {"seconds": round(time.monotonic() - began, 2)}
    write(work / _RECORDED, json.dumps(found | recorded, indent=1).encode())
    (work / REHEARSED).unlink()
    shutil.rmtree(final, ignore_errors=True)
    publish(work, final)
    return last_rehearsal(notebook)


def make_twin(plan_file: Path, place: Path) -> None:
    """The twin on which a plan's notebook is run: invented people, by what Trusts have released of theirs."""
    plan = read_plan(plan_file)
    make(plan.dataset, plan.split, place, marginals=kept_marginals(plan_file, plan))


def describe_numbers(numbers: Mapping[str, float]) -> str:
    """``loss 0.56, accuracy 0.803``: the first few of a report's numbers, to three digits."""
    shown = [f"{name} {value:.3g}" for name, value in list(numbers.items())[:_MOST_SHOWN]]
    rest = len(numbers) - len(shown)
    return ", ".join([*shown, *([f"{rest} more"] if rest else [])])


@contextmanager
def _told(environment: Mapping[str, str]) -> Iterator[None]:
    """Have this process, and what it starts, find these variables in the environment while the block runs."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def importing(files: Path) -> Sequence[str]:
    """Arguments of a kernel that can import the modules in a folder: after all others, as in an enclave, so that none
    takes the place of Python's own."""
    line = f"__import__('sys').path.append({os.fspath(files)!r})"
    return [f"--IPKernelApp.exec_lines={line}"]


def run_notebook(
    frozen: FrozenNotebook, values: Mapping[str, Scalar], executed: Path, folder: Path, files: Path
) -> None:
    """Run a notebook top to bottom in a kernel of this Python, in ``folder``; the environment is this process's.

    ``files`` is a folder with what goes with it. Raises FlipError ``rehearsal-failed`` (cell, line, error).
    """
    import papermill
    from traitlets.config import Config

    source = executed.with_name("notebook.ipynb")
    source.write_text(json.dumps(frozen.to_nbformat("python3")))
    try:
        with socket_directory() as sockets, _told({BUNDLE: str(files)}):
            # By sockets of this user alone: over TCP others of this machine could listen, which ipykernel warns of.
            manager = {"transport": "ipc", "connection_file": str(sockets / "kernel.json")}
            papermill.execute_notebook(
                str(source),
                str(executed),
                parameters=dict(values),
                kernel_name="python3",
                cwd=str(folder),
                progress_bar=False,
                config=Config(KernelManager=manager),
                extra_arguments=importing(files),
            )
    except papermill.PapermillExecutionError as error:
        raise _failed(error, frozen, executed) from None


def last_rehearsal(notebook: Path) -> Rehearsal:
    """The last rehearsal of this very notebook. Raises FlipError ``not-rehearsed``."""
    directory = rehearsal_directory(notebook)
    changed = None
    try:
        recorded = _Recorded.model_validate_json((directory / _RECORDED).read_bytes())
        if not (directory / INITIAL).is_file():
            changed = f"The rehearsal of {notebook.name} has lost its initial weights."
        elif recorded.notebook != freeze_notebook(notebook).digest():
            changed = f"{notebook.name} was changed after its last rehearsal."
        elif recorded.plan != _seen_of(read_plan(plan_path(notebook))):
            name = plan_path(notebook).name
            changed = f"Dataset, outputs, totals or consensus in {name} were changed after the last rehearsal."
        else:
            changed = _changed_file(recorded.files, notebook)
    except FileNotFoundError:
        changed = f"{notebook.name} was not rehearsed."
    except ValidationError:
        changed = f"The record of the last rehearsal of {notebook.name} can't be read."
    if changed is not None:
        raise FlipError("not-rehearsed", changed, remedy=f"Run `flip rehearse {notebook}` first.")
    return Rehearsal(
        notebook=recorded.notebook,
        point=recorded.point,
        tensors=recorded.tensors,
        initial_weights=directory / INITIAL,
        reports=recorded.reports,
        seconds=recorded.seconds,
        executed=directory / _EXECUTED,
        files=recorded.files,
        attached=directory / FOLDER,
    )


def _changed_file(rehearsed: tuple[AttachedFile, ...], notebook: Path) -> str | None:
    """What of a notebook's files is not as it was rehearsed; what can't go with it at all is raised."""
    now = {one.file.name: one.file for one in beside(read_plan(plan_path(notebook)), notebook.parent)}
    then = {file.name: file for file in rehearsed}
    for name in dict.fromkeys([*now, *then]):
        if now.get(name) != then.get(name):
            what = "changed" if name in now and name in then else "declared" if name in now else "taken from its files"
            return f"{name} was {what} after the last rehearsal of {notebook.name}."
    try:
        laid_out(rehearsed, rehearsal_directory(notebook) / FOLDER)
    except FlipError as error:
        return error.message
    return None


def current_plan() -> tuple[Path, PlanFile]:
    """The plan of the notebook that runs here: the one that ``flip.data`` was given, ``$FLIP_PLAN``, that of its name.

    Where nobody says which notebook runs, the folder's only plan holds. A rehearsal's plan is its notebook's, whatever
    the notebook names. Raises FlipError ``no-plan``.
    """
    named = os.environ.get(PLAN)
    path = Path(named) if named and RECORD in os.environ else _given.get(PLAN) or (Path(named) if named else None)
    path = path or plan_beside(running_notebook(), Path.cwd())
    return path, read_plan(path)


def local_records(plan: str | Path | None = None) -> Data:
    """The twin of ``plan``, or of the current plan."""
    if plan is not None:
        _given[PLAN] = Path(plan).absolute()
    record = os.environ.get(RECORD)
    if record:
        return Data(Path(record) / TWIN)
    return Data(local_twin(*current_plan()))


def local_file(name: str) -> Path:
    """A file that goes with the notebook that runs here. Raises FlipError ``no-file``, ``no-plan``."""
    laid = os.environ.get(BUNDLE)
    if laid and RECORD in os.environ:
        return attached_file(Path(laid), name)
    path, plan = current_plan()
    if name not in plan.files or not (path.parent / name).is_file():
        why = "does not name it" if name not in plan.files else "names it, and it is not beside the notebook"
        raise FlipError("no-file", f"No file {name!r} goes with this notebook: {path.name} {why}.")
    return path.parent / name


def local_twin(path: Path, plan: PlanFile) -> Path:
    """The folder of a plan's twin, made where it is not there yet."""
    directory = path.parent / ".flip" / path.name.removesuffix(".flip.json")
    directory.mkdir(parents=True, exist_ok=True)
    marginals = kept_marginals(path, plan)
    told = "" if marginals is None else marginals.digest()
    shape = sha256(f"{plan.dataset.digest()} {plan.split.digest()} {told}".encode())
    twin = directory / f"{TWIN}-{shape[:12]}"
    if not twin.exists():
        make(plan.dataset, plan.split, twin, marginals=marginals)
    return twin


def local_channel() -> LocalChannel:
    """A federation of one for the current plan, at most two rounds."""
    _, plan = current_plan()
    record = os.environ.get(RECORD)
    parameters = plan.plan.strategy.parameters
    config = {"proximal_mu": parameters["proximal_mu"]} if "proximal_mu" in parameters else {}
    rounds = min(_ROUNDS, plan.plan.rounds)
    return LocalChannel(
        plan.outputs,
        rounds,
        config=config,
        clip_norm=plan.plan.clip_norm,
        epochs=plan.plan.epochs,
        integer_clip=plan.plan.integer_clip,
        consensus=plan.plan.consensus,
        totals=plan.totals,
        record=Path(record) if record else None,
        shapes_alone=SHAPES_ALONE in os.environ,
    )


def plan_digest(plan_file: Path) -> str:
    """A digest of what a notebook sees of its plan file."""
    return _seen_of(read_plan(plan_file))


def _seen_of(plan: PlanFile) -> str:
    """A digest of what a notebook sees of its plan file."""
    consensus = plan.plan.consensus
    seen = [plan.dataset, *plan.outputs, *plan.totals, *([consensus] if consensus is not None else [])]
    return sha256(canonical_bytes([part.digest() for part in seen]))


def _undeclared(error: FlipError, folder: Path) -> FlipError:
    """Where a rehearsal failed for want of a module that lies beside the notebook, that is said."""
    found = re.search(r"ModuleNotFoundError: No module named '([A-Za-z_][A-Za-z0-9_]*)", error.message)
    sibling = sibling_of(found[1], folder) if found is not None and error.code == "rehearsal-failed" else None
    if sibling is None:
        return error
    remedy = f'Name "{sibling}" in the plan file, under "files".' if sibling.endswith(".py") else _ONE_MODULE
    return FlipError(error.code, f"{error.message}; {sibling} lies beside it and does not go with it.", remedy=remedy)


def _failed(error: Any, frozen: FrozenNotebook, executed: Path) -> FlipError:
    (parameters,) = (index for index, cell in enumerate(frozen.cells) if "parameters" in cell.tags)
    # papermill counts the cell that it injects after the parameters.
    number = error.cell_index + (error.cell_index <= parameters)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    lines = re.findall(r"Cell In\[\d+\], line (\d+)", plain)
    line = f", line {lines[-1]}" if lines else ""
    return FlipError(
        "rehearsal-failed",
        f"Cell {number}{line}: {error.ename}: {error.evalue}",
        remedy=f"The executed notebook is {executed}.",
    )
