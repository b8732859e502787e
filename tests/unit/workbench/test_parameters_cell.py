"""The parameters cell: what it declares, and what is refused with its line."""

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.workbench.parameters_cell import read_parameters
from flipnb.workbench.point import fix_point, parse_value


def refused(source):
    with pytest.raises(FlipError) as caught:
        read_parameters(source)
    assert caught.value.code == "bad-parameters"
    return str(caught.value)


def test_types_bounds_choices_and_help_are_read():
    lr, solver, batch, flag, k = read_parameters(
        '"""A docstring."""\n'
        "lr: float = 1  # [1e-4, 10] learning rate, in [1/step]\n"
        'solver: str = "sgd"  # {sgd, adam} optimiser\n'
        "batch = 32  # {16, 32, 64}\n"
        "flag: bool = True\n"
        "k: int = -3  # [-5, 5]\n"
    )
    assert (lr.type, lr.default, lr.minimum, lr.maximum) == ("float", 1.0, 1e-4, 10)
    assert isinstance(lr.default, float)
    assert lr.help == "learning rate, in [1/step]"
    assert (solver.choices, solver.help) == (("sgd", "adam"), "optimiser")
    assert (batch.type, batch.choices) == ("int", (16, 32, 64))
    assert (flag.type, flag.default, flag.minimum) == ("bool", True, None)
    assert (k.default, k.minimum) == (-3, -5)


def test_quoted_choices_and_a_hash_in_a_string():
    (name,) = read_parameters('name: str = "a#b"  # {"a#b", "c d"} which\n')
    assert (name.default, name.choices, name.help) == ("a#b", ("a#b", "c d"), "which")


def test_a_value_over_several_lines_keeps_its_comment():
    (value,) = read_parameters("value: int = (\n    3\n)  # [0, 9] parenthesised\n")
    assert (value.default, value.maximum) == (3, 9)


def test_an_empty_cell_declares_nothing():
    assert read_parameters("# nothing yet\n") == ()


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ("a = 1\n2b = 3", 2, "is not Python"),
        ("a = 1\na b = 3", 2, "is not Python"),
        ("class = 3", 1, "is not Python"),
        ("import os", 1, "no assignment"),
        ("print(1)", 1, "no assignment"),
        ("a = 1\nif a:\n    b = 2", 2, "no assignment"),
        ("a: int", 1, "no assignment"),
        ("a += 1", 1, "no assignment"),
        ("a = b = 1", 1, "no assignment"),
        ("a, b = 1, 2", 1, "plain name"),
        ("a.b = 1", 1, "plain name"),
        ("a = [1]", 1, "a list"),
        ("a = None", 1, "a NoneType"),
        ("a = open('x')", 1, "no literal"),
        ("a = 2 * 3", 1, "no literal"),
        ("a = __import__('os').system('true')", 1, "no literal"),
        ("a: list = 1", 1, "'list'"),
        ("a: int = 1.5", 1, "'a'"),
        ("a: int = True", 1, "'a'"),
        ("a: str = 1", 1, "'a'"),
        ("a: float = 'x'", 1, "'a'"),
        ("a: float = 1e999", 1, "'a'"),
        ("a = 1\na = 2", 2, "second time"),
        ("lr: float = 0.1  # [one, 2]", 1, "no numbers"),
        ("lr: float = 5.0  # [0, 1]", 1, "[0.0, 1.0]"),
        ("s: str = 'x'  # [0, 1]", 1, "can't have bounds"),
        ("n: int = 3  # {1, 2}", 1, "none of"),
        ("n: int = 3  # {a, b}", 1, "no literals"),
        ("n: int = 3  # {'a', 3}", 1, "'n'"),
        ("größe: int = 3", 1, "größe"),
    ],
)
def test_everything_else_is_refused_with_its_line(source, line, said):
    message = refused(source)
    assert f"line {line}," in message
    assert said in message


SPACE = read_parameters(
    'lr: float = 0.1  # [0, 1]\nsolver: str = "sgd"  # {sgd, adam}\nseed: int = 0\nfast: bool = False\n'
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("lr", "0.5", 0.5), ("lr", "1", 1.0), ("seed", "7", 7), ("solver", "adam", "adam"), ("fast", "TRUE", True)],
)
def test_typed_values_come_from_a_command_line(name, text, value):
    parsed = parse_value(SPACE, name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("lr", "fast", "wrong-type"),
        ("seed", "1.5", "wrong-type"),
        ("fast", "1", "wrong-type"),
        ("momentum", "1", "unknown-parameter"),
        ("a b", "1", "unknown-parameter"),
    ],
)
def test_what_a_command_line_gets_wrong_is_named(name, text, code):
    with pytest.raises(FlipError) as caught:
        parse_value(SPACE, name, text)
    assert caught.value.code == code
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ({"lr": 2.0}, "out-of-bounds"),
        ({"lr": "0.1"}, "wrong-type"),
        ({"lr": float("nan")}, "wrong-type"),
        ({"solver": "lbfgs"}, "out-of-bounds"),
        ({"x": 1}, "unknown-parameter"),
    ],
)
def test_a_point_outside_the_space_is_refused(point, code):
    with pytest.raises(FlipError) as caught:
        fix_point(SPACE, point)
    assert caught.value.code == code


def test_a_parameter_without_bounds_is_fixed_to_what_was_asked_for():
    space, point = fix_point(SPACE, {"seed": 9})
    assert point == {"lr": 0.1, "solver": "sgd", "seed": 9, "fast": False}
    with pytest.raises(FlipError, match="fixed to 9"):
        fixed = next(parameter for parameter in space if parameter.name == "seed")
        fixed.check(10)
