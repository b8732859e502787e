"""What is new in a bundle since the last one that the controller approved: cell by cell, field by field."""

from __future__ import annotations

import difflib
import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import CellChange, ChangedLine, ChangeKind, Changes, FieldChange
from flipnb.contracts.notebook import Cell

_APART = frozenset({"notebook", "version", "not_before", "expires"})
_HEAD = "# cell:"


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
    earlier = {cell.id: (number, cell) for number, cell in enumerate(before, 1)}
    later = {cell.id: number for number, cell in enumerate(after, 1)}
    unmoved = _unmoved([earlier[name][0] for name in later if name in earlier])
    found = [_cell(number, cell, earlier.get(cell.id), unmoved) for number, cell in enumerate(after, 1)]
    found += [
        CellChange(id=cell.id, number=number, type=cell.type, kind="removed", lines=_lines(_whole(cell), ""))
        for number, cell in enumerate(before, 1)
        if cell.id not in later
    ]
    return tuple(found)


def _unmoved(places: Sequence[int]) -> frozenset[int]:
    """As many of the earlier places as are in their order still: the longest increasing subsequence."""
    ends: list[int] = []  # the smallest end of an increasing subsequence of each length
    previous: dict[int, int | None] = {}
    for place in places:
        length = bisect_left(ends, place)
        previous[place] = ends[length - 1] if length else None
        ends[length : length + 1] = [place]
    kept, place_before = set(), ends[-1] if ends else None
    while place_before is not None:
        kept.add(place_before)
        place_before = previous[place_before]
    return frozenset(kept)


def _cell(number: int, cell: Cell, found: tuple[int, Cell] | None, unmoved: frozenset[int]) -> CellChange:
    if found is None:
        return CellChange(id=cell.id, number=number, type=cell.type, kind="added", lines=_lines("", _whole(cell)))
    place, earlier = found
    moved = place not in unmoved
    kind: ChangeKind = "same" if cell == earlier and not moved else "changed"
    lines = _lines(_whole(earlier, place if moved else None), _whole(cell, number if moved else None))
    return CellChange(id=cell.id, number=number, type=cell.type, kind=kind, lines=lines)


def _whole(cell: Cell, place: int | None = None) -> str:
    """Type, tags and place decide what runs as much as the source does; a source can't feign the line that says so."""
    head = [*((cell.type,) if cell.type != "code" else ()), *cell.tags]
    if place is not None:
        head.append(f"number {place} in its order")
    if head or _HEAD in cell.source:
        return f"{_HEAD} {', '.join(head or [cell.type])}\n{cell.source}"
    return cell.source


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
