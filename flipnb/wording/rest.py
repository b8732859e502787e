"""Words for what nobody has written words for yet, so that nothing of a document is left out."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator

from flipnb.contracts.brief import Sentence
from flipnb.contracts.document import Document
from flipnb.wording.values import visible


def rest(document: Document, known: Container[str]) -> Iterator[Sentence]:
    """Every field of ``document`` that is not ``known`` and not at its default, by name and value."""
    for name, field in type(document).model_fields.items():
        value = getattr(document, name)
        if name not in known and value != field.get_default(call_default_factory=True, validated_data={}):
            told = json.dumps(document.model_dump(mode="json")[name], ensure_ascii=False, sort_keys=True)
            yield Sentence(text=f"{name.replace('_', ' ')}: {visible(told)}")
