"""What can happen to a federation at any moment. A fault strikes and returns at once; nothing here mends it,
except the network, which comes back by itself."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable

import psutil
from enclave_federation import until
from fault_federation import NAMES, SevenTrusts

Fault = Callable[[SevenTrusts, str, random.Random], str]
"""``fault(federation, run, random)`` strikes; returns what was struck."""


def _kill(find: Callable[[], psutil.Process | None], name: str) -> str:
    """``kill -9``, as soon as the process is there: just after another fault it may be being started anew."""
    process: psutil.Process = until(find, 60)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    return name


def hub(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    return _kill(lambda: federation.daemon("hub"), "hub")


def coordinator(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    return _kill(lambda: federation.coordinator(run), "coordinator")


def agent(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    name = chance.choice(NAMES)
    return _kill(lambda: federation.daemon(name), f"agent of {name}")


def estate_worker(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    """Of the first Trust from a random one on that has one: after a death it starts with the next question."""
    first = chance.randrange(len(NAMES))
    name = until(lambda: next((n for n in NAMES[first:] + NAMES[:first] if federation.worker(n)), None), 60)
    return _kill(lambda: federation.worker(name), f"estate worker of {name}")


def runner(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    name = chance.choice(NAMES)
    return _kill(lambda: federation.runner(name), f"runner of {name}")


def kernel(federation: SevenTrusts, run: str, chance: random.Random) -> str:
    name = chance.choice(NAMES)
    return _kill(lambda: federation.kernel(name), f"kernel of {name}")


def network(seconds: float) -> Fault:
    """Cut off one Trust, or all of them, for so long; afterwards connections go on or are gone, as chance has it."""

    def cut(federation: SevenTrusts, run: str, chance: random.Random) -> str:
        names = NAMES if chance.random() < 0.3 else (chance.choice(NAMES),)
        broken = chance.random() < 0.5
        lines = [federation.network.lines[name] for name in names]
        for line in lines:
            line.cut()
        for line in lines:
            threading.Timer(seconds, line.mend, kwargs={"broken": broken}).start()
        whose = "all" if len(names) > 1 else names[0]
        return f"network of {whose}, {seconds:.0f} s, then {'broken' if broken else 'as before'}"

    return cut


def kinds(network_seconds: float) -> dict[str, Fault]:
    return {
        "kernel": kernel,
        "runner": runner,
        "agent": agent,
        "coordinator": coordinator,
        "hub": hub,
        "estate worker": estate_worker,
        "network": network(network_seconds),
    }
