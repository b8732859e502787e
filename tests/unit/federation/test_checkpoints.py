"""What a killed coordinator finds on its disk, and what it says of hostile text."""

import numpy as np
import pytest

from flipnb.contracts.coordinator import CoordinatorEvent
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RoundSummary
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.contracts.text import as_line
from flipnb.federation.coordinator.checkpoint import Checkpoints
from flipnb.federation.weights import write_weights

SPEC = TensorSpec(tensors=(Tensor(name="w", shape=(3,), dtype="float32"),))


def begun(directory):
    digest, _ = write_weights(directory / "initial", SPEC, {"w": np.zeros(3, np.float32)})
    checkpoints = Checkpoints(directory / "checkpoints", SPEC)
    return checkpoints, checkpoints.begin(directory / "initial", digest, 17.0)


def summary(number):
    return RoundSummary(round=number, of=9, training=True, members=("0" * 64,), weights="0" * 64, metrics={}, seconds=0)


def test_the_first_checkpoint_is_the_bundles_own_file(tmp_path):
    checkpoints, first = begun(tmp_path)
    assert checkpoints.last() == first
    assert (first.position.round, first.position.summary) == (0, None)
    assert Checkpoints(tmp_path / "fresh", SPEC).last() is None


def test_a_half_written_round_is_as_if_it_had_never_begun(tmp_path, monkeypatch):
    checkpoints, first = begun(tmp_path)
    second = checkpoints.save(
        first.position, [("w", np.ones(3))], lambda: {"m_t/w": np.ones(3)}, summary(1), {"a" * 64: "gone"}
    )

    def cut(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", cut)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(second.position, [("w", np.full(3, 2.0))], dict, summary(2), {})
    monkeypatch.undo()
    again = Checkpoints(tmp_path / "checkpoints", SPEC)
    last = again.last()
    assert last.position == second.position
    assert again.read(last)["w"].tolist() == [1, 1, 1]
    assert last.state["m_t/w"].tolist() == [1, 1, 1]
    assert last.position.left_out == {"a" * 64: "gone"}
    assert again.save(last.position, [("w", np.full(3, 2.0))], dict, summary(2), {}).position.round == 2
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["round-000002"]


def test_an_aggregate_that_is_not_finite_leaves_the_checkpoint_before(tmp_path):
    checkpoints, first = begun(tmp_path)
    with pytest.raises(FlipError, match="'w'"):
        checkpoints.save(first.position, [("w", np.array([1.0, np.nan, 0.0]))], dict, summary(1), {})
    assert Checkpoints(tmp_path / "checkpoints", SPEC).last().position == first.position


def test_initial_weights_of_another_model_are_refused(tmp_path):
    (tmp_path / "initial").write_bytes(b"\x00" * 100)
    with pytest.raises(FlipError) as caught:
        Checkpoints(tmp_path / "checkpoints", SPEC).begin(tmp_path / "initial", "0" * 64, 0.0)
    assert caught.value.code == "wrong-weights"
    assert Checkpoints(tmp_path / "checkpoints", SPEC).last() is None


@pytest.mark.parametrize("text", ["a\nb\x1b[2J", "\u202eevil\u200b", "x" * 5000, "\ud800", "Größe 3 µm"])
def test_what_an_attacker_wrote_is_one_visible_line(text):
    said = as_line(text)
    assert CoordinatorEvent(state="failed", reason=said).reason == said
    assert len(said) <= 400
    assert "\n" not in said
    assert "\x1b" not in said
