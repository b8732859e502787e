"""The closed list of error classes that may leave an enclave; every other class leaves as ``Exception``.

The list is written out, not read from the running Python: two zones of different versions must mean the same.
"""

from __future__ import annotations

from typing import Final

KERNEL_DIED: Final = "KernelDied"
OUT_OF_MEMORY: Final = "OutOfMemory"
TIME_LIMIT: Final = "TimeLimit"
OUTPUT_LIMIT: Final = "OutputLimit"
SCRATCH_FULL: Final = "ScratchFull"
UNKNOWN: Final = "Exception"

ENCLAVE_CLASSES: frozenset[str] = frozenset({KERNEL_DIED, OUT_OF_MEMORY, TIME_LIMIT, OUTPUT_LIMIT, SCRATCH_FULL})
"""What an enclave says of a kernel by its own observation."""

PYTHON_CLASSES: frozenset[str] = frozenset(
    [
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "BaseException",
        "BaseExceptionGroup",
        "BlockingIOError",
        "BrokenPipeError",
        "BufferError",
        "BytesWarning",
        "ChildProcessError",
        "ConnectionAbortedError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "DeprecationWarning",
        "EOFError",
        "EncodingWarning",
        "Exception",
        "ExceptionGroup",
        "FileExistsError",
        "FileNotFoundError",
        "FloatingPointError",
        "FutureWarning",
        "GeneratorExit",
        "ImportError",
        "ImportWarning",
        "IndentationError",
        "IndexError",
        "InterruptedError",
        "IsADirectoryError",
        "KeyError",
        "KeyboardInterrupt",
        "LookupError",
        "MemoryError",
        "ModuleNotFoundError",
        "NameError",
        "NotADirectoryError",
        "NotImplementedError",
        "OSError",
        "OverflowError",
        "PendingDeprecationWarning",
        "PermissionError",
        "ProcessLookupError",
        "PythonFinalizationError",
        "RecursionError",
        "ReferenceError",
        "ResourceWarning",
        "RuntimeError",
        "RuntimeWarning",
        "StopAsyncIteration",
        "StopIteration",
        "SyntaxError",
        "SyntaxWarning",
        "SystemError",
        "SystemExit",
        "TabError",
        "TimeoutError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "UnicodeTranslateError",
        "UnicodeWarning",
        "UserWarning",
        "ValueError",
        "Warning",
        "ZeroDivisionError",
    ]
)

LIBRARY_CLASSES: frozenset[str] = frozenset(
    {
        "FlipError",  # ours: the session in the notebook
        "JSONDecodeError",  # json
        "LinAlgError",  # numpy and torch
        "OutOfMemoryError",  # torch: the accelerator's memory
    }
)

ERROR_CLASSES: frozenset[str] = ENCLAVE_CLASSES | PYTHON_CLASSES | LIBRARY_CLASSES


REFUSALS: dict[str, str] = {
    "not-finite": "its update holds NaN or infinity",
    "integer-change-too-large": "an integer tensor changed by more than allowed",
    "update-missing": "it submitted no update in a training round",
    "wrong-tensors": "its model has other tensors than the bundle",
    "undeclared-output": "it reports a number that is not declared",
    "missing-output": "its report lacks a declared number",
    "not-a-number": "it reports what is no finite number",
    "output-out-of-bounds": "it reports a number out of its declared bounds",
    "no-agreement": "it compared nothing, which the consensus needs",
    "wrong-agreement": "its agreement is no number in its range",
    "undeclared-total": "it totals arrays that are not declared",
    "wrong-total": "an array of its total is not as declared",
    "total-refused": "the sum that came back is impossible",
    "wrong-place": "it totals in another round than declared",
    "state-too-large": "its declared state is too large to be saved",
}
"""What an airlock refuses a notebook by its own check, in words: why an error of class FlipError was raised there."""


def error_class(name: object) -> str:
    """``name`` if a notebook's error may be called so outside the enclave, else ``Exception``.

    A notebook can't claim what only the enclave observes: its own class ``KernelDied`` leaves as ``Exception``.
    """
    if isinstance(name, str) and name in PYTHON_CLASSES | LIBRARY_CLASSES:
        return name
    return UNKNOWN
