"""Whether each point that is to be sent has the model that was rehearsed: its tensors' names, shapes and types.

A parameter may change the model, which would fail at every Trust: the notebook is run on the twin at each point, as a
rehearsal runs it, until it hands its model to ``flip.rounds``. What was found is kept, by notebook, plan and point.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flipnb.contracts.attached import AttachedFile, require_name
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.notebook import FrozenNotebook
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.problem import FlipError, Problem
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.files.whole import write
from flipnb.workbench.attached import FOLDER
from flipnb.workbench.bundles_plan import plan_of_bundle, plan_text
from flipnb.workbench.local_channel import SHAPES
from flipnb.workbench.rehearsal import TWIN, make_twin, plan_digest
from flipnb.workbench.shape_run import ORDER, PROBLEM

Point = Mapping[str, Scalar]
Heard = Callable[[int, int], None]
"""Hears how many points are checked, and of how many."""

_AT_ONCE = 4
_MOST_KEPT = 2000
_writing = threading.Lock()


@dataclass(frozen=True)
class Subject:
    """A notebook whose points are checked against ``tensors``; at the point ``rehearsed`` it is known to have them.

    ``plan_file`` is its plan, ``files`` the folder of what goes with it, by the digests ``attached``; ``kept`` the file
    in which results stay.
    """

    notebook: FrozenNotebook
    plan_file: Path
    files: Path
    attached: tuple[AttachedFile, ...]
    tensors: TensorSpec
    rehearsed: Point | None
    kept: Path
    _keys: dict[str, str] = field(default_factory=dict, repr=False)

    def key(self, point: Point) -> str:
        """What a result is kept by: digests of notebook, what it sees of its plan, its files, and the point."""
        if not self._keys:
            self._keys.update(notebook=self.notebook.digest(), plan=plan_digest(self.plan_file))
        files = [[file.name, file.sha256] for file in self.attached]
        return sha256(canonical_bytes([self._keys["notebook"], self._keys["plan"], dict(point), *files]))


@contextmanager
def subject_of(bundle: Bundle, kept: Path, save: Callable[[str, Path], None]) -> Iterator[Subject]:
    """The notebook of a bundle that this researcher signed, while the block runs; in a folder of its own.

    ``save`` brings a blob by its digest into a file, for those that go with it.
    """
    with tempfile.TemporaryDirectory(prefix="flip-bundle-") as folder:
        plan, files = Path(folder) / "bundle.flip.json", Path(folder) / FOLDER
        plan.write_text(plan_text(plan_of_bundle(bundle, "cohort.json")))
        files.mkdir()
        for one in bundle.files:
            require_name(one.name)
            save(one.sha256, files / one.name)
        yield Subject(bundle.notebook, plan, files, bundle.files, bundle.tensors, None, kept)


def unchecked(subject: Subject, points: Sequence[Point]) -> list[Point]:
    """Those of which nothing is known yet, each once."""
    known = _kept(subject.kept)
    found = {subject.key(point): point for point in points if point != subject.rehearsed}
    return [point for key, point in found.items() if key not in known]


def check(
    subject: Subject, points: Sequence[Point], heard: Heard = lambda done, of: None, *, most: int | None = None
) -> None:
    """Run those of the points that are ``unchecked`` (``most`` of them), some at a time, and keep what was found.

    Interrupted, or at the first that fails, it ends what runs. Raises FlipError ``point-fails``: which point, and
    where in the notebook.
    """
    if subject.rehearsed is not None:
        _keep(subject, subject.rehearsed, {"digest": subject.tensors.digest()})
    todo = unchecked(subject, points)[:most]
    if not todo:
        return
    heard(0, len(todo))
    with tempfile.TemporaryDirectory(prefix="flip-shapes-") as work:
        place = Path(work)
        make_twin(subject.plan_file, place / TWIN)
        for done, number in enumerate(_ran(subject, todo, place), 1):
            _keep(subject, todo[number], _found(subject, todo[number], place / str(number)))
            heard(done, len(todo))


def require_same(subject: Subject, points: Sequence[Point]) -> None:
    """Raise FlipError ``other-shape`` that names the parameters and the first tensor, where a point has another
    model."""
    known = _kept(subject.kept)
    changed = {key: found for key in map(subject.key, points) if (found := known.get(key)) is not None}
    digest = subject.tensors.digest()
    each = {subject.key(point): point for point in points}
    others = [point for key, point in each.items() if key in changed and changed[key]["digest"] != digest]
    if not others:
        return
    same = [point for point in points if point not in others]
    first = others[0]
    spec = TensorSpec.model_validate({"tensors": changed[subject.key(first)]["tensors"]})
    more = {1: "", 2: " So does 1 other point."}.get(len(others), f" So do {len(others) - 1} other points.")
    raise FlipError(
        "other-shape",
        f"{_named(first, subject.rehearsed, same)} changes the model's shape: "
        f"{_difference(subject.tensors, spec)}.{more}",
        remedy="Rehearse it, or leave it out.",
        status=409,
    )


def _named(point: Point, rehearsed: Point | None, same: Sequence[Point]) -> str:
    """The values of a point that may be why: not those that a point with the rehearsed model has, too."""
    fine = [*same, *([rehearsed] if rehearsed is not None else [])]
    telling = {n: value for n, value in point.items() if all(p.get(n) != value for p in fine)}
    shown = telling or {n: v for n, v in point.items() if rehearsed is None or rehearsed.get(n) != v} or dict(point)
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def _difference(rehearsed: TensorSpec, found: TensorSpec) -> str:
    before = {tensor.name: tensor for tensor in rehearsed.tensors}
    after = {tensor.name: tensor for tensor in found.tensors}
    for name in [*after, *before]:
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            return f"{name} is {'new' if was is None else 'gone'}"
        if was != now:
            return f"{name} is {_shape(now, was)}, rehearsed {_shape(was, now)}"
    return "its tensors are in another order"


def _shape(tensor: Tensor, other: Tensor) -> str:
    return f"{list(tensor.shape)}" if tensor.dtype == other.dtype else f"{tensor.dtype} {list(tensor.shape)}"


def _ran(subject: Subject, points: Sequence[Point], place: Path) -> Iterator[int]:
    """The numbers of the points as they have run, in a process of their own that ends with this iterator."""
    order: dict[str, Any] = {"notebook": subject.notebook.model_dump(mode="json"), "points": [dict(p) for p in points]}
    order |= {"plan": str(subject.plan_file.absolute()), "files": str(subject.files.absolute())}
    order["at_once"] = min(_AT_ONCE, os.cpu_count() or 1)
    (place / ORDER).write_text(json.dumps(order))
    process = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "flipnb.workbench.shape_run",
            str(place),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    left = set(range(len(points)))
    try:
        for line in process.stdout:
            left.remove(number := int(line))
            yield number
        yield from sorted(left)  # it was killed: those have found nothing
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its copies with it; a kernel ends where its parent is gone
        process.wait()
        process.stdout.close()


def _found(subject: Subject, point: Point, place: Path) -> dict[str, Any]:
    """What running a point left in ``place``. Raises FlipError ``point-fails``."""
    if (place / SHAPES).exists():
        spec = TensorSpec.model_validate_json((place / SHAPES).read_bytes())
        return {"digest": spec.digest(), "tensors": spec.model_dump(mode="json")["tensors"]}
    said = "it ended before it handed its model to flip.rounds."
    if (place / PROBLEM).exists():
        said = Problem.model_validate_json((place / PROBLEM).read_bytes()).message
    fixed = subject.rehearsed or {}
    values = ", ".join(f"{name}={value}" for name, value in point.items() if fixed.get(name) != value)
    raise FlipError(
        "point-fails", f"{values} fails on the twin: {said}", remedy="Mend it, or leave it out.", status=409
    )


def _kept(file: Path) -> dict[str, dict[str, Any]]:
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep(subject: Subject, point: Point, found: dict[str, Any]) -> None:
    """Of what has the model that was rehearsed its digest is enough."""
    if found["digest"] == subject.tensors.digest():
        found = {"digest": found["digest"]}
    with _writing:
        known = _kept(subject.kept)
        if known.get(subject.key(point)) != found:
            last = dict(list(known.items())[-_MOST_KEPT:])
            write(subject.kept, json.dumps(last | {subject.key(point): found}).encode())
