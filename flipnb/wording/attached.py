"""Files that go with a notebook, in words: code is to be read, of weights their tensors are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flipnb.contracts.attached import ShownFile, module_name
from flipnb.contracts.brief import Sentence
from flipnb.contracts.desk import Changes
from flipnb.contracts.tensors import Tensor
from flipnb.wording.values import listed, many, quoted, visible

NOT_HERE = "not here any more, or not what it is called: it can't be approved"


def file_sentences(files: Sequence[ShownFile]) -> Iterator[Sentence]:
    """A line for each file, with what weights are made of as its parts."""
    for shown in files:
        name = visible(shown.file.name)
        if not shown.here:
            yield Sentence(text=f"The file {name}, {many(shown.file.size, 'byte')}: {NOT_HERE}.")
        elif shown.kind == "module":
            length = f"{many(len(shown.source.splitlines()), 'line')}, {many(shown.file.size, 'byte')}"
            told = f"code of {length}, which can be imported as {module_name(name)}; it is shown with the cells"
            yield Sentence(text=f"The module {name}: {told}.")
        else:
            numbers = sum(tensor.elements for tensor in shown.tensors)
            told = f"{many(numbers, 'number')} in {many(len(shown.tensors), 'tensor')}, {many(shown.file.size, 'byte')}"
            yield Sentence(text=f"The weights {name}: {told}; read as numbers, never run.", parts=tuple(_parts(shown)))


def file_lines(shown: ShownFile) -> list[str]:
    """A file line by line, to be read or compared: a module's source, of weights what is said of them."""
    if not shown.here:
        return [f"{NOT_HERE.capitalize()}."]
    if shown.kind == "module":
        return shown.source.splitlines()
    return [f"SHA-256 {shown.file.sha256}, {many(shown.file.size, 'byte')}", *(part.text for part in _parts(shown))]


def since_sentences(changes: Changes) -> Iterator[Sentence]:
    """Which files differ from those of the last approval; nothing where there are none."""
    for kind, word in (("added", "new"), ("changed", "changed"), ("removed", "gone")):
        names = [visible(file.name) for file in changes.files if file.kind == kind]
        if names:
            yield Sentence(text=f"{'Files' if len(names) > 1 else 'The file'} {listed(names)}: {word}.")


def tensor_words(tensor: Tensor) -> str:
    """``“conv1.weight”: 64 x 3 x 7 x 7 of float32``."""
    return f"{quoted(tensor.name)}: {' x '.join(map(str, tensor.shape)) or '1'} of {tensor.dtype}"


def _parts(shown: ShownFile) -> Iterator[Sentence]:
    for tensor in shown.tensors:
        yield Sentence(text=tensor_words(tensor))
    for name, value in shown.metadata.items():
        yield Sentence(text=f"Its metadata say {quoted(name)}: {quoted(value)}")
