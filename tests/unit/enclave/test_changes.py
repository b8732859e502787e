"""What a controller is shown as new: every line that differs, none that does not, and nothing hidden."""

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
        expected = "added" if earlier is None else "same" if earlier == cell else "changed"
        assert change.kind == expected
        if cell.id != "parameters":
            assert side(change, "earlier") == cell.source.splitlines()
            assert side(change, "new") == (earlier.source.splitlines() if earlier else [])
    assert {name for name, change in by_id.items() if change.kind == "removed"} == {
        cell.id for cell in old.notebook.cells
    } - {cell.id for cell in new.notebook.cells}


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
