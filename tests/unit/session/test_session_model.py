"""A model's tensors: names and order, tied ones once, exclusions, every dtype there and back."""

import numpy as np
import pytest
import torch

from flipnb.contracts.problem import FlipError
from flipnb.session.model import Model
from flipnb.session.weights import Weights


def names(model, **options):
    return [tensor.name for tensor in Model(model, **options).spec.tensors]


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_tensors_are_those_of_the_state_dict_in_its_order():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    assert names(module) == list(module.state_dict())
    spec = {tensor.name: tensor for tensor in Model(module).spec.tensors}
    assert spec["0.weight"].shape == (2, 3)
    assert spec["0.weight"].dtype == "float32"
    assert spec["1.num_batches_tracked"].dtype == "int64"
    assert spec["1.num_batches_tracked"].shape == ()


def test_tied_tensors_travel_once():
    assert names(Tied()) == ["embed.weight"]


def test_tensors_of_equal_value_are_not_tied():
    assert names(torch.nn.ModuleList([torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)])) == [
        "0.weight",
        "1.weight",
    ]


def test_excluded_tensors_stay_local():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    assert names(module, exclude=r"^1\.") == ["0.weight", "0.bias"]
    assert names(module, exclude=["running_", "num_batches"]) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_two_models_and_arrays_by_name():
    assert names({"a": torch.nn.Linear(1, 1), "b": torch.nn.Linear(1, 1, bias=False)}) == [
        "a.weight",
        "a.bias",
        "b.weight",
    ]
    assert names({"w": np.zeros((2, 2)), "b": np.zeros(2, np.float32)}) == ["w", "b"]


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ([1, 2], "not-a-model"),
        ({}, "no-tensors"),
        ({"z": np.zeros(2, np.complex64)}, "unsupported-dtype"),
        ({"s": np.array(["a"])}, "unsupported-dtype"),
    ],
)
def test_what_is_no_model_is_refused_by_name(model, code):
    with pytest.raises(FlipError) as caught:
        Model(model)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
def test_weights_of_every_dtype_survive_a_file(dtype):
    module = torch.nn.Module()
    values = torch.tensor([[0.0, 1.0], [1.0, 3.0]]).to(dtype)
    module.register_buffer("t", values.clone())
    saved = Model(module).dump()
    module.t.zero_()
    Model(module).load(Weights(saved))
    assert module.t.dtype == dtype
    assert torch.equal(module.t, values)


def test_loading_changes_the_model_in_place():
    module = torch.nn.Linear(2, 1)
    weight, saved = module.weight, Model(module).dump()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    with torch.no_grad():
        module.weight.add_(1)
    Model(module).load(Weights(saved))
    assert module.weight is weight
    assert optimiser.param_groups[0]["params"][0] is weight


def test_arrays_are_loaded_in_place():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = Model({"w": array})
    saved = model.dump()
    array[:] = 0
    model.load(Weights(saved))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
