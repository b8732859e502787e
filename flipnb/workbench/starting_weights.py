"""Weights to start from that are not a rehearsal's: those of another run, or of any blob that one may read."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from flipnb.contracts.document import Digest
from flipnb.contracts.problem import FlipError
from flipnb.contracts.record import RunRecord
from flipnb.contracts.tensors import DTYPES, TensorSpec
from flipnb.workbench.home import Home
from flipnb.workbench.hub_client import HubClient


def fetch_start(home: Home, start_from: str, tensors: TensorSpec, directory: Path) -> Path:
    """The file of the weights named by ``start_from``: a run's id (its final weights), or a SHA-256.

    The hub gives out only what this researcher may read. Raises FlipError ``not-finished`` for a run without final
    weights, ``wrong-weights`` where they are not those of a model with ``tensors``.
    """
    with HubClient.of(home) as hub:
        digest = _digest(hub, start_from)
        path = directory / f"start-{digest[:16]}.safetensors"
        hub.save_blob(digest, path)
    require_fit(path, tensors, f"The weights of {start_from[:12]}…")
    return path


def find_start(home: Home, start_from: str) -> Digest:
    """The SHA-256 of the weights named by ``start_from``, as in ``fetch_start``. Raises FlipError ``not-finished``."""
    with HubClient.of(home) as hub:
        return _digest(hub, start_from)


def _digest(hub: HubClient, start_from: str) -> Digest:
    if len(start_from) != 32:
        return start_from
    record = RunRecord.model_validate_json(hub.get(f"/v1/runs/{start_from}/record"))
    if record.final_weights is None:
        raise FlipError("not-finished", f"Run {start_from} is {record.state} and has no final weights.", status=409)
    return record.final_weights


def require_fit(path: Path, tensors: TensorSpec, what: str) -> None:
    """Raise FlipError ``wrong-weights`` that names the first tensor that does not fit."""
    wanted = {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors.tensors}
    try:
        with safe_open(path, framework="numpy") as file:
            found = {}
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                entry = file.get_slice(name)
                found[name] = (tuple(entry.get_shape()), DTYPES.get(entry.get_dtype()))
    except (SafetensorError, OSError) as error:
        raise FlipError("wrong-weights", f"{what} are no safetensors file: {error}.") from None
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            has = f"{found[name][1]} {list(found[name][0])}" if name in found else "no such tensor"
            needs = f"{wanted[name][1]} {list(wanted[name][0])}" if name in wanted else "no such tensor"
            raise FlipError(
                "wrong-weights",
                f"{what} do not fit the rehearsed model: {name!r} is {has}, the model has {needs}.",
                remedy="Start from the weights of a run of the same model.",
            )
