"""A notebook's session inside an enclave: the frozen cohort's file and the broker's socket, by environment."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from flipnb.records import Records
from flipnb.session.broker import BrokerChannel

BROKER = "FLIP_BROKER"
COHORT = "FLIP_COHORT"


def inside() -> bool:
    """Whether this process is an enclave's kernel."""
    return BROKER in os.environ


@functools.cache
def channel() -> BrokerChannel:
    return BrokerChannel(os.environ[BROKER])


@functools.cache
def records() -> Records:
    return Records(Path(os.environ[COHORT]))
