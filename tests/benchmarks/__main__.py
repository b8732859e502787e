"""``python -m benchmarks NAME [MEASURE …]``: run one benchmark, or the named measures of it."""

from __future__ import annotations

import argparse
import importlib
import logging
import pkgutil
import signal
import sys

import pytest

import benchmarks
from benchmarks.figures import Figures


def main() -> int:
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__, "benchmarks.")]
    runnable = sorted(name.rpartition(".")[2] for name in names if hasattr(importlib.import_module(name), "MEASURES"))
    parser = argparse.ArgumentParser(prog="make bench", description="Measure; writes build/bench/NAME.json.")
    parser.add_argument("name", nargs="?", choices=runnable, help="the benchmark; all where it is left out")
    parser.add_argument("--only", nargs="+", metavar="PART", default=[], help="parts of it (see --list)")
    parser.add_argument("--list", action="store_true", help="name the parts and end")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in [asked.name] if asked.name else runnable:
        parts = importlib.import_module(f"benchmarks.{name}").MEASURES
        if asked.list:
            print(f"{name}: {' '.join(parts)}")
            continue
        unknown = set(asked.only) - set(parts)
        if unknown:
            parser.error(f"{name} has no {', '.join(sorted(unknown))}; it has {', '.join(parts)}")
        figures = Figures(name, partial=bool(asked.only))
        for part, measure in parts.items():
            if not asked.only or part in asked.only:
                measure(figures)
        figures.print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
