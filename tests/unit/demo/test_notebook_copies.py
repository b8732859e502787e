"""The copies of the notebooks that `make lab` opens: edited ones stay, new ones come, the checkout is left alone."""

import pytest

from flipnb.contracts.problem import FlipError
from flipnb.demo.notebook_copies import copy_notebooks


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "a.ipynb").write_text("first")
    (folder / "a.flip.json").write_text("plan")
    (folder / "notes.txt").write_text("not shipped")
    return folder


def test_what_is_shipped_is_copied_once(source, tmp_path):
    copied = copy_notebooks(source, tmp_path / "copies")
    assert copied.new == ("a.flip.json", "a.ipynb")
    assert (copied.folder / "a.ipynb").read_text() == "first"
    assert not (copied.folder / "notes.txt").exists()
    again = copy_notebooks(source, tmp_path / "copies")
    assert (again.new, again.renewed, again.kept) == ((), (), ())
    assert again.describe().endswith("all as they were.")


def test_an_edited_copy_is_kept_and_one_as_it_was_made_follows_the_checkout(source, tmp_path):
    copies = copy_notebooks(source, tmp_path / "copies").folder
    (copies / "a.ipynb").write_text("mine")
    (source / "a.ipynb").write_text("second")
    (source / "a.flip.json").write_text("new plan")
    (source / "b.ipynb").write_text("new")
    copied = copy_notebooks(source, copies)
    assert (copied.new, copied.renewed, copied.kept) == (("b.ipynb",), ("a.flip.json",), ("a.ipynb",))
    assert (copies / "a.ipynb").read_text() == "mine"
    assert (copies / "a.flip.json").read_text() == "new plan"
    assert "kept as you edited them (a.ipynb)" in copied.describe()
    assert copy_notebooks(source, copies).kept == ("a.ipynb",), "it stays an edited one"
    assert (source / "a.ipynb").read_text() == "second"


def test_a_deleted_copy_comes_back_and_without_a_record_what_differs_counts_as_edited(source, tmp_path):
    copies = copy_notebooks(source, tmp_path / "copies").folder
    (copies / "a.ipynb").unlink()
    assert copy_notebooks(source, copies).new == ("a.ipynb",)
    (copies / ".flip" / "copied.json").write_text("broken")
    (source / "a.ipynb").write_text("second")
    assert copy_notebooks(source, copies).kept == ("a.ipynb",)


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(FlipError, match="no notebooks"):
        copy_notebooks(tmp_path, tmp_path / "copies")
