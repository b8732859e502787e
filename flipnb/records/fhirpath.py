"""FHIRPath over JSON resources, compiled once per expression and run many times.

The grammar, the R4 model and the long tail of functions (strings, mathematics) are fhirpathpy's. Navigation, logic,
equality, dates and scoping are compiled here to closures, because fhirpathpy's evaluator walks the tree for every
resource (measured: 30 to 160 µs for a path, against 4 to 18 µs) and because it

* accepts what does not parse (``a b``, ``name.family(``), and knows of unknown names only when they are reached;
* compares the first elements of collections only, and returns one extension where several have the URL;
* leaves ``$this`` at the inner element after a nested ``where`` or ``exists``;
* does not know ``Extension.value`` and other open choices, ``lowBoundary``, ``highBoundary``, ``hasValue``.

Sources: FHIRPath 2.0 (hl7.org/fhirpath), FHIR R4 2.9 (hl7.org/fhir/R4/fhirpath.html), SQL on FHIR 2 for the keys.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.records import fhirpath_functions as functions
from flipnb.records.fhirpath_values import (
    Node,
    Scope,
    boolean,
    compare,
    datum,
    equal,
    equivalent,
    is_type,
    member,
    singleton,
)

Run = Callable[[Scope, list[Any]], list[Any]]
Tree = dict[str, Any]

BUILT_IN = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_FROM_SCOPE = ("context", "resource", "rootResource", "rowIndex")


class Expression:
    """One compiled expression. ``text`` is its source, ``constants`` the names of the constants that it reads."""

    def __init__(self, text: str, known: Iterable[str] = ()) -> None:
        """Raises FlipError ``invalid-fhirpath`` for what does not parse and for unknown functions and constants."""
        self.text = text
        compiler = _Compiler(text, {*known, *BUILT_IN, *_FROM_SCOPE})
        try:
            self.tree = _parse(text)
            self._run = compiler.compile(self.tree)
        except RecursionError:
            raise FlipError("invalid-fhirpath", "The FHIRPath is nested too deeply.") from None
        self.constants = frozenset(compiler.read)

    def evaluate(
        self, node: Node, constants: Mapping[str, Any] | None = None, *, root: Node | None = None, row_index: int = 0
    ) -> list[Any]:
        """The collection that the expression gives on ``node``: Nodes, or plain values where they were computed.

        ``constants`` are plain values or Nodes; ``root`` is the resource that ``node`` belongs to. Raises FlipError
        ``fhirpath`` where the data does not fit the expression (two elements where one is needed).
        """
        focus = [node]
        scope = Scope(focus, root or node, constants or {}, row_index)
        try:
            return self._run(scope, focus)
        except FlipError:
            raise
        except Exception as error:  # fhirpathpy's functions raise bare exceptions
            raise FlipError("fhirpath", f"{self.text!r} can't be evaluated: {error}") from None

    def members(self) -> tuple[str, ...] | None:
        """The names of ``a.b.c``; None for any other kind of expression."""
        return _member_chain(self.tree)


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Tree:
    from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker, Token
    from antlr4.error.ErrorListener import ErrorListener
    from fhirpathpy.parser.ASTPathListener import ASTPathListener
    from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
    from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

    class Strict(ErrorListener):
        def syntaxError(self, recognizer: Any, symbol: Any, line: int, column: int, msg: str, e: Any) -> None:
            raise FlipError("invalid-fhirpath", f"{text!r} is no FHIRPath: column {column + 1}: {msg}")

    lexer = FHIRPathLexer(InputStream(text))
    tokens = CommonTokenStream(lexer)
    parser = FHIRPathParser(tokens)
    for recognizer in (lexer, parser):
        recognizer.removeErrorListeners()
        recognizer.addErrorListener(Strict())
    context = parser.expression()
    if tokens.LA(1) != Token.EOF:
        rest = tokens.LT(1)
        raise FlipError("invalid-fhirpath", f"{text!r} is no FHIRPath: column {rest.column + 1}: {rest.text!r} is left")
    listener = ASTPathListener()
    ParseTreeWalker().walk(listener, context)
    tree: Tree = listener.parentStack[0]["children"][0]
    return tree


def _member_chain(tree: Tree) -> tuple[str, ...] | None:
    kind = tree["type"]
    if kind in ("TermExpression", "InvocationTerm", "ParenthesizedTerm"):
        return _member_chain(tree["children"][0])
    if kind == "MemberInvocation":
        return (_identifier(tree["children"][0]),)
    if kind == "InvocationExpression":
        left, right = (_member_chain(child) for child in tree["children"])
        return None if left is None or right is None else left + right
    return None


def _identifier(tree: Tree) -> str:
    text: str = tree["text"]
    return functions.unescape(text[1:-1]) if text.startswith("`") else text


class _Compiler:
    def __init__(self, text: str, known: set[str]) -> None:
        self._text = text
        self._known = known
        self.read: set[str] = set()

    def compile(self, tree: Tree) -> Run:
        method: Callable[[Tree], Run] | None = getattr(self, f"_{tree['type']}", None)
        if method is None:
            raise self._invalid(f"{tree['type']} is not supported")
        return method(tree)

    def _invalid(self, reason: str) -> FlipError:
        return FlipError("invalid-fhirpath", f"{self._text!r} is no valid FHIRPath: {reason}.")

    def _first_child(self, tree: Tree) -> Run:
        return self.compile(tree["children"][0])

    _TermExpression = _InvocationTerm = _LiteralTerm = _ParenthesizedTerm = _first_child

    # literals

    def _constant(self, value: list[Any]) -> Run:
        return lambda scope, focus: value

    def _NullLiteral(self, tree: Tree) -> Run:
        return self._constant([])

    def _BooleanLiteral(self, tree: Tree) -> Run:
        return self._constant([tree["text"] == "true"])

    def _StringLiteral(self, tree: Tree) -> Run:
        return self._constant([functions.unescape(tree["text"][1:-1])])

    def _NumberLiteral(self, tree: Tree) -> Run:
        return self._constant([Decimal(tree["text"]) if "." in tree["text"] else int(tree["text"])])

    def _DateTimeLiteral(self, tree: Tree) -> Run:
        text = tree["text"][1:]
        return self._constant([Node(text.rstrip("T"), "System.DateTime" if "T" in text else "System.Date")])

    def _TimeLiteral(self, tree: Tree) -> Run:
        return self._constant([Node(tree["text"][2:], "System.Time")])

    def _QuantityLiteral(self, tree: Tree) -> Run:
        quantity = tree["children"][0]
        unit = quantity["children"][0]
        names = unit["terminalNodeText"] or unit["children"][0]["terminalNodeText"]
        return self._constant([functions.quantity(Decimal(quantity["terminalNodeText"][0]), names[0])])

    # navigation

    def _MemberInvocation(self, tree: Tree) -> Run:
        key = _identifier(tree["children"][0])

        def run(scope: Scope, focus: list[Any]) -> list[Any]:
            if len(focus) == 1:
                return member(focus[0], key)
            return [child for item in focus for child in member(item, key)]

        return run

    def _InvocationExpression(self, tree: Tree) -> Run:
        left, right = map(self.compile, tree["children"])
        return lambda scope, focus: right(scope, left(scope, focus))

    def _ThisInvocation(self, tree: Tree) -> Run:
        return lambda scope, focus: scope.this

    def _IndexInvocation(self, tree: Tree) -> Run:
        return lambda scope, focus: [scope.position]

    def _TotalInvocation(self, tree: Tree) -> Run:
        return lambda scope, focus: scope.total

    def _IndexerExpression(self, tree: Tree) -> Run:
        collection, index = map(self.compile, tree["children"])

        def run(scope: Scope, focus: list[Any]) -> list[Any]:
            items = collection(scope, focus)
            at = datum(singleton(index(scope, scope.this)))
            return [items[at]] if isinstance(at, int) and 0 <= at < len(items) else []

        return run

    def _ExternalConstantTerm(self, tree: Tree) -> Run:
        child = tree["children"][0]
        if child.get("children"):
            name = _identifier(child["children"][0])
        else:
            name = functions.unescape(child["terminalNodeText"][-1].strip("'%"))
        if name not in self._known:
            raise self._invalid(f"%{name} is not defined")
        self.read.add(name)
        if name == "rowIndex":
            return lambda scope, focus: [scope.row_index]
        if name in ("resource", "rootResource"):
            return lambda scope, focus: [scope.root]
        if name == "context":
            return lambda scope, focus: scope.outer
        if name in BUILT_IN:
            return self._constant([BUILT_IN[name]])
        return lambda scope, focus: [scope.constants[name]]

    # operators

    def _binary(self, tree: Tree, operation: Callable[[list[Any], list[Any]], list[Any]]) -> Run:
        left, right = map(self.compile, tree["children"])
        return lambda scope, focus: operation(left(scope, focus), right(scope, focus))

    def _EqualityExpression(self, tree: Tree) -> Run:
        sign = tree["terminalNodeText"][0]
        if sign == "=":
            return self._binary(tree, lambda a, b: _known(equal(a, b)))
        if sign == "!=":
            return self._binary(tree, lambda a, b: [not value for value in _known(equal(a, b))])
        return self._binary(tree, lambda a, b: [equivalent(a, b) == (sign == "~")])

    def _InequalityExpression(self, tree: Tree) -> Run:
        accept = {"<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1)}[tree["terminalNodeText"][0]]

        def operation(left: list[Any], right: list[Any]) -> list[Any]:
            order = compare(left, right)
            return [] if order is None else [order in accept]

        return self._binary(tree, operation)

    def _AndExpression(self, tree: Tree) -> Run:
        return self._logic(tree, lambda a, b: False if a is False or b is False else (a and b))

    def _OrExpression(self, tree: Tree) -> Run:
        if tree["terminalNodeText"][0] == "xor":
            return self._logic(tree, lambda a, b: None if a is None or b is None else a != b)
        return self._logic(tree, lambda a, b: True if a or b else (None if a is None or b is None else False))

    _XorExpression = _OrExpression

    def _ImpliesExpression(self, tree: Tree) -> Run:
        return self._logic(tree, lambda a, b: True if a is False or b else (None if a is None or b is None else False))

    def _logic(self, tree: Tree, operation: Callable[[bool | None, bool | None], bool | None]) -> Run:
        left, right = map(self.compile, tree["children"])
        return lambda scope, focus: _known(operation(boolean(left(scope, focus)), boolean(right(scope, focus))))

    def _UnionExpression(self, tree: Tree) -> Run:
        return self._binary(tree, lambda a, b: functions.distinct(a + b))

    def _MembershipExpression(self, tree: Tree) -> Run:
        if tree["terminalNodeText"][0] == "in":
            return self._binary(tree, functions.is_in)
        return self._binary(tree, lambda a, b: functions.is_in(b, a))

    def _AdditiveExpression(self, tree: Tree) -> Run:
        return self._binary(tree, functions.ARITHMETIC[tree["terminalNodeText"][0]])

    _MultiplicativeExpression = _AdditiveExpression

    def _PolarityExpression(self, tree: Tree) -> Run:
        operand, negative = self.compile(tree["children"][0]), tree["terminalNodeText"][0] == "-"
        return lambda scope, focus: functions.signed(operand(scope, focus), negative)

    def _TypeExpression(self, tree: Tree) -> Run:
        operand, name = self.compile(tree["children"][0]), tree["children"][1]["text"].replace("`", "")
        if tree["terminalNodeText"][0] == "is":
            return lambda scope, focus: [is_type(item, name) for item in _at_most_one(operand(scope, focus))]
        return lambda scope, focus: [item for item in _at_most_one(operand(scope, focus)) if is_type(item, name)]

    # functions

    def _FunctionInvocation(self, tree: Tree) -> Run:
        call = tree["children"][0]
        if call["terminalNodeText"][-1:] != [")"]:
            raise self._invalid("a parenthesis is open")
        name = _identifier(call["children"][0])
        arguments = call["children"][1]["children"] if len(call["children"]) > 1 else []
        if name in _MACROS:
            counts, build = _MACROS[name]
            self._require_count(name, len(arguments), counts)
            return build([self.compile(argument) for argument in arguments])
        if name in ("ofType", "is", "as"):
            self._require_count(name, len(arguments), (1,))
            kind = arguments[0]["text"].replace("`", "")
            if name == "is":
                return lambda scope, focus: [is_type(item, kind) for item in _at_most_one(focus)]
            return lambda scope, focus: [item for item in focus if is_type(item, kind)]
        if name == "getReferenceKey":
            self._require_count(name, len(arguments), (0, 1))
            wanted = arguments[0]["text"].rpartition(".")[2].strip("'`") if arguments else None
            return lambda scope, focus: functions.reference_keys(focus, wanted)
        function = functions.OWN.get(name) or functions.borrowed(name)
        if function is None:
            raise self._invalid(f"there is no function {name}()")
        counts, apply = function
        self._require_count(name, len(arguments), counts)
        compiled = [self.compile(argument) for argument in arguments]
        return lambda scope, focus: apply(focus, *(argument(scope, scope.this) for argument in compiled))

    def _require_count(self, name: str, count: int, allowed: Sequence[int]) -> None:
        if count not in allowed:
            raise self._invalid(f"{name}() takes {' or '.join(map(str, allowed))} arguments, not {count}")


def _known(value: bool | None) -> list[bool]:
    return [] if value is None else [value]


def _at_most_one(items: list[Any]) -> list[Any]:
    singleton(items)
    return items


# Functions whose arguments are evaluated for each element, with $this and $index.


def _where(arguments: list[Run]) -> Run:
    (criterion,) = arguments
    return lambda scope, focus: [
        item for index, item in enumerate(focus) if boolean(criterion(scope.at(item, index), [item]))
    ]


def _exists(arguments: list[Run]) -> Run:
    if not arguments:
        return lambda scope, focus: [bool(focus)]
    where = _where(arguments)
    return lambda scope, focus: [bool(where(scope, focus))]


def _all(arguments: list[Run]) -> Run:
    (criterion,) = arguments
    return lambda scope, focus: [
        all(boolean(criterion(scope.at(item, index), [item])) is True for index, item in enumerate(focus))
    ]


def _select(arguments: list[Run]) -> Run:
    (projection,) = arguments
    return lambda scope, focus: [
        value for index, item in enumerate(focus) for value in projection(scope.at(item, index), [item])
    ]


def _repeat(arguments: list[Run]) -> Run:
    (projection,) = arguments

    def run(scope: Scope, focus: list[Any]) -> list[Any]:
        found: list[Any] = []
        waiting = list(focus)
        while waiting:
            item = waiting.pop(0)
            new = [value for value in projection(scope.at(item, 0), [item]) if not functions.holds(found, value)]
            new = functions.distinct(new)
            found += new
            waiting += new
        return found

    return run


def _iif(arguments: list[Run]) -> Run:
    condition, then, *other = arguments

    def run(scope: Scope, focus: list[Any]) -> list[Any]:
        inner = scope.at(focus[0], scope.position) if len(focus) == 1 else scope
        if boolean(condition(inner, focus)):
            return then(inner, focus)
        return other[0](inner, focus) if other else []

    return run


def _aggregate(arguments: list[Run]) -> Run:
    step, *initial = arguments

    def run(scope: Scope, focus: list[Any]) -> list[Any]:
        total = initial[0](scope, scope.this) if initial else []
        for index, item in enumerate(focus):
            total = step(scope.at(item, index, total), [item])
        return total

    return run


def _coalesce(arguments: list[Run]) -> Run:
    return lambda scope, focus: next(
        (values for argument in arguments if (values := argument(scope, scope.this))), list[Any]()
    )


_MACROS: dict[str, tuple[Sequence[int], Callable[[list[Run]], Run]]] = {
    "where": ((1,), _where),
    "exists": ((0, 1), _exists),
    "all": ((1,), _all),
    "select": ((1,), _select),
    "repeat": ((1,), _repeat),
    "iif": ((2, 3), _iif),
    "aggregate": ((1, 2), _aggregate),
    "coalesce": (range(1, 20), _coalesce),
}
