"""Reading the ``parameters`` cell: typed assignments of literals, bounds and help in the comment.

    lr: float = 0.1      # [0.001, 10] learning rate
    solver: str = "sgd"  # {sgd, adam} optimiser
    seed: int = 0        # random seed

Everything is read from the syntax tree; nothing is executed. papermill pastes names and values as code, so only
identifiers and literals of the four types pass.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize

from pydantic import ValidationError

from flipnb.contracts.document import invalid
from flipnb.contracts.parameters import Parameter, ParameterType, Scalar
from flipnb.contracts.problem import FlipError

_TYPES: dict[str, ParameterType] = {"int": "int", "float": "float", "bool": "bool", "str": "str"}
_BOUNDS = re.compile(r"^\[\s*([^,\]]+?)\s*,\s*([^,\]]+?)\s*\]\s*")
_CHOICES = re.compile(r"^\{([^}]*)\}\s*")


def read_parameters(source: str) -> tuple[Parameter, ...]:
    """The parameters that a cell declares, in order.

    Raises FlipError ``bad-parameters`` with the line: not Python, a statement that is no assignment of a literal, an
    unknown type, malformed bounds.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise _bad(error.lineno or 1, "is not Python") from None
    comments = _comments(source)
    parameters: list[Parameter] = []
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        name, declared, value = _assignment(statement)
        kind = declared or _type_of(value)
        comment = comments.get(statement.end_lineno or 0, "")
        minimum, maximum, choices, text = _comment(comment, kind, statement.lineno)
        if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        try:
            parameters.append(
                Parameter(
                    name=name, type=kind, default=value, minimum=minimum, maximum=maximum, choices=choices, help=text
                )
            )
        except ValidationError as error:
            raise _bad(statement.lineno, f"declares {name!r}: {invalid(error, 'it').message}") from None
        if [parameter.name for parameter in parameters].count(name) > 1:
            raise _bad(statement.lineno, f"declares {name!r} a second time")
    return tuple(parameters)


def _assignment(statement: ast.stmt) -> tuple[str, ParameterType | None, Scalar]:
    declared: ParameterType | None = None
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        target, value = statement.target, statement.value
        annotation = statement.annotation
        name = annotation.id if isinstance(annotation, ast.Name) else ast.unparse(annotation)
        if name not in _TYPES:
            raise _bad(statement.lineno, f"has the type {name!r}; parameters are int, float, bool or str")
        declared = _TYPES[name]
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        first = statement.targets[0]
        if not isinstance(first, ast.Name):
            raise _bad(statement.lineno, "does not assign to a plain name")
        target, value = first, statement.value
    else:
        raise _bad(statement.lineno, "is no assignment of a literal to a name")
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        raise _bad(statement.lineno, f"gives {target.id!r} a value that is no literal") from None
    if not isinstance(literal, bool | int | float | str):
        raise _bad(statement.lineno, f"gives {target.id!r} a {type(literal).__name__}")
    return target.id, declared, literal


def _type_of(value: Scalar) -> ParameterType:
    return _TYPES[type(value).__name__]


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}


def _comment(text: str, kind: ParameterType, line: int) -> tuple[float | None, float | None, tuple[Scalar, ...], str]:
    """Bounds or choices, and the help that follows them."""
    if bounds := _BOUNDS.match(text):
        try:
            low, high = float(bounds[1]), float(bounds[2])
        except ValueError:
            raise _bad(line, f"has the bounds {bounds[0].strip()}, which are no numbers") from None
        return low, high, (), text[bounds.end() :]
    if choices := _CHOICES.match(text):
        return None, None, _choices(choices[1], kind, line), text[choices.end() :]
    return None, None, (), text


def _choices(text: str, kind: ParameterType, line: int) -> tuple[Scalar, ...]:
    """``"sgd", "adam"`` or, for a str, plain words: ``sgd, adam``."""
    try:
        return tuple(ast.literal_eval(f"({text},)")) if text.strip() else ()
    except (ValueError, SyntaxError):
        words = [word.strip() for word in text.split(",")]
        if kind == "str" and all(re.fullmatch(r"[\w.-]+", word) for word in words):
            return tuple(words)
        raise _bad(line, f"has the choices {{{text}}}, which are no literals") from None


def _bad(line: int, what: str) -> FlipError:
    return FlipError(
        "bad-parameters",
        f"The parameters cell, line {line}, {what}.",
        remedy="Write each parameter as `name: type = literal  # [low, high] help`.",
    )
