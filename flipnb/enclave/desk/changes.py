"""What is new in a bundle since the last one that the controller approved: cell by cell, file by file, field by
field."""

from __future__ import annotations

import difflib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from flipnb.contracts.attached import ShownFile
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.desk import CellChange, ChangedLine, ChangeKind, Changes, FieldChange, FileChange
from flipnb.contracts.notebook import Cell
from flipnb.wording.attached import file_lines

_APART = frozenset({"notebook", "files", "version", "not_before", "expires"})
_MOST_PAIRS = 100_000
"""Pairs of equal lines, one earlier and one new, up to which a difference is looked for: its cost grows with them and
with the lines."""
_HEAD = "# cell:"


def changes(
    bundle: Bundle,
    approved: Iterable[tuple[str, Bundle]],
    files: Sequence[ShownFile] = (),
    shown: Callable[[str, Bundle], Sequence[ShownFile]] = lambda digest, bundle: (),
) -> Changes:
    """``bundle`` against the first of ``approved`` (digest, content; the newest first) with a cell of the same id.

    ``files`` go with it; ``shown`` gives those of an approved one, as far as they are here.
    """
    digest, before = next(((name, one) for name, one in approved if _ids(one) & _ids(bundle)), (None, None))
    if digest is None or before is None:
        return Changes(since=None, cells=_cells((), bundle.notebook.cells), files=_files((), files), fields=())
    return Changes(
        since=digest,
        cells=_cells(before.notebook.cells, bundle.notebook.cells),
        files=_files(shown(digest, before), files),
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
        CellChange(id=cell.id, number=number, type=cell.type, kind="removed", lines=_of_texts(_whole(cell), ""))
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
        return CellChange(id=cell.id, number=number, type=cell.type, kind="added", lines=_of_texts("", _whole(cell)))
    place, earlier = found
    moved = place not in unmoved
    kind: ChangeKind = "same" if cell == earlier and not moved else "changed"
    lines = _of_texts(_whole(earlier, place if moved else None), _whole(cell, number if moved else None))
    return CellChange(id=cell.id, number=number, type=cell.type, kind=kind, lines=lines)


def _whole(cell: Cell, place: int | None = None) -> str:
    """Type, tags and place decide what runs as much as the source does; a source can't feign the line that says so."""
    head = [*((cell.type,) if cell.type != "code" else ()), *cell.tags]
    if place is not None:
        head.append(f"number {place} in its order")
    if head or _HEAD in cell.source:
        return f"{_HEAD} {', '.join(head or [cell.type])}\n{cell.source}"
    return cell.source


def _files(before: Sequence[ShownFile], after: Sequence[ShownFile]) -> tuple[FileChange, ...]:
    """The new bundle's files in their order, then those that are gone."""
    earlier = {shown.file.name: shown for shown in before}
    found = [_file(shown, earlier.get(shown.file.name)) for shown in after]
    kept = {shown.file.name for shown in after}
    found += [
        FileChange(name=name, type=shown.kind, kind="removed", lines=_lines(file_lines(shown), ()))
        for name, shown in earlier.items()
        if name not in kept
    ]
    return tuple(found)


def _file(shown: ShownFile, earlier: ShownFile | None) -> FileChange:
    kind: ChangeKind = "added" if earlier is None else "same" if shown.file == earlier.file else "changed"
    old = () if earlier is None else file_lines(shown) if kind == "same" else file_lines(earlier)
    return FileChange(name=shown.file.name, type=shown.kind, kind=kind, lines=_lines(old, file_lines(shown)))


def _fields(before: Bundle, after: Bundle) -> tuple[FieldChange, ...]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return tuple(
        FieldChange(field=name, lines=_of_texts(_json(old[name]), _json(new[name])))
        for name in new
        if name not in _APART and old[name] != new[name]
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def _of_texts(before: str, after: str) -> tuple[ChangedLine, ...]:
    return _lines(before.splitlines(), after.splitlines())


def _lines(old: Sequence[str], new: Sequence[str]) -> tuple[ChangedLine, ...]:
    """What both begin and end with, and between them the difference; where that would take too long, all of both."""
    most = min(len(old), len(new))
    head = next((n for n in range(most) if old[n] != new[n]), most)
    tail = next((n for n in range(most - head) if old[-1 - n] != new[-1 - n]), most - head)
    found = [ChangedLine(mark="both", text=line) for line in new[:head]]
    found += _difference(old[head : len(old) - tail], new[head : len(new) - tail])
    return (*found, *(ChangedLine(mark="both", text=line) for line in new[len(new) - tail :]))


def _difference(old: Sequence[str], new: Sequence[str]) -> list[ChangedLine]:
    times, again = Counter(old), Counter(new)
    if sum(number * again[line] for line, number in times.items()) > _MOST_PAIRS:
        opcodes = [("replace", 0, len(old), 0, len(new))]
    else:
        opcodes = list(difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes())
    found: list[ChangedLine] = []
    for what, a, b, c, d in opcodes:
        if what == "equal":
            found += [ChangedLine(mark="both", text=line) for line in new[c:d]]
            continue
        found += [ChangedLine(mark="earlier", text=line) for line in old[a:b]]
        found += [ChangedLine(mark="new", text=line) for line in new[c:d]]
    return found
