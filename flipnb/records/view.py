"""Running a ViewDefinition: resources in, rows out, one resource at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from flipnb.contracts.problem import FlipError
from flipnb.records.fhirpath_values import Node
from flipnb.records.view_definition import Column, Selection, ViewDefinition

Row = dict[str, Any]

_DEEPEST = 200


def rows(view: ViewDefinition, resources: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """The view's rows, in the order of the resources, columns in the order of the definition.

    Resources of another type are passed over. Values are as in JSON (decimals as Decimal where they were read so).
    Raises FlipError ``invalid-view`` where the definition turns out not to fit the data: a condition that is no
    boolean, several values in a column that is no collection.
    """
    for resource in resources:
        if resource.get("resourceType") == view.resource:
            node = Node.of_resource(resource)
            yield from _rows_of(view, node)


def _rows_of(view: ViewDefinition, node: Node) -> list[Row]:
    run = _Run(view, node)
    try:
        return list(run.rows()) if run.is_wanted() else []
    except FlipError as error:
        if error.code != "fhirpath":
            raise
        raise FlipError("invalid-view", f"The ViewDefinition does not fit the data: {error.message}") from None


class _Run:
    """A view over one resource."""

    def __init__(self, view: ViewDefinition, root: Node) -> None:
        self._view = view
        self._root = root

    def is_wanted(self) -> bool:
        for condition in self._view.where:
            found = condition.evaluate(self._root, self._view.constants)
            values = [item.data if isinstance(item, Node) else item for item in found]
            if len(values) > 1 or not all(isinstance(value, bool) for value in values):
                raise FlipError(
                    "invalid-view", f"The condition {condition.text!r} gives something else than a boolean."
                )
            if values != [True]:
                return False
        return True

    def rows(self) -> Iterator[Row]:
        parts = [self._selection(selection, self._root, 0) for selection in self._view.selects]
        return _product(parts)

    def _selection(self, selection: Selection, node: Node, row_index: int) -> list[Row]:
        if selection.repeat:
            elements = list(self._repeated(selection, node, row_index, 0))
        elif selection.each is not None:
            elements = self._nodes(
                selection.each.evaluate(node, self._view.constants, root=self._root, row_index=row_index)
            )
            if not elements and selection.or_null:
                return [{column.name: self._absent(column) for column in selection.all_columns()}]
        else:
            return self._element(selection, node, row_index)
        return [row for index, element in enumerate(elements) for row in self._element(selection, element, index)]

    def _repeated(self, selection: Selection, node: Node, row_index: int, depth: int) -> Iterator[Node]:
        """Depth first, each element before its children."""
        if depth > _DEEPEST:
            raise FlipError("invalid-view", f"repeat goes deeper than {_DEEPEST} levels: its paths lead to themselves.")
        for path in selection.repeat:
            for child in self._nodes(path.evaluate(node, self._view.constants, root=self._root, row_index=row_index)):
                yield child
                yield from self._repeated(selection, child, row_index, depth + 1)

    def _nodes(self, items: list[Any]) -> list[Node]:
        return [item if isinstance(item, Node) else Node(item, "System.Any") for item in items]

    def _element(self, selection: Selection, node: Node, row_index: int) -> list[Row]:
        own = {column.name: self._value(column, node, row_index) for column in selection.columns}
        parts = [[own], *(self._selection(part, node, row_index) for part in selection.selects)]
        if selection.union:
            parts.append([row for part in selection.union for row in self._selection(part, node, row_index)])
        return list(_product(parts))

    def _value(self, column: Column, node: Node, row_index: int) -> Any:
        found = column.expression.evaluate(node, self._view.constants, root=self._root, row_index=row_index)
        if column.collection:
            return [_plain(item) for item in found]
        if len(found) > 1:
            raise FlipError(
                "invalid-view",
                f"Column {column.name} has {len(found)} values in one row: {column.expression.text!r}.",
                remedy="Say collection: true, take first(), or iterate with forEach.",
            )
        return _plain(found[0]) if found else None

    def _absent(self, column: Column) -> Any:
        """In the row of an empty forEachOrNull all is null, but for the row's index, which is 0."""
        return 0 if column.expression.text.strip() == "%rowIndex" else None


def _product(parts: list[list[Row]]) -> Iterator[Row]:
    if len(parts) == 1:
        yield from parts[0]
        return
    for combination in itertools.product(*parts):
        row: Row = {}
        for part in combination:
            row.update(part)
        yield row


def _plain(item: Any) -> Any:
    value = item.data if isinstance(item, Node) else item
    if isinstance(value, Decimal) and value == value.to_integral_value() and not isinstance(item, Node):
        return int(value) if abs(value) < 2**63 else value
    return value
