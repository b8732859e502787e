"""The loop: what leaves and when, what is refused, what a restarted kernel goes on from."""

import os

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from flipnb.contracts.broker import Ended, NextRound, Welcome
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.problem import FlipError
from flipnb.session.rounds import Rounds
from flipnb.workbench.local_channel import LocalChannel

LOSS = DeclaredOutput(name="loss", minimum=0, maximum=10, decimals=3)


class Peer:
    """The other end of a session, in this process: real memory, and everything that was sent is kept."""

    def __init__(self, rounds, *, config=None, saved=None):
        self.rounds, self.config, self.saved = rounds, config or {}, saved
        self.submitted, self.updates, self.leases, self.told = [], [], {}, []

    def hello(self):
        return Welcome(rounds=self.rounds, outputs=(LOSS,))

    def open(self, model):
        self.model = model
        self.weights = model.dump()
        return self._round(1)

    def lease(self, request):
        size = request.size if request.what == "state" else self.model.spec.update_layout()[1]
        self.leases[request.what] = os.memfd_create("lease", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.leases[request.what], size)
        return os.dup(self.leases[request.what])

    def submit(self, request):
        self.submitted.append(request)
        if request.update:
            self.updates.append(self._update())
        if request.state:
            self.saved = self._take("state")
        if request.leave or request.round > self.rounds:
            return Ended(), []
        return self._round(request.round + 1)

    def tell(self, request):
        self.told.append(request)

    def _round(self, number):
        descriptors = [memory(self.weights)]
        if self.saved is not None:
            descriptors.append(memory(self.saved))
        answer = NextRound(
            round=number,
            of=self.rounds,
            training=number <= self.rounds,
            config=self.config,
            state_bytes=len(self.saved or b""),
        )
        return answer, descriptors

    def _update(self):
        data = self._take("update")
        slots, _ = self.model.spec.update_layout()
        return {s.tensor.name: np.frombuffer(data, s.dtype, s.count, s.offset).copy() for s in slots}

    def _take(self, what):
        import fcntl

        descriptor = self.leases.pop(what)
        # The broker's own test of "unmapped": sealing against writing is refused while a writable mapping lives.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        os.close(descriptor)
        return data


def memory(data):
    descriptor = os.memfd_create("weights")
    os.pwrite(descriptor, data, 0)
    return descriptor


def linear():
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0]]))
        module.bias.copy_(torch.tensor([3.0]))
    return module


def add(module, amount):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(amount)


def test_the_loop_gives_the_training_rounds_and_the_final_weights_once():
    peer, module, seen = Peer(3), linear(), []
    for rnd in Rounds(peer, module):
        seen.append((rnd.number, rnd.of, rnd.training))
        rnd.report(loss=1)
    assert seen == [(1, 3, True), (2, 3, True), (3, 3, True), (4, 3, False)]
    assert [s.update for s in peer.submitted] == [True, True, True, False]


def test_what_leaves_is_the_change_of_the_weights():
    peer, module = Peer(1), linear()
    for rnd in Rounds(peer, module):
        if rnd.training:
            with torch.no_grad():
                module.weight += torch.tensor([[0.5, -1.0]])
        rnd.report(loss=0)
    (update,) = peer.updates
    assert update["weight"].tolist() == [0.5, -1.0]
    assert update["bias"].tolist() == [0.0]


def test_every_round_begins_with_the_global_weights():
    peer, module, seen = Peer(2), linear(), []
    for rnd in Rounds(peer, module):
        seen.append(module.weight.detach().clone())
        add(module, 7)
        rnd.report(loss=0)
    assert all(torch.equal(weight, seen[0]) for weight in seen)


def test_integers_and_narrow_floats_leave_wide():
    module = torch.nn.Module()
    module.register_buffer("count", torch.tensor(3, dtype=torch.int64))
    module.register_buffer("narrow", torch.ones(2, dtype=torch.bfloat16))
    peer = Peer(1)
    for rnd in Rounds(peer, module):
        if rnd.training:
            module.count += 4
            module.narrow += 1
        rnd.report(loss=0)
    assert peer.updates[0]["count"].dtype == np.int64
    assert peer.updates[0]["count"].tolist() == [4]
    assert peer.updates[0]["narrow"].dtype == np.float32
    assert peer.updates[0]["narrow"].tolist() == [1, 1]


def test_arrays_take_part_as_a_module_does():
    peer, weights = Peer(1), {"w": np.array([1.0, 2.0])}
    for rnd in Rounds(peer, weights):
        if rnd.training:
            weights["w"] += 0.25
        rnd.report(loss=0)
    assert peer.updates[0]["w"].tolist() == [0.25, 0.25]


def test_a_round_without_a_report_is_an_error_that_names_it():
    rounds = iter(Rounds(Peer(3), linear()))
    next(rounds).report(loss=1)
    next(rounds)
    with pytest.raises(FlipError) as caught:
        next(rounds)
    assert caught.value.code == "no-report"
    assert "Round 2" in str(caught.value)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"loss": 1, "secret": 2}, "undeclared-output"),
        ({}, "missing-output"),
        ({"loss": 11}, "output-out-of-bounds"),
        ({"loss": float("nan")}, "not-a-number"),
        ({"loss": "1"}, "not-a-number"),
        ({"loss": True}, "not-a-number"),
    ],
)
def test_a_wrong_report_is_refused_by_name(report, code):
    rnd = next(iter(Rounds(Peer(1), linear())))
    with pytest.raises(FlipError) as caught:
        rnd.report(**report)
    assert caught.value.code == code


def test_a_round_is_reported_once():
    rnd = next(iter(Rounds(Peer(1), linear())))
    rnd.report(loss=torch.tensor(1.5))
    with pytest.raises(FlipError, match="already"):
        rnd.report(loss=1)


def test_rounds_are_iterated_once():
    rounds = Rounds(Peer(1), linear())
    for rnd in rounds:
        rnd.report(loss=0)
    with pytest.raises(FlipError) as caught:
        iter(rounds)
    assert caught.value.code == "rounds-used"


def test_break_sends_the_current_round_and_leaves():
    peer, module = Peer(5), linear()
    for rnd in Rounds(peer, module):
        add(module, 1)
        rnd.report(loss=0)
        if rnd.number == 2:
            break
    assert [(s.round, s.leave) for s in peer.submitted] == [(1, False), (2, True)]
    assert peer.updates[1]["bias"].tolist() == [1.0]


CELL = """
for rnd in Rounds(peer, module):
    rnd.report(loss=0)
    if rnd.number == 2:
        {end}
after = len(peer.submitted)
"""


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_in_a_notebook_break_leaves_when_the_cell_has_ended(shell):
    peer = Peer(5)
    shell.user_ns |= {"Rounds": Rounds, "peer": peer, "module": linear()}
    assert shell.run_cell(CELL.format(end="break")).success
    assert shell.user_ns["after"] == 1
    assert [(s.round, s.leave) for s in peer.submitted] == [(1, False), (2, True)]
    assert shell.run_cell("1").success
    assert len(peer.submitted) == 2


def test_in_a_notebook_an_exception_sends_nothing_more(shell, capsys):
    peer = Peer(5)
    shell.user_ns |= {"Rounds": Rounds, "peer": peer, "module": linear()}
    assert not shell.run_cell(CELL.format(end="raise ValueError")).success
    shell.run_cell("1")
    assert [s.round for s in peer.submitted] == [1]


def test_proximal_is_the_term_of_fedprox():
    peer, module = Peer(1, config={"proximal_mu": 0.5}), linear()
    rnd = next(iter(Rounds(peer, module)))
    assert rnd.proximal(module).item() == 0
    add(module, 2.0)
    term = rnd.proximal(module)
    assert term.item() == pytest.approx(0.5 / 2 * 3 * 4.0)
    term.backward()
    assert module.weight.grad.tolist() == [[1.0, 1.0]]


def test_proximal_is_zero_without_the_strategy():
    module = linear()
    rnd = next(iter(Rounds(Peer(1), module)))
    add(module, 1.0)
    assert rnd.proximal(module).item() == 0


def test_progress_is_told():
    peer = Peer(1)
    next(iter(Rounds(peer, linear()))).progress(3)
    assert [told.epoch for told in peer.told] == [3]


def run_with_momentum(peer, steps):
    """``steps`` rounds of stochastic training with momentum; returns the last round's update."""
    module = linear()
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    rounds = iter(Rounds(peer, module, state=[optimiser]))
    for _ in range(steps):
        rnd = next(rounds)
        optimiser.zero_grad()
        module(torch.randn(4, 2)).square().mean().backward()
        optimiser.step()
        rnd.report(loss=0)
    next(rounds)
    return peer.updates[-1]["weight"]


def test_a_restarted_kernel_goes_on_from_its_saved_state():
    torch.manual_seed(5)
    whole = run_with_momentum(Peer(9), 3)
    torch.manual_seed(5)
    first = Peer(9)
    run_with_momentum(first, 2)
    torch.manual_seed(999)
    resumed = run_with_momentum(Peer(9, saved=first.saved), 1)
    assert resumed.tolist() == whole.tolist()


def test_without_the_saved_state_it_would_differ():
    torch.manual_seed(5)
    whole = run_with_momentum(Peer(9), 3)
    torch.manual_seed(999)
    assert run_with_momentum(Peer(9), 1).tolist() != whole.tolist()


def test_state_needs_a_state_dict():
    with pytest.raises(FlipError) as caught:
        Rounds(Peer(1), linear(), state=[3])
    assert caught.value.code == "not-a-state"


def test_a_rehearsal_trains_on_its_own_weights_and_records_the_first_ones(tmp_path):
    from safetensors.torch import load_file

    module = linear()
    channel = LocalChannel((LOSS,), 2, config={}, clip_norm=100, record=tmp_path)
    seen = []
    for rnd in Rounds(channel, module):
        seen.append(module.bias.item())
        if rnd.training:
            add(module, 1)
        rnd.report(loss=rnd.number)
    assert seen == [3.0, 4.0, 5.0]
    assert load_file(tmp_path / "initial.safetensors")["bias"].tolist() == [3.0]


def rehearse_change(amount, *, clip_norm=100.0):
    module = linear()
    for rnd in Rounds(LocalChannel((LOSS,), 1, config={}, clip_norm=clip_norm), module):
        if rnd.training:
            add(module, amount)
        rnd.report(loss=0)


def test_a_rehearsal_refuses_an_update_that_is_not_finite():
    with pytest.raises(FlipError) as caught:
        rehearse_change(float("nan"))
    assert caught.value.code == "not-finite"
    assert "weight" in str(caught.value)


def test_a_rehearsal_says_what_would_be_clipped(capsys):
    rehearse_change(1.0)
    assert "clip" not in capsys.readouterr().err
    rehearse_change(1.0, clip_norm=0.5)
    assert "clipped to 0.5" in capsys.readouterr().err
