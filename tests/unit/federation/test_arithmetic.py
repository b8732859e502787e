"""The elementwise strategies' bits are the same with and without vector units, and need neither flwr nor torch."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import flwr.app
import flwr.serverapp
import flwr.serverapp.strategy
import numpy as np
import pytest

import flipnb
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation.arithmetic import STRATEGIES
from flipnb.federation.elementwise import ElementwiseStrategy

PUBLIC = {module.__name__: module for module in (flwr.app, flwr.serverapp, flwr.serverapp.strategy)}


def digests(*, without=()):
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(without)}
    if not without:
        del environment["NPY_DISABLE_CPU_FEATURES"]
    script = Path(__file__).with_name("elementwise_digests.py")
    done = subprocess.run(
        [sys.executable, str(script), "1000"], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_thousand_rounds_have_the_same_bits_with_and_without_vector_units():
    all_units = digests()
    assert digests(without=all_units["units"]) == {"units": [], "digests": all_units["digests"]}
    made = all_units["digests"]
    assert made["FedAvg"] == made["FedProx"]
    assert len(set(made.values())) == len(made) - 1


@pytest.mark.parametrize("module", ["arithmetic", "elementwise", "encoding", "sum", "coordinator.__main__"])
def test_what_an_enclave_and_a_coordinator_compute_with_needs_neither_flwr_nor_torch(module):
    program = (
        f"import sys, flipnb.federation.{module}\n"
        "assert not {'flwr', 'torch'} & {name.partition('.')[0] for name in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_that_a_rule_is_given_is_changed(name):
    kind = STRATEGIES[name]
    old, mean = np.arange(5, dtype=np.float32), np.ones(5, np.float32)
    parameters = {**kind.parameters, **({"server_momentum": 0.5} if name == "FedAvgM" else {})}
    _, state = kind.rule(old, mean, {}, parameters, 1)
    before = {one: array.copy() for one, array in state.items()}
    _, after = kind.rule(old, mean, state, parameters, 2)
    assert old.tolist() == [0, 1, 2, 3, 4]
    assert mean.tolist() == [1] * 5
    assert all(np.array_equal(state[one], array) for one, array in before.items())
    assert after.keys() == state.keys()
    assert not any(np.array_equal(after[one], array) for one, array in before.items())


def test_a_checkpoint_has_the_names_of_flowers_attributes():
    """So that a run goes on where its hub was upgraded from the release in which Flower's classes kept the state."""
    spec = TensorSpec(tensors=tuple(Tensor(name=name, shape=(2,), dtype="float32") for name in ("b", "a/x")))
    known = {"m_t": "m_t/a/x", "v_t": "v_t/a/x", "momentum_vector": "momentum_vector#0"}
    for name, keeps in (("FedAdam", ("m_t", "v_t")), ("FedYogi", ("m_t", "v_t")), ("FedAvgM", ("momentum_vector",))):
        strategy = ElementwiseStrategy(Strategy(name=name), spec)
        strategy.restore({f"0:{known[one]}": np.full(4, 2.0, np.float32) for one in keeps})
        assert strategy.state().keys() == {f"0:{known[one]}" for one in keeps}


def sources():
    root = Path(flipnb.__file__).parent
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        if "flwr" in text:
            yield path.relative_to(root).as_posix(), ast.parse(text)


def test_of_flower_only_public_names_are_used():
    """Imports from its three public modules, of names that they declare; and no underscore of an object of its."""
    wrong, importing = [], set()
    for path, tree in sources():
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wrong += [(path, alias.name) for alias in node.names if alias.name.partition(".")[0] == "flwr"]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "flwr":
                importing.add(path)
                declared = getattr(PUBLIC.get(node.module), "__all__", ())
                wrong += [(path, f"{node.module}.{a.name}") for a in node.names if a.name not in declared]
                names |= {alias.asname or alias.name for alias in node.names}
        for made in ast.walk(tree):
            if isinstance(made, ast.Attribute) and path in importing and made.attr.startswith("_"):
                own = isinstance(made.value, ast.Name) and made.value.id in ("self", "cls")
                wrong += [] if own or made.attr.startswith("__") else [(path, made.attr)]
            if isinstance(made, ast.ClassDef):
                bases = [getattr(flwr.app, b.id, getattr(flwr.serverapp, b.id, None)) for b in made.bases
                         if isinstance(b, ast.Name) and b.id in names]  # fmt: skip
                used = {n.attr for n in ast.walk(made) if isinstance(n, ast.Attribute)}
                wrong += [(path, n) for n in used if n.startswith("_") and any(hasattr(b, n) for b in bases)]
    assert wrong == []
    assert importing == {f"federation/{one}.py" for one in ("grid", "individual", "installed_mean", "strategy_kinds")}


def test_strategies_of_flowers_classes_need_no_identity_of_its_processes(tmp_path):
    """In a process of its own, since one that has made a stock grid has that identity."""
    program = """
import numpy as np
from flwr.serverapp import strategy as flower
from flwr.app import ConfigRecord
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.federation import installed_mean
from flipnb.federation.strategies import mean_strategy
from flipnb.federation.strategy_kinds import Kind

class Halved(flower.FedAdam):
    "Tells the notebook how far it goes, and goes half as far."
    def configure_train(self, server_round, arrays, config, grid):
        config["how-far"] = 0.5 / server_round
        config["nodes"] = len(list(grid.get_node_ids()))
        return super().configure_train(server_round, arrays, config, grid)

installed_mean.kind_of = lambda chosen, aggregation: Kind(Halved, state=("m_t", "v_t"))

class Mean:
    weight = 3
    def mean_of(self, tensor, start, end):
        return np.ones(end - start) if tensor.dtype != "int64" else np.full(end - start, 4)
    def forget(self, tensor): pass

spec = TensorSpec(tensors=(Tensor(name="w", shape=(2, 3), dtype="float32"), Tensor(name="n", shape=(), dtype="int64")))
def new(): return mean_strategy(Strategy(name="lab.Halved"), spec)
strategy = new()
assert strategy.config(2, 5) == {"how_far": 0.25, "nodes": 5.0}
weights = {"w": np.zeros((2, 3), np.float32), "n": np.array(2)}
first = dict(strategy.round(1, 5, weights, Mean()))
assert first["n"] == 6 and first["w"].shape == (2, 3) and 0 < first["w"].min() <= first["w"].max() < 1
again = new()
again.restore(strategy.state())
assert sorted(strategy.state()) == ["0:m_t/w", "0:v_t/w"]
weights = {"w": first["w"].astype(np.float32), "n": first["n"]}
one, other = (dict(s.round(2, 5, weights, Mean())) for s in (strategy, again))
assert one["w"].tobytes() == other["w"].tobytes()
"""
    subprocess.run([sys.executable, "-c", program], check=True)
