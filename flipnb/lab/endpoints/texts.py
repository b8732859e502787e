"""Plan files and cohorts as texts: what is wrong where, and the schema by which an editor completes them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from flipnb.contracts.document import Document
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench.schemas import Kind, find_text_issues, published


class TextToCheck(Document):
    """A file's text as it stands in the editor, saved or not."""

    kind: Kind
    text: str = Field(max_length=8 << 20)


class TextFault(Document):
    """``start`` and ``end`` count characters from 0, ``line`` from 1."""

    start: int
    end: int
    line: int
    message: str


class TextFaults(Document):
    """What is wrong with a text; nothing where nothing is."""

    faults: tuple[TextFault, ...]


class PublishedSchema(Document):
    """``content`` is a JSON Schema (2020-12)."""

    content: dict[str, Any]


@endpoint("POST", "texts/checks", "notebooks")
def check_text(bench: Bench, body: TextToCheck) -> TextFaults:
    """Look over the text of a plan file or a cohort, as reading the file would."""
    return TextFaults(
        faults=tuple(
            TextFault(start=found.start, end=found.end, line=found.line, message=found.message)
            for found in find_text_issues(body.kind, body.text)
        )
    )


@endpoint("GET", "texts/schemas/{kind}", "notebooks")
def view_schema(bench: Bench, kind: Kind) -> PublishedSchema:
    """The published JSON Schema of plan files or of cohorts."""
    return PublishedSchema(content=json.loads(published(kind).read_text()))
