"""Files beside a notebook that go with its bundle: modules and weights, and what each of them may be.

What a data controller reads must be what runs, so a module is text without a character that can't be seen, in the one
encoding in which it is shown. Weights are numbers in the safetensors format, of which the header alone is read here, as
bounded JSON: nothing is run, and nothing is unpickled.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Sequence
from typing import IO, Any, Literal

from pydantic import Field, ValidationError

from flipnb.contracts.document import Digest, Document, load_json, require_few_values
from flipnb.contracts.problem import FlipError
from flipnb.contracts.tensors import DTYPES, STORED, Tensor
from flipnb.contracts.text import Line, refused_character, require_visible

FileKind = Literal["module", "weights"]

MOST_FILES = 100
MOST_CODE_BYTES = 256 << 10
"""Of one module: a data controller reads all of it."""
MOST_CODE_LINES = 10_000
MOST_CODE_IN_ALL = 1 << 20
"""Of a bundle's modules together."""
MOST_TENSORS = 5_000
MOST_HEADER_BYTES = 2 << 20
"""Of a safetensors header: 5,000 tensors with names of 300 letters."""
FILE_NAME = r"^([A-Za-z_][A-Za-z0-9_]{0,95}\.py|[A-Za-z0-9_][A-Za-z0-9_.-]{0,87}\.safetensors)$"
"""As JSON Schema's ``pattern``: no folder, and no other kind."""

_OWN = "flipnb"
_ENCODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_UTF8 = frozenset({"utf-8", "utf8"})
_METADATA = "__metadata__"


class AttachedFile(Document):
    """A file beside the notebook, by digest; it lies read-only under ``/bundle/NAME`` in the kernel."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
    sha256: Digest
    size: int = Field(ge=0, le=1 << 30)

    @property
    def kind(self) -> FileKind:
        """Raises FlipError ``wrong-kind``."""
        return kind_of(self.name)


class ShownFile(Document):
    """A file as people are shown it: of a module its ``source`` whole, of weights their tensors and their metadata.

    ``here`` is False where an enclave does not have its bytes any more; there is nothing to show then.
    """

    file: AttachedFile
    kind: FileKind
    here: bool = True
    source: str = ""
    tensors: tuple[Tensor, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)


class WeightsHeader(Document):
    """What a safetensors file says of itself: its tensors in the order of their bytes, and texts by name."""

    tensors: tuple[Tensor, ...]
    metadata: dict[Line, Line] = Field(max_length=1000)


def not_here(file: AttachedFile) -> ShownFile:
    """A file of which there is nothing to show."""
    return ShownFile(file=file, kind="module" if file.name.endswith(".py") else "weights", here=False)


def kind_of(name: str) -> FileKind:
    """What a file is by its name. Raises FlipError ``wrong-kind``."""
    if re.fullmatch(FILE_NAME, name):
        return "module" if name.endswith(".py") else "weights"
    raise FlipError(
        "wrong-kind",
        f"{name[:120]!r} can't go with a notebook; modules (NAME.py) and weights (NAME.safetensors) beside it can.",
        remedy="Write code as a module, and keep weights with safetensors; no archive, compiled code or pickle goes.",
        status=422,
    )


def module_name(file: str) -> str:
    """By what a module is imported: ``model`` of ``model.py``."""
    return file.removesuffix(".py")


def require_files(files: Sequence[AttachedFile]) -> None:
    """Whether these may go with one bundle, by names and sizes alone.

    Raises FlipError ``wrong-kind``, ``name-clash`` (with Python's own modules, with FLIP, with each other),
    ``file-too-large`` (a module, or all of them).
    """
    for file in files:
        require_name(file.name)
        if file.kind == "module" and file.size > MOST_CODE_BYTES:
            raise _too_large(file.name, f"{file.size:,} bytes; a module has at most {MOST_CODE_BYTES:,}")
    names = [file.name.casefold() for file in files]
    twice = next((file.name for file, name in zip(files, names, strict=True) if names.count(name) > 1), None)
    if twice is not None:
        raise FlipError("name-clash", f"Two files are called {twice}, but for capital letters.", status=422)
    code = sum(file.size for file in files if file.kind == "module")
    if code > MOST_CODE_IN_ALL:
        raise _too_large("The modules", f"{code:,} bytes together; at most {MOST_CODE_IN_ALL:,} can be read")


def require_name(name: str) -> None:
    """Whether a file may be called so. Raises FlipError ``wrong-kind``, ``name-clash``."""
    if kind_of(name) == "weights":
        return
    module = module_name(name)
    if module in sys.stdlib_module_names or module == _OWN or keyword.iskeyword(module) or module.startswith("__"):
        whose = "FLIP" if module == _OWN else "Python"
        raise FlipError(
            "name-clash",
            f"{name} has the name of something of {whose}'s own, which is what `import {module}` means everywhere.",
            remedy="Give the module another name.",
            status=422,
        )


def require_code(content: bytes, name: str) -> str:
    """A module's source: what is shown is what Python reads.

    Raises FlipError ``file-too-large``, ``not-text``, ``invisible-character``, ``wrong-encoding``.
    """
    if len(content) > MOST_CODE_BYTES:
        raise _too_large(name, f"{len(content):,} bytes; a module has at most {MOST_CODE_BYTES:,}")
    try:
        source = content.decode()
    except UnicodeDecodeError as error:
        raise FlipError(
            "not-text", f"{name} is no UTF-8 text, at byte {error.start}.", remedy="Save it as UTF-8.", status=422
        ) from None
    if "\r" in source:
        raise FlipError(
            "invisible-character",
            f"{name} has a carriage return.",
            remedy="Save it with lines that end in a line feed alone.",
            status=422,
        )
    require_visible(source, name)
    lines = source.split("\n")
    if len(lines) > MOST_CODE_LINES:
        raise _too_large(name, f"{len(lines):,} lines; a module has at most {MOST_CODE_LINES:,}")
    for line in lines[:2]:  # PEP 263: Python reads the rest in what these say, and there are encodings that hide code
        said = _ENCODING.match(line)
        if said is not None and said[1].lower().replace("_", "-") not in _UTF8:
            raise FlipError(
                "wrong-encoding",
                f"{name} says that it is written in {said[1][:40]!r}: Python would read other code than is shown.",
                remedy="Save it as UTF-8, without a line that names an encoding.",
                status=422,
            )
    return source


def read_header(file: IO[bytes], size: int, name: str) -> WeightsHeader:
    """The header of a safetensors file of ``size`` bytes, which ``file`` is at the beginning of.

    The format: 8 bytes of the header's length (little-endian), a JSON object of name → dtype, shape and data_offsets,
    then the bytes, without a gap (https://github.com/huggingface/safetensors#format). Raises FlipError
    ``bad-weights``, which says what is wrong with it.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _bad(name, "its header is longer than the file")
    if length > MOST_HEADER_BYTES:
        raise _bad(name, f"its header has {length:,} bytes; at most {MOST_HEADER_BYTES:,} are read")
    content = file.read(length)
    if len(content) != length or content[:1] != b"{":
        raise _bad(name, "its header is no JSON object")
    try:
        require_few_values(content, name)
        header = load_json(content, name)
    except FlipError as error:
        raise _bad(name, f"its header can't be read ({error.code})") from None
    metadata = header.pop(_METADATA, {})
    if len(header) > MOST_TENSORS:
        raise _bad(name, f"it has {len(header):,} tensors; at most {MOST_TENSORS:,} can be shown")
    spans = sorted((_span(name, told, entry) for told, entry in header.items()), key=lambda span: span[:2])
    end = 0
    for begin, until, _ in spans:
        if begin != end:
            raise _bad(name, f"its bytes have a gap, or are used twice, at {end:,}")
        end = until
    if end != size - 8 - length:
        raise _bad(name, f"its tensors have {end:,} bytes, and {size - 8 - length:,} follow the header")
    try:
        return WeightsHeader(tensors=tuple(tensor for *_, tensor in spans), metadata=metadata)
    except ValidationError:
        raise _bad(name, "its metadata are no short texts that can be seen") from None


def _span(name: str, told: str, entry: Any) -> tuple[int, int, Tensor]:
    """Where a tensor lies within the bytes, and what it is."""
    shown = told[:60] if refused_character(told, multiline=False) is None else "whose name can't be shown"
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(one) is int and one >= 0 for one in offsets)):
        raise _bad(name, f"the tensor {shown} does not say where it lies")
    if set(entry) != {"dtype", "shape", "data_offsets"} or not isinstance(entry["dtype"], str):
        raise _bad(name, f"the tensor {shown} says something other than dtype, shape and place")
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise _bad(name, f"the tensor {shown} has the dtype {entry['dtype'][:12]!r}, which FLIP does not have")
    try:
        tensor = Tensor.model_validate({"name": told, "shape": entry["shape"], "dtype": dtype})
    except ValidationError:
        raise _bad(name, f"the tensor {shown} has no name or shape that can be shown") from None
    if offsets[1] - offsets[0] != tensor.elements * STORED[dtype].item_bytes:
        raise _bad(name, f"the tensor {shown} has other bytes than its shape needs")
    return offsets[0], offsets[1], tensor


def _bad(name: str, why: str) -> FlipError:
    return FlipError(
        "bad-weights",
        f"{name} is no safetensors file that can be checked: {why}.",
        remedy="Save it anew with safetensors.torch.save_file.",
        status=422,
    )


def _too_large(what: str, why: str) -> FlipError:
    return FlipError("file-too-large", f"{what} {'have' if what == 'The modules' else 'has'} {why}.", status=422)
