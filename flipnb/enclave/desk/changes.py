"""What is new in a bundle since the last one that the controller approved: cell by cell, field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import CellChange, ChangedLine, ChangeKind, Changes, FieldChange
from flipnb.contracts.notebook import Cell

_APART = frozenset({"notebook", "version", "not_before", "expires"})


def changes(bundle: Bundle, approved: Iterable[tuple[str, Bundle]]) -> Changes:
    """``bundle`` against the first of ``approved`` (digest, content; the newest first) with a cell of the same id."""
    digest, before = next(((name, one) for name, one in approved if _ids(one) & _ids(bundle)), (None, None))
    if before is None:
        return Changes(since=None, cells=_cells((), bundle.notebook.cells), fields=())
    return Changes(
        since=digest,
        cells=_cells(before.notebook.cells, bundle.notebook.cells),
        fields=_fields(before, bundle),
    )


def _ids(bundle: Bundle) -> set[str]:
    return {cell.id for cell in bundle.notebook.cells}


def _cells(before: tuple[Cell, ...], after: tuple[Cell, ...]) -> tuple[CellChange, ...]:
    """The new notebook's cells in their order, then those that are gone."""
    earlier = {cell.id: cell for cell in before}
    found = [_cell(number, cell, earlier.get(cell.id)) for number, cell in enumerate(after, 1)]
    kept = {cell.id for cell in after}
    found += [
        CellChange(id=cell.id, number=number, type=cell.type, kind="removed", lines=_lines(cell.source, ""))
        for number, cell in enumerate(before, 1)
        if cell.id not in kept
    ]
    return tuple(found)


def _cell(number: int, cell: Cell, earlier: Cell | None) -> CellChange:
    kind: ChangeKind = "added" if earlier is None else "same" if cell == earlier else "changed"
    lines = _lines(_whole(earlier) if earlier is not None else "", _whole(cell))
    return CellChange(id=cell.id, number=number, type=cell.type, kind=kind, lines=lines)


def _whole(cell: Cell) -> str:
    """Type and tags decide what runs as much as the source does."""
    head = " ".join((*((cell.type,) if cell.type != "code" else ()), *cell.tags))
    return f"# cell: {head}\n{cell.source}" if head else cell.source


def _fields(before: Bundle, after: Bundle) -> tuple[FieldChange, ...]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return tuple(
        FieldChange(field=name, lines=_lines(_json(old[name]), _json(new[name])))
        for name in new
        if name not in _APART and old[name] != new[name]
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def _lines(before: str, after: str) -> tuple[ChangedLine, ...]:
    old, new = before.splitlines(), after.splitlines()
    found: list[ChangedLine] = []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            found += [ChangedLine(mark="both", text=line) for line in new[c:d]]
            continue
        found += [ChangedLine(mark="earlier", text=line) for line in old[a:b]]
        found += [ChangedLine(mark="new", text=line) for line in new[c:d]]
    return tuple(found)
