"""From a file to the cells that are approved: nothing hidden, the same digest each time."""

import json

import pytest
from workbench_samples import NOTEBOOKS, PARAMETERS, ROUNDS, cell, parameters

from flipnb.contracts.problem import FlipError
from flipnb.workbench.freezing import freeze_notebook


def code_of(path):
    with pytest.raises(FlipError) as caught:
        freeze_notebook(path)
    return caught.value.code


def test_only_id_type_source_and_known_tags_are_kept(write):
    path = write(
        cell("# Title", kind="markdown"),
        parameters(),
        cell(ROUNDS, "skip-execution", "my-tag", "raises-exception"),
        cell("   \n"),
    )
    frozen = freeze_notebook(path)
    assert [(c.type, c.tags) for c in frozen.cells] == [
        ("markdown", ()),
        ("code", ("parameters",)),
        ("code", ("skip-execution",)),
    ]
    assert frozen.cells[1].source == PARAMETERS


def test_outputs_and_metadata_do_not_change_the_digest(write):
    path = write(parameters(), cell(ROUNDS))
    before = freeze_notebook(path).digest()
    content = json.loads(path.read_text())
    content["metadata"] = {"kernelspec": {"name": "other", "display_name": "Other"}}
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "a patient"}]
    content["cells"][1]["execution_count"] = 7
    content["cells"][1]["source"] = content["cells"][1]["source"].splitlines(keepends=True)
    path.write_text(json.dumps(content))
    assert freeze_notebook(path).digest() == before
    content["cells"][1]["source"].append("1")
    path.write_text(json.dumps(content))
    assert freeze_notebook(path).digest() != before


def test_a_notebook_without_ids_has_the_same_digest_each_time(write):
    body = cell(ROUNDS)
    del body["id"]
    path = write(parameters(), body)
    assert freeze_notebook(path).digest() == freeze_notebook(path).digest()


def test_what_is_wrong_is_named(write, tmp_path):
    assert code_of(tmp_path / "none.ipynb") == "no-notebook"
    assert code_of(write(cell(ROUNDS))) == "no-parameters-cell"
    assert code_of(write(parameters(), cell("x = 1", "parameters"))) == "no-parameters-cell"
    assert code_of(write(cell("text", "parameters", kind="markdown"))) == "invalid-document"
    picture = {"attachments": {"a.png": {"image/png": "AAAA"}}}
    assert code_of(write(parameters(), cell("![](attachment:a.png)", kind="markdown", **picture))) == "attachment"
    assert code_of(write(parameters(), parameters("b = 1") | {"id": parameters()["id"]})) == "no-parameters-cell"
    twice = cell("1")
    assert code_of(write(parameters(), twice, twice | {"source": "2"})) == "invalid-document"


@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\x1b", "\u2066", "\ufeff", "\u00ad", "\x07", "\r"])
def test_characters_that_hide_code_are_refused_with_cell_and_line(write, character):
    path = write(parameters(), cell(f"a = 1\nb = 2  # {character}"))
    with pytest.raises(FlipError) as caught:
        freeze_notebook(path)
    assert caught.value.code in ("invisible-character", "invalid-document")
    assert "Cell 2, line 2" in str(caught.value) or "\r" in character


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "not json",
        '{"nbformat": 3, "cells": []}',
        '{"nbformat": 4, "cells": 3}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code", "source": [1]}]}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "x", "source": ""}]}',
        '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "metadata": 3}]}',
        '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "metadata": {"tags": 3}}]}',
        '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "metadata": {"tags": [[]]}}]}',
        '{"nbformat": 4, "cells": [{"cell_type": ["code"], "source": "a"}]}',
        '{"nbformat": 4, "nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
    ],
)
def test_what_is_no_notebook_is_a_clear_error(tmp_path, content):
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    assert code_of(path) in ("bad-notebook", "not-json", "duplicate-key", "no-parameters-cell")


@pytest.mark.parametrize("plan", sorted(NOTEBOOKS.glob("*.flip.json")), ids=lambda plan: plan.name)
def test_every_notebook_with_a_plan_can_be_frozen(plan):
    freeze_notebook(plan.with_name(plan.name.replace(".flip.json", ".ipynb")))
