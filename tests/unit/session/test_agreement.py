"""What the notebook compares: classes by share, numbers by Lin's coefficient, each at the right weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_session_rounds import LOSS, Peer, add, linear

from flipnb.contracts.broker import Welcome
from flipnb.contracts.consensus import Consensus
from flipnb.contracts.problem import FlipError
from flipnb.session.agreement import compare
from flipnb.session.rounds import Rounds
from flipnb.workbench.local_channel import LocalChannel


def lin(x, y):
    """Lin's coefficient by its other definition: correlation times bias correction."""
    scale, shift = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    return np.corrcoef(x, y)[0, 1] * 2 / (scale + 1 / scale + shift**2)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), people=st.integers(3, 50), shift=st.floats(-5, 5), scale=st.floats(0.1, 5))
def test_concordance_is_lins(seed, people, shift, scale):
    random = np.random.default_rng(seed)
    x = random.normal(size=people)
    y = scale * x + shift + random.normal(size=people)
    assert compare("concordance", x, y) == pytest.approx(lin(x, y), abs=1e-9)
    assert compare("concordance", x, x) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        (np.array([1, 2, 3, 3]), np.array([1, 2, 3, 0]), 0.75),
        (torch.tensor([True, False]), [1, 0], 1.0),
        (np.array(["a", "b"]), np.array(["b", "b"]), 0.5),
        (torch.tensor([[1.0], [0.0]]), torch.tensor([1.0, 0.0], dtype=torch.bfloat16), 1.0),
        ([], [], None),
    ],
)
def test_agreement_is_the_share_of_equal_classes(first, second, share):
    assert compare("agreement", first, second) == share


@pytest.mark.parametrize(
    ("measure", "first", "second", "says"),
    [
        ("agreement", [1, 2], [1], "2 and about 1 people"),
        ("agreement", [0.3, 0.7], [0.0, 1.0], "numbers with fractions"),
        ("agreement", np.zeros((2, 3)), np.zeros((2, 3)), r"shape \(2, 3\)"),
        ("concordance", ["a"], ["a"], "was given none"),
        ("concordance", [float("nan")], [1.0], "NaN"),
    ],
)
def test_what_is_no_conclusion_is_refused(measure, first, second, says):
    with pytest.raises(FlipError, match=says) as caught:
        compare(measure, first, second)
    assert caught.value.code == "wrong-conclusions"


def test_constants_agree_when_equal():
    assert compare("concordance", [2.0, 2.0], [2.0, 2.0]) == 1.0
    assert compare("concordance", [2.0, 2.0], [3.0, 3.0]) == 0.0


class Agreeing(Peer):
    def hello(self):
        return Welcome(rounds=self.rounds, outputs=(LOSS,), consensus=Consensus(measure="concordance"))


@pytest.mark.parametrize("early", [True, False], ids=["before training", "after training"])
def test_each_prediction_is_made_with_its_own_weights(early):
    peer, module, seen = Agreeing(1), linear(), []

    def predict():
        seen.append(module.bias.item())
        return np.array([module.bias.item(), 0.0])

    for rnd in Rounds(peer, module):
        if early:
            rnd.agree(predict, predict)
        if rnd.training:
            add(module, 1.0)
        if not early:
            rnd.agree(predict)
        rnd.report(loss=1)
    assert seen == [3.0, 4.0]
    assert [submit.agreement for submit in peer.submitted] == [
        pytest.approx(compare("concordance", [3.0, 0.0], [4.0, 0.0])), None,
    ]  # fmt: skip
    assert peer.updates[0]["bias"] == [1.0]


def test_a_round_without_agree_is_an_error():
    for rnd in (rounds := iter(Rounds(Agreeing(1), linear()))):
        rnd.report(loss=1)
        with pytest.raises(FlipError, match=r"without rnd\.agree"):
            next(rounds)
        break


def test_a_plan_without_consensus_compares_nothing():
    peer = Peer(1)
    for rnd in Rounds(peer, linear()):
        rnd.agree(lambda: 1 / 0)
        rnd.report(loss=1)
    assert [submit.agreement for submit in peer.submitted] == [None, None]


def test_a_rehearsal_ends_when_the_twin_agrees(capsys):
    consensus = Consensus(rounds=1)
    numbers = []
    for rnd in Rounds(LocalChannel((LOSS,), 5, config={}, clip_norm=1.0, consensus=consensus), linear()):
        numbers.append((rnd.number, rnd.training))
        rnd.agree([0, 1], [0, int(rnd.number >= 2)])
        rnd.report(loss=1)
    assert numbers == [(1, True), (2, True), (3, False)]
    assert "agreement 0.5, vote 0" in capsys.readouterr().err
