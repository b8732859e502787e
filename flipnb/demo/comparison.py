"""The federated model against pooled training and against each hospital alone, on the demo's own copy of the data.

The demo harmonises and freezes the extracts a second time, outside every enclave, with the same split. No enclave is
asked for anything that its policy would not let out.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flipnb.contracts.bundle import Bundle
from flipnb.demo.hospitals import HOSPITALS
from flipnb.demo.reference import CODED, Examples, Weights, descend, examples
from flipnb.estate import freeze, load
from flipnb.records import Records

_FEMALE = 8532


@dataclass(frozen=True)
class Hospital:
    """One hospital's own examples."""

    train: Examples
    test: Examples


def own_copy(bundle: Bundle, directory: Path) -> dict[str, Hospital]:
    """Each hospital's examples in the bundle's split, from its extract."""
    copies: dict[str, Hospital] = {}
    for hospital in HOSPITALS:
        estate = directory / hospital.name
        version = load(hospital.extract, hospital.mapping, estate).version
        frozen = estate / f"seed-{bundle.split.seed}"
        shutil.rmtree(frozen, ignore_errors=True)
        freeze(estate, version, bundle.cohort_expression, bundle.dataset, bundle.split, b"\0" * 32, frozen)
        records = Records(frozen)
        codes = {v.name: tuple(c.concept_id for c in v.categories) for v in bundle.dataset.variables if v.categories}
        named = {name: codes[name] for name in CODED}
        train, test = (
            examples(part.frame(), named, _FEMALE, codes["fbs"][1]) for part in (records.train, records.test)
        )
        copies[hospital.name] = Hospital(train, test)
    return copies


def zeros(copies: dict[str, Hospital]) -> Weights:
    """The notebook's initial weights."""
    return Weights(np.zeros(next(iter(copies.values())).train.x.shape[1]), 0.0)


def pooled_path(copies: dict[str, Hospital], *, rounds: int, lr: float, l2: float) -> list[Weights]:
    """Pooled gradient descent, one full-batch step a round: the weights before round 1, 2, … and after the last."""
    pooled = Examples.join([copy.train for copy in copies.values()])
    path = [zeros(copies)]
    for _ in range(rounds):
        path.append(descend(pooled, path[-1], steps=1, lr=lr, l2=l2))
    return path


def weights_of(file: Path) -> Weights:
    """The notebook's model out of a safetensors file, as float64."""
    from safetensors.numpy import load_file

    tensors = load_file(file)
    return Weights(tensors["weight"].reshape(-1).astype(np.float64), float(tensors["bias"].reshape(-1)[0]))


def compare(copies: dict[str, Hospital], federated: Weights, *, steps: int, lr: float, l2: float) -> dict[str, object]:
    """``trusts`` and ``pooled_test`` of result.json; pooled and alone take as many gradient steps as the federation."""
    pooled = descend(Examples.join([copy.train for copy in copies.values()]), zeros(copies), steps=steps, lr=lr, l2=l2)
    everyone = Examples.join([copy.test for copy in copies.values()])
    trusts = {}
    for name, copy in copies.items():
        alone = descend(copy.train, zeros(copies), steps=steps, lr=lr, l2=l2)
        trusts[name] = {
            "train_n": len(copy.train.y),
            "test_n": len(copy.test.y),
            "accuracy_federated": round(copy.test.accuracy(federated), 4),
            "accuracy_pooled": round(copy.test.accuracy(pooled), 4),
            "accuracy_alone": round(copy.test.accuracy(alone), 4),
        }
    reached, possible = everyone.accuracy(federated), everyone.accuracy(pooled)
    return {
        "trusts": trusts,
        "pooled_test": {
            "federated": round(reached, 4),
            "pooled": round(possible, 4),
            "ratio": round(reached / possible, 4),
        },
    }
