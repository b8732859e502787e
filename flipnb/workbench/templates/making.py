"""Making a new study notebook: three files that rehearse at once, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import as_line, refused_character
from flipnb.workbench.plan_file import PlanFile, load_cohort, plan_path
from flipnb.workbench.templates.template import find_template

COHORT = ".cohort.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Made:
    """The files of a new study notebook; ``cohort`` may have been there before."""

    notebook: Path
    plan: Path
    cohort: Path


def new(name: str, *, template: str = "table", folder: str | Path = ".", cohort: str | Path | None = None) -> Made:
    """Make ``NAME.ipynb``, ``NAME.flip.json`` and ``NAME.cohort.json`` in ``folder``, ready to be rehearsed.

        flip.new("heart_risk", template="survival")
        flip.new("heart_risk", cohort="heart_disease.cohort.json")

    With ``cohort``, a file in ``folder``, the plan names that one and none is made. Nothing is ever overwritten, and
    where one file can't be made none is. Raises FlipError ``bad-name``, ``no-template``, ``no-folder``, ``name-taken``,
    and for ``cohort`` ``no-cohort``, ``unsupported-cohort``, ``invalid-cohort``, ``bad-name``.
    """
    place = Path(folder)
    if not _NAME.fullmatch(name):
        raise FlipError(
            "bad-name",
            f"{name[:80]!r} can't be a notebook's name.",
            remedy="Use letters, digits, - and _, as in heart_risk.",
        )
    content = find_template(template).content(_spoken(name))
    if not place.is_dir():
        raise FlipError("no-folder", f"There is no folder {place}.", remedy="Make it first.")
    notebook = place / f"{name}.ipynb"
    made = Made(notebook, plan_path(notebook), _cohort_file(notebook, cohort))
    files = {made.notebook: content.notebook, made.plan: _named(content.plan, made.cohort)}
    _write_new(files if cohort is not None else {**files, made.cohort: content.cohort})
    return made


def make_plan(notebook: Path) -> Made:
    """A plan beside a notebook that has none, as the template *table* has it; its cohort, where that is missing too.

    Raises FlipError ``no-notebook``, ``bad-name``, ``name-taken`` where a plan is there, ``no-cohort``,
    ``unsupported-cohort``.
    """
    if not notebook.is_file():
        raise FlipError("no-notebook", f"There is no notebook {notebook}.", remedy="Save it first.", status=404)
    _require_sayable(notebook)
    content = find_template("table").content(_spoken(notebook.stem))
    cohort = notebook.with_name(notebook.stem + COHORT)
    made = Made(notebook, plan_path(notebook), cohort)
    files = {made.plan: _named(content.plan, cohort)}
    if cohort.exists():
        load_cohort(cohort)
    else:
        files[cohort] = content.cohort
    _write_new(files)
    return made


def _spoken(name: str) -> str:
    """``heart_risk`` as people say it: *Heart risk*."""
    words = re.sub(r"[_-]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def _cohort_file(notebook: Path, cohort: str | Path | None) -> Path:
    if cohort is None:
        return notebook.with_name(notebook.stem + COHORT)
    found = notebook.parent / Path(cohort).name
    if Path(cohort).name != str(cohort) and found.absolute() != Path(cohort).absolute():
        raise FlipError(
            "no-cohort",
            f"{cohort} is in another folder.",
            remedy="A plan names a cohort file beside it: copy it there.",
        )
    if not found.is_file():
        raise FlipError("no-cohort", f"There is no cohort file {as_line(str(cohort))} in {notebook.parent}.")
    _require_sayable(found)
    load_cohort(found)
    return found


def _require_sayable(path: Path) -> None:
    """A plan says the names of its files: what can't be seen can't be in them."""
    if refused_character(path.name, multiline=False) is not None:
        raise FlipError(
            "bad-name",
            f"The name of {as_line(path.name)} holds a control, bidirectional or invisible character.",
            remedy="Rename it.",
        )


def _named(plan: Mapping[str, Any], cohort: Path) -> dict[str, Any]:
    """The plan with its cohort's file name after the title, checked."""
    whole = {"title": plan["title"], "cohort": cohort.name, **plan}
    PlanFile.model_validate(whole)
    return whole


def _write_new(files: Mapping[Path, dict[str, Any]]) -> None:
    """All of the files, or none. Raises FlipError ``name-taken`` where one is there."""
    taken = [path.name for path in files if path.exists()]
    if taken:
        raise _taken(taken)
    written: list[Path] = []
    try:
        for path, content in files.items():
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(json.dumps(content, indent=2 if path.suffix == ".json" else 1, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        _remove(written)
        raise _taken([Path(error.filename).name]) from None
    except BaseException:
        _remove(written)
        raise


def _remove(written: Iterable[Path]) -> None:
    for path in written:
        path.unlink(missing_ok=True)


def _taken(names: list[str]) -> FlipError:
    is_or_are = "is" if len(names) == 1 else "are"
    return FlipError(
        "name-taken",
        f"{' and '.join(names)} {is_or_are} there already. Nothing was written.",
        remedy="Choose another name.",
        status=409,
    )
