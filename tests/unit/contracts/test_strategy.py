"""Which strategies there are is a contract: what is unknown is refused by name before anything is sent."""

from importlib.metadata import EntryPoint

import pytest
from flwr.serverapp import strategy as flower
from pydantic import ValidationError

from flipnb.contracts.plan import Plan
from flipnb.contracts.problem import FlipError
from flipnb.contracts.strategy import FLOWER, Strategy
from flipnb.federation import installed as installed_module
from flipnb.federation.installed import installed_strategies
from flipnb.federation.strategy_kinds import Kind, build, kind_of


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("FedAvg", {"momentum": 0.9}, "FedAvg has no parameter 'momentum'; it has none"),
        ("FedAvg", {"fraction_train": 0.5}, "no parameter 'fraction_train'"),
        ("FedProx", {"mu": 0.9}, "it has proximal_mu"),
        ("FedAdam", {"beta_1": 1.0}, r"beta_1 is a number in \[0, 1\), not 1"),
        ("FedTrimmedAvg", {"beta": 0.5}, r"\[0, 0.5\)"),
        ("Krum", {"num_malicious_nodes": 1.5}, "whole number"),
        ("FedSGD", {}, "there is no strategy 'FedSGD'; there are FedAvg"),
    ],
)
def test_what_is_unknown_is_refused_by_name(name, parameters, says):
    with pytest.raises(ValidationError, match=says):
        Strategy(name=name, parameters=parameters)


@pytest.mark.parametrize(("name", "aggregation"), [("Krum", "sum"), ("FedAvg", "individual")])
def test_a_strategy_needs_its_aggregation(name, aggregation):
    with pytest.raises(ValidationError, match=f"{name} needs aggregation"):
        Plan(rounds=1, clip_norm=1.0, strategy=Strategy(name=name), aggregation=aggregation)


@pytest.mark.parametrize("name", FLOWER)
def test_flower_takes_what_the_contract_allows(name):
    known = FLOWER[name]
    values = {n: (1 if r.whole else (r.minimum + min(r.maximum, 1.0)) / 2) for n, r in known.parameters.items()}
    chosen = Strategy(name=name, parameters=values)
    kind = kind_of(chosen, known.aggregation)
    made = build(kind, chosen)
    assert type(made) is getattr(flower, name)
    for parameter, value in values.items():
        assert getattr(made, {"server_momentum": "server_momentum"}.get(parameter, parameter)) == value
        assert isinstance(getattr(made, parameter), int) == known.parameters[parameter].whole


class Halved(flower.FedAvg):
    """A strategy that an operator installed."""

    def __init__(self, *, strength: float = 0.5, **flowers) -> None:
        super().__init__(**flowers)
        self.strength = strength


HALVED = Kind(Halved)


@pytest.fixture
def installed(monkeypatch):
    names = ("lab.Halved", "FedAvg")
    points = [EntryPoint(name, f"{__name__}:HALVED", installed_module.GROUP) for name in names]
    monkeypatch.setattr(installed_module, "entry_points", lambda group: points)


def test_an_installed_strategy_is_found_by_its_entry_point(installed):
    chosen = Strategy(name="lab.Halved", parameters={"strength": 0.25})
    assert list(installed_strategies()) == ["lab.Halved"]
    assert build(kind_of(chosen, "sum"), chosen).strength == 0.25


@pytest.mark.parametrize(
    ("chosen", "aggregation", "code"),
    [
        (Strategy(name="lab.Other"), "sum", "unknown-strategy"),
        (Strategy(name="lab.Halved"), "individual", "wrong-aggregation"),
        (Strategy(name="lab.Halved", parameters={"power": 2}), "sum", "unknown-strategy-parameter"),
    ],
)
def test_an_installed_strategy_is_refused_by_name(installed, chosen, aggregation, code):
    with pytest.raises(FlipError) as caught:
        kind_of(chosen, aggregation)
    assert caught.value.code == code
    assert chosen.name in caught.value.message
