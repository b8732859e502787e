"""Rounds: ours over TLS, with sandboxed kernels, against stock Flower 1.41's transport with a NumPy echo client."""

from __future__ import annotations

from enclave_federation import until

from benchmarks.federation import Federation, Model, federation, model_of
from benchmarks.figures import Figures
from benchmarks.flower import NAME as RIVAL
from benchmarks.flower import flower
from benchmarks.light import light_rounds
from benchmarks.processes import GB, PeakMemory
from flipnb.contracts.policy import KernelLimits

NOOP = "no-op round, train + evaluate, 120 tensors, {} (s)"
SMALL = Model(tensors=120, elements=64)
SLEEP_S = 40
ROUNDS = 5
_LARGE = KernelLimits(memory_bytes=12 << 30)


def no_op_1(figures: Figures) -> None:
    _no_op(figures, 1, "1 Trust")


def no_op_7(figures: Figures) -> None:
    _no_op(figures, 7, "7 Trusts on 2 cores")


def _no_op(figures: Figures, trusts: int, who: str) -> None:
    """A round of ours evaluates the incoming weights and trains in one exchange; Flower's needs two."""
    with flower(trusts) as rival:
        theirs = rival.run(SMALL, ROUNDS + 1)
    with federation(trusts) as fed:
        ours = fed.run(fed.seal(SMALL, 2 * ROUNDS + 1, step="pass"))
    figures.add(NOOP.format(who), "s", ours.periods, theirs.periods, RIVAL)
    figures.add(f"CPU seconds of a {NOOP.format(who)}", "s", ours.cpu_periods, theirs.cpu_periods, RIVAL)


def exchange(figures: Figures) -> None:
    """Global weights out to 2 Trusts, changed weights back, aggregated; of ours the first round is left out.

    Ours is the whole period from round to round, checkpoint on disk included; Flower's the train phase alone.
    """
    model = model_of(1.0)
    with flower(2) as rival, PeakMemory(rival.groups, 0.25) as theirs_memory:
        theirs = rival.run(model, 3, evaluate=0.0)
    with federation(2, kernel=_LARGE) as fed, PeakMemory(fed.groups, 0.25) as memory:
        bundle = fed.seal(model, 4)
        ours = fed.run(bundle)
    figures.add("exchange of a 1 GB model, 2 Trusts (s)", "s", ours.periods, theirs.train_phases, RIVAL)
    figures.add("CPU seconds of an exchange of a 1 GB model, 2 Trusts (s)", "s", ours.cpu_periods)
    for measure, who, node in (
        ("peak memory of all hub processes, 1 GB model, 2 Trusts (GB)", "hub", "hub"),
        ("peak memory per enclave, 1 GB model, without the kernel (GB)", "trust-0", "node-0"),
    ):
        mine, other = memory.peaks[who] / GB, theirs_memory.peaks[node] / GB
        figures.add(measure, "GB", [mine], [other], RIVAL)


def beside(figures: Figures) -> None:
    """From submission to success of a short run, alone and while another run's kernels sleep."""
    with flower(2) as rival:
        theirs_alone = [rival.run(SMALL, 1).seconds for _ in range(3)]
        theirs_beside = []
        for _ in range(3):
            notes, began = rival.submit(SMALL, 1, sleep=SLEEP_S)
            until(notes.exists, 60)
            theirs_beside.append(rival.run(SMALL, 1).seconds)
            rival.follow(notes, began)
    with federation(2) as fed:
        short = fed.seal(SMALL, 3, step="pass")
        fed.run(short)
        alone = [fed.run(short).end for _ in range(ROUNDS)]
        run = fed.sleeping(fed.seal(SMALL, 1, step=f"time.sleep({100 * SLEEP_S})", imports="import time"))
        together = [fed.run(short).end for _ in range(ROUNDS)]
        fed.stop(run)
    figures.add(
        "a short run beside a long, sleeping one on the same Trusts, against alone (ratio)",
        "ratio",
        _over_median(together, alone),
        _over_median(theirs_beside, theirs_alone),
        RIVAL,
    )
    figures.add("a short run of 3 rounds alone, from submission to success, 2 Trusts (s)", "s", alone)


def _over_median(samples: list[float], base: list[float]) -> list[float]:
    middle = sorted(base)[len(base) // 2]
    return [sample / middle for sample in samples]


def start(figures: Figures) -> None:
    """From quorum to the first round in the kernel's hands: coordinator, runner, sandbox, kernel, ``import torch``."""
    with federation(1) as fed:
        for measure, imports in (
            ("kernel start to first round, torch imported (s)", "import torch"),
            ("kernel start to first round, without torch (s)", ""),
        ):
            bundle = fed.seal(SMALL, 1, step="pass", imports=imports)
            runs = [fed.run(bundle) for _ in range(ROUNDS + 1)][1:]
            figures.add(measure, "s", [run.given - run.starting for run in runs])


def sizes(figures: Figures) -> None:
    """How a round grows with the model."""
    with federation(2, kernel=_LARGE) as fed:
        for name, gigabytes, rounds in (("1 MB", 0.001, 6), ("10 MB", 0.01, 6), ("100 MB", 0.1, 6), ("2 GB", 2.0, 3)):
            _round_of(figures, fed, name, gigabytes, rounds)


def _round_of(figures: Figures, fed: Federation, name: str, gigabytes: float, rounds: int) -> None:
    watched = fed.run(fed.seal(model_of(gigabytes), rounds))
    figures.add(f"round of a {name} model, 2 Trusts (s)", "s", watched.periods)
    figures.add(f"CPU seconds of a round of a {name} model, 2 Trusts (s)", "s", watched.cpu_periods)


def trusts(figures: Figures) -> None:
    """How hub and coordinator grow with the number of Trusts: light ones, all in one process, on the same two cores."""
    for number in (1, 7, 50):
        figures.add(f"round of {number} light Trusts, 120 tensors (s)", "s", light_rounds(SMALL, number, ROUNDS + 1))


MEASURES = {
    "no-op-1": no_op_1,
    "no-op-7": no_op_7,
    "exchange": exchange,
    "beside": beside,
    "start": start,
    "sizes": sizes,
    "trusts": trusts,
}
