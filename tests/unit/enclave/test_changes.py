"""What a controller is shown as new: every line that differs, none that does not, and nothing hidden."""

from itertools import combinations

from enclave_scenario import Study
from hypothesis import given, settings
from hypothesis import strategies as st

from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.enclave.desk.changes import changes

LINES = st.lists(st.sampled_from(["a = 1", "b = 2", "", "print(a)", "import os"]), max_size=5).map("\n".join)
CELLS = st.lists(st.tuples(st.sampled_from("pqrs"), LINES), unique_by=lambda cell: cell[0], max_size=4)


def notebook(cells):
    parameters = Cell(id="parameters", type="code", source="lr = 0.1", tags=("parameters",))
    return FrozenNotebook(cells=(parameters, *(Cell(id=name, type="code", source=text) for name, text in cells)))


def side(change, gone):
    return [line.text for line in change.lines if line.mark != gone]


def texts(change, gone):
    """A version of a cell without the line that says how it is run."""
    return [line for line in side(change, gone) if not line.startswith("# cell: ")]


@given(CELLS, CELLS)
@settings(max_examples=60)
def test_both_versions_can_be_read_from_the_changes(before, after):
    study = Study()
    old, new = (study.bundle(notebook=notebook(cells)) for cells in (before, after))
    found = changes(new, [(old.digest(), old)])
    assert found.since == old.digest()
    by_id = {change.id: change for change in found.cells}
    assert set(by_id) == {cell.id for one in (old, new) for cell in one.notebook.cells}
    for cell in new.notebook.cells:
        earlier = next((one for one in old.notebook.cells if one.id == cell.id), None)
        change = by_id[cell.id]
        assert (change.kind == "added") == (earlier is None)
        assert change.kind != "same" or earlier == cell
        assert texts(change, "earlier") == cell.source.splitlines()
        assert texts(change, "new") == (earlier.source.splitlines() if earlier else [])
    assert {name for name, change in by_id.items() if change.kind == "removed"} == {
        cell.id for cell in old.notebook.cells
    } - {cell.id for cell in new.notebook.cells}


@given(st.permutations("pqrstu"), st.permutations("pqrstu"))
@settings(max_examples=60)
def test_cells_in_another_order_are_changed_and_as_few_as_can_be(before, after):
    """They run in their order: with nothing but that changed, the desk said that only the time of validity differs."""
    study = Study()
    old, new = (
        study.bundle(notebook=notebook([(name, f"x = {name!r}") for name in names])) for names in (before, after)
    )
    kinds = {change.id: change.kind for change in changes(new, [(old.digest(), old)]).cells}
    same = [name for name in after if kinds[name] == "same"]
    assert same == [name for name in before if kinds[name] == "same"]
    in_order = (
        some
        for count in range(6, 0, -1)
        for some in combinations(after, count)
        if list(some) == sorted(some, key=before.index)
    )
    assert len(same) == len(next(in_order))
    assert set(kinds.values()) <= {"same", "changed"}


def test_a_moved_cell_says_from_where_and_to_where():
    study = Study()
    old = study.bundle(notebook=notebook([("p", "a = 1"), ("q", "a = 2"), ("r", "b = 2")]))
    new = study.bundle(notebook=notebook([("q", "a = 2"), ("r", "b = 2"), ("p", "a = 1")]))
    (change,) = [one for one in changes(new, [(old.digest(), old)]).cells if one.kind != "same"]
    assert (change.id, change.kind) == ("p", "changed")
    assert [(line.mark, line.text) for line in change.lines] == [
        ("earlier", "# cell: number 2 in its order"), ("new", "# cell: number 4 in its order"), ("both", "a = 1"),
    ]  # fmt: skip


def test_a_source_that_feigns_a_tag_is_seen_through():
    """Approved since it never runs, then sent without the tag and with the line that says it in its source."""
    study = Study()
    skipped = Cell(id="p", type="code", source="exfiltrate()", tags=("skip-execution",))
    feigned = Cell(id="p", type="code", source="# cell: skip-execution\nexfiltrate()")
    old, new = (study.bundle(notebook=FrozenNotebook(cells=(*notebook([]).cells, cell))) for cell in (skipped, feigned))
    change = changes(new, [(old.digest(), old)]).cells[1]
    assert change.kind == "changed"
    assert side(change, "earlier") == ["# cell: code", "# cell: skip-execution", "exfiltrate()"]
    assert side(change, "new") == ["# cell: skip-execution", "exfiltrate()"]
    assert any(line.mark != "both" for line in change.lines)


def test_a_tag_is_a_change_that_is_seen():
    study = Study()
    old = study.bundle(notebook=notebook([("p", "exfiltrate()")]))
    cells = old.notebook.cells
    skipped = FrozenNotebook(cells=(cells[0], cells[1].model_copy(update={"tags": ("skip-execution",)})))
    found = changes(study.bundle(notebook=cells_of(cells)), [("0" * 64, study.bundle(notebook=skipped))])
    (change,) = [one for one in found.cells if one.id == "p"]
    assert change.kind == "changed"
    assert [line.text for line in change.lines if line.mark == "earlier"] == ["# cell: skip-execution"]


def cells_of(cells):
    return FrozenNotebook(cells=cells)


def test_the_plan_and_the_cohort_are_compared_too():
    study = Study()
    old = study.bundle()
    new = study.bundle(plan=old.plan.model_copy(update={"clip_norm": old.plan.clip_norm / 2}))
    found = changes(new, [(old.digest(), old)])
    assert [field.field for field in found.fields] == ["plan"]
    assert any("clip_norm" in line.text and line.mark == "new" for line in found.fields[0].lines)


def test_without_an_approved_relative_all_is_new():
    study = Study()
    bundle = study.bundle()
    stranger = FrozenNotebook(cells=(Cell(id="zz", type="code", source="x = 1", tags=("parameters",)),))
    found = changes(bundle, [("0" * 64, study.bundle(notebook=stranger, parameters=()))])
    assert found.since is None
    assert {change.kind for change in found.cells} == {"added"}
