"""Looking over a notebook before it is sent: what a Trust would refuse, and what would fail there, cell by cell, and in
the modules that go with it.

Everything is read from syntax trees; nothing is executed.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flipnb.contracts.attached import module_name
from flipnb.contracts.dataset import leakage
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter
from flipnb.contracts.problem import FlipError
from flipnb.workbench.attached import Beside, find_beside, installed_modules, sibling_of
from flipnb.workbench.freezing import freeze_notebook, notebook_parameters
from flipnb.workbench.plan_file import NO_EPOCHS, PlanFile, plan_path, read_cohort, read_plan
from flipnb.workbench.rehearsal import last_rehearsal

Severity = Literal["error", "warning"]

_ABSOLUTE = re.compile(r"^(~/|[A-Za-z]:[\\/]|/[\w.-]+/)\S*$")
_INSIDE = ("/bundle/", "/scratch/")
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_OWN = {"flipnb"}
_WRITERS = frozenset(
    {"savefig", "save", "savez", "savetxt", "to_csv", "to_excel", "to_feather", "to_json", "to_parquet", "to_pickle",
     "write_bytes", "write_text"}
)  # fmt: skip
_FOLDER = "a folder can't go with a notebook: write it as one module"
_ASKS = frozenset({"flip.file", "flipnb.file"})
_LONG_CELL = 20_000


@dataclass(frozen=True)
class Issue:
    """``error``: it would be refused, or fail in every enclave; ``warning``: look at it. Cell and line count from 1.

    With ``trust``, a Trust's key, it is so at that Trust alone.
    """

    severity: Severity
    code: str
    message: str
    cell: int | None = None
    line: int | None = None
    trust: str | None = None

    def __str__(self) -> str:
        place = ", ".join(f"{word} {n}" for word, n in (("cell", self.cell), ("line", self.line)) if n is not None)
        return f"{self.severity}: {place + ': ' if place else ''}{self.message}"


@dataclass(frozen=True)
class Imported:
    """A module that neither Python nor FLIP brings along, where it is imported first.

    ``cell`` is None where that is in a module beside the notebook, ``file``.
    """

    module: str
    cell: int | None
    line: int | None
    file: str | None = None

    @property
    def told(self) -> str:
        """``Imports torch``, ``model.py imports torch``."""
        return f"{self.file} imports {self.module}" if self.file is not None else f"Imports {self.module}"


@dataclass(frozen=True)
class _Code:
    """The code of a cell, by its number, or of a module beside the notebook."""

    number: int | None
    tree: ast.Module
    file: str | None = None

    def issue(self, severity: Severity, code: str, message: str, line: int | None) -> Issue:
        """What is wrong in a line of it."""
        if self.file is None:
            return Issue(severity, code, message, self.number, line)
        return Issue(severity, code, f"{self.file}{f', line {line}' if line is not None else ''}: {message}")


def find_issues(notebook: Path, *, lock: Path | None = None) -> list[Issue]:
    """All that is wrong with ``notebook`` and its plan file; errors first.

    ``lock`` is the lock file of the environment that the Trusts have; without it, imports are looked up here.
    """
    issues: list[Issue] = []
    try:
        frozen = freeze_notebook(notebook)
    except FlipError as error:
        return [_issue(error)]
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[DeclaredOutput, ...] | None = None
    plan: PlanFile | None = None
    try:
        parameters = notebook_parameters(frozen)
    except FlipError as error:
        issues.append(_issue(error))
    try:
        plan = read_plan(plan_path(notebook))
        outputs = plan.outputs
        read_cohort(plan, notebook.parent)
        issues += [Issue("warning", "later-window", sentence) for _, sentence in leakage(plan.dataset)]
    except FlipError as error:
        issues.append(_issue(error))
    beside, wrong = find_beside(plan, notebook.parent) if plan is not None else ([], [])
    issues += map(_issue, wrong)
    codes, broken = _parse(frozen, beside)
    issues += _files_asked(codes, plan) if plan is not None else []
    issues += _agreements_and_totals(codes, plan) if plan is not None else []
    issues += [*broken, *_reports(codes, outputs), *_unused(parameters, frozen, codes)]
    issues += [*_paths(codes), *_files_written(codes), *_long_cells(frozen)]
    issues += _imports(codes, lock, plan, notebook.parent)
    if not any(issue.severity == "error" for issue in issues):
        try:
            last_rehearsal(notebook)
        except FlipError as error:
            issues.append(Issue("warning", error.code, str(error)))
    return in_order(issues)


def in_order(issues: Iterable[Issue]) -> list[Issue]:
    """Errors first, then by cell and line."""
    return sorted(issues, key=lambda issue: (issue.severity, issue.cell or 0, issue.line or 0))


def find_imports(frozen: FrozenNotebook, beside: Sequence[Beside] = ()) -> list[Imported]:
    """What a notebook and the modules beside it import from packages, each module once."""
    found: dict[str, Imported] = {}
    own = {module_name(one.file.name) for one in beside}
    for code in _parse(frozen, beside)[0]:
        for module, line in _packages(code):
            if module not in own:
                found.setdefault(module, Imported(module, code.number, line, code.file))
    return list(found.values())


def _parse(frozen: FrozenNotebook, beside: Sequence[Beside]) -> tuple[list[_Code], list[Issue]]:
    """The code cells that run and the modules beside them, as syntax trees, and what is wrong with the others."""
    codes: list[_Code] = []
    issues: list[Issue] = []
    for number, cell in enumerate(frozen.cells, 1):
        if cell.type == "code" and "skip-execution" not in cell.tags:
            issues += _shell_lines(cell, number)
            try:
                codes.append(_Code(number, ast.parse(_python(cell.source))))
            except SyntaxError as error:
                issues.append(Issue("error", "not-python", f"Not Python: {error.msg}.", number, error.lineno))
    for one in beside:
        if one.file.kind != "module":
            continue
        try:
            codes.append(_Code(None, ast.parse(one.path.read_bytes()), one.file.name))
        except SyntaxError as error:
            message = f"{one.file.name}, line {error.lineno}: not Python: {error.msg}."
            issues.append(Issue("error", "not-python", message))
    return codes, issues


def _issue(error: FlipError) -> Issue:
    return Issue("error", error.code, str(error))


def _python(source: str) -> str:
    """``source`` with IPython's magic and shell lines emptied, so that line numbers stay."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))


def _shell_lines(cell: Cell, number: int) -> Iterator[Issue]:
    for line, text in enumerate(cell.source.split("\n"), 1):
        if text.lstrip().startswith(("!", "%pip", "%conda")):
            message = "Shell commands and installations do nothing in an enclave: it has no shell and no network."
            yield Issue("error", "shell-command", message, number, line)


def _reports(codes: Sequence[_Code], outputs: Sequence[DeclaredOutput] | None) -> Iterator[Issue]:
    """Calls of ``.report(…)`` against the declared outputs; the loop itself."""
    calls = [(code, node) for code in codes for node in ast.walk(code.tree) if isinstance(node, ast.Call)]
    methods = [(code, call, call.func) for code, call in calls if isinstance(call.func, ast.Attribute)]
    if not any(function.attr == "rounds" for _, _, function in methods):
        yield Issue("error", "no-rounds", "No cell iterates flip.rounds(…): nothing would be trained.")
    reports = [(code, call) for code, call, function in methods if function.attr == "report"]
    if not reports:
        yield Issue("error", "no-report", "No cell calls report(…), which every round needs.")
        return
    if outputs is None:
        return
    declared = {output.name for output in outputs}
    named: set[str] = set()
    unknown = False
    for code, call in reports:
        for keyword in call.keywords:
            if keyword.arg is None:
                unknown = True
                continue
            named.add(keyword.arg)
            if keyword.arg not in declared:
                message = f"Reports {keyword.arg!r}, which the plan file does not declare under outputs."
                yield code.issue("error", "undeclared-output", message, keyword.value.lineno)
    if not unknown:
        for name in sorted(declared - named):
            yield Issue("error", "missing-output", f"The output {name!r} is declared, but no report has it.")


def _agreements_and_totals(codes: Sequence[_Code], plan: PlanFile) -> Iterator[Issue]:
    """``.agree(…)`` where the plan has a consensus; calls of ``flip.total({…})`` against the declared steps."""
    calls = [
        (code, node, node.func.attr)
        for code in codes
        for node in ast.walk(code.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    if plan.plan.consensus is not None and not any(name == "agree" for _, _, name in calls):
        yield Issue("error", "no-agreement", "The plan has a consensus, and no cell calls agree(…) in its rounds.")
    if plan.plan.epochs is None and (told := [call for call in calls if call[2] == "progress" and _is_rounds(call[1])]):
        code, call, _ = told[0]
        yield code.issue("warning", "no-epochs", NO_EPOCHS, call.lineno)
    if plan.plan.consensus is not None and not plan.split.has_validation:
        yield Issue("error", "no-validation", "The plan has a consensus, and its split has no validation share.")
    totals = [(code, call) for code, call, name in calls if name == "total" and _is_flips(call)]
    unused = set(range(len(plan.totals)))
    for code, call in totals:
        names = _keys(call)
        if names is None:
            return
        found = [index for index, step in enumerate(plan.totals) if step.names == names]
        unused -= set(found)
        if not found:
            message = f"Totals {', '.join(sorted(names))}, which the plan file does not declare as one step of totals."
            yield code.issue("error", "undeclared-total", message, call.lineno)
    for index in sorted(unused):
        declared = ", ".join(sorted(plan.totals[index].names))
        yield Issue("warning", "unused-total", f"The total of {declared} is declared, but no cell asks for it.")


def _is_flips(call: ast.Call) -> bool:
    """Whether it looks like ``flip.total({…})``, not another object's method."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and len(call.args) == 1


def _is_rounds(call: ast.Call) -> bool:
    """Whether it looks like ``rnd.progress(epoch)``, not another object's method."""
    named = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
    return named and len(call.args) + len(call.keywords) == 1


def _keys(call: ast.Call) -> frozenset[str] | None:
    """The names of a dictionary that is written out as the only argument; None where it is not."""
    argument = call.args[0]
    if not isinstance(argument, ast.Dict):
        return None
    keys = [key.value for key in argument.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return frozenset(keys) if len(keys) == len(argument.keys) else None


def _unused(parameters: Sequence[Parameter], frozen: FrozenNotebook, codes: Sequence[_Code]) -> Iterator[Issue]:
    (cell,) = (n for n, cell in enumerate(frozen.cells, 1) if "parameters" in cell.tags)
    read = {
        node.id
        for code in codes
        for node in ast.walk(code.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for parameter in parameters:
        if parameter.name not in read:
            yield Issue("warning", "unused-parameter", f"Nothing reads the parameter {parameter.name!r}.", cell)


def _paths(codes: Sequence[_Code]) -> Iterator[Issue]:
    for code in codes:
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ABSOLUTE.match(node.value):
                if node.value.startswith(_INSIDE):
                    continue
                message = f"{node.value!r} looks like a path of this machine, which an enclave does not have."
                yield code.issue("warning", "absolute-path", message, node.lineno)


def _files_asked(codes: Sequence[_Code], plan: PlanFile) -> Iterator[Issue]:
    """``flip.file("NAME")`` of what does not go with the notebook."""
    for code in codes:
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in _ASKS and len(node.args) == 1:
                name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                if isinstance(name, str) and name not in plan.files:
                    message = f"Asks for the file {name!r}, which the plan file does not name under files."
                    yield code.issue("error", "no-file", message, node.lineno)


def _files_written(codes: Sequence[_Code]) -> Iterator[Issue]:
    """Files that a cell writes: they stay inside the Trust, as nothing but declared outputs and weights leaves."""
    for code in codes:
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Call) and _writes(node):
                message = "Writes a file, which stays inside the Trust: only weights and declared outputs leave."
                yield code.issue("warning", "undeclared-file", message, node.lineno)


def _writes(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr in _WRITERS
    if not (isinstance(function, ast.Name) and function.id == "open"):
        return False
    modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)


def _long_cells(frozen: FrozenNotebook) -> Iterator[Issue]:
    for number, cell in enumerate(frozen.cells, 1):
        if len(cell.source) > _LONG_CELL:
            message = f"Has {len(cell.source):,} characters: a data controller reads every one before approving."
            yield Issue("warning", "long-cell", message, number)


def _imports(codes: Sequence[_Code], lock: Path | None, plan: PlanFile | None, folder: Path) -> Iterator[Issue]:
    own = {module_name(name) for name in plan.files} if plan is not None else set()
    locked = _locked(lock) if lock is not None else None
    providers = installed_modules() if lock is not None else {}
    for code in codes:
        yield from _relative_imports(code)
        for module, line in _packages(code):
            if module in own:
                continue
            if (sibling := sibling_of(module, folder)) is not None and module not in installed_modules():
                goes = f'name it in the plan file, under "files": ["{sibling}"]' if sibling.endswith(".py") else _FOLDER
                message = f"Imports {module!r}: {sibling} lies beside the notebook and does not go with it; {goes}."
                yield code.issue("error", "undeclared-module", message, line)
            elif locked is not None:
                if not {normal_name(name) for name in providers.get(module, [module])} & locked:
                    message = f"Imports {module!r}, which the environment's lock does not have."
                    yield code.issue("error", "not-in-environment", message, line)
            elif importlib.util.find_spec(module) is None:
                yield code.issue("warning", "no-module", f"Imports {module!r}, which is not here.", line)


def _relative_imports(code: _Code) -> Iterator[Issue]:
    for node in ast.walk(code.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            message = "A relative import: modules lie side by side, and are imported by their names alone."
            yield code.issue("error", "relative-import", message, node.lineno)


def _packages(code: _Code) -> Iterator[tuple[str, int | None]]:
    """Modules and lines of a cell's imports, but for those of Python and of FLIP."""
    for node in ast.walk(code.tree):
        for module in _modules(node):
            if module not in sys.stdlib_module_names and module not in _OWN:
                yield module, node.lineno if isinstance(node, ast.stmt) else None


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.split(".")[0]]
    return []


def _locked(lock: Path) -> set[str]:
    """The distributions that a lock (requirements format) names."""
    try:
        lines = lock.read_text().splitlines()
    except OSError as error:
        raise FlipError("no-file", f"The lock {lock} can't be read: {error.strerror}.") from None
    found = (_NAME.match(line) for line in lines)
    return {normal_name(match[1]) for match in found if match}


def normal_name(name: str) -> str:
    """A distribution's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()
