"""``python -m flipnb.federation.coordinator ORDER.json``: exit code 0 where the run ended, well or badly."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from flipnb.contracts import disk
from flipnb.contracts.coordinator import TRY_AGAIN, CoordinatorEvent, CoordinatorOrder
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import as_line
from flipnb.federation.coordinator.hub_link import HubLink
from flipnb.federation.coordinator.rounds import Rounds
from flipnb.federation.freed_memory import keep_freed_memory
from flipnb.files.logs import log_to_stderr
from flipnb.link.exchange import BROKEN

log = logging.getLogger("flip.coordinator")

_ENDED = (401, 404)  # this key opens nothing any more


def main(order_file: Path) -> int:
    """0: the run ended; 75: the hub is out of reach, start again; 143: SIGTERM. A start goes on from the checkpoint."""
    log_to_stderr()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _terminate)
    keep_freed_memory()
    order = CoordinatorOrder.model_validate_json(order_file.read_bytes())
    work = Path(order.work_dir)
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a coordinator of an earlier hub process may still be ending
        began = time.monotonic()
        with contextlib.closing(HubLink(order)) as hub:
            try:
                hub.tell(_drive(order, hub))
            except FlipError as error:
                if error.status in BROKEN or error.code == disk.CODE:
                    log.error("the hub can't be told now", extra={"code": error.code, "reason": error.message})
                    return TRY_AGAIN
                log.warning("the hub has ended this run", extra={"code": error.code, "reason": error.message})
            finally:
                log.info("ended", extra={"seconds": round(time.monotonic() - began, 2)})
    return 0


def _drive(order: CoordinatorOrder, hub: HubLink) -> CoordinatorEvent:
    """How the run ended. Raises FlipError where the hub is out of reach or has ended the run itself."""
    try:
        ending = Rounds(order, hub).run()
        return CoordinatorEvent(state="succeeded", final_weights=ending.weights, code=ending.code, reason=ending.reason)
    except FlipError as error:
        if error.status in _ENDED or error.status in BROKEN:
            raise
        log.error("failed", extra={"code": error.code, "reason": error.message})
        return CoordinatorEvent(state="failed", code=error.code, reason=as_line(error.message))
    except OSError as error:
        log.exception("failed")
        code = disk.CODE if disk.is_full(error) else "coordinator-failed"
        return CoordinatorEvent(state="failed", code=code, reason=as_line(f"The coordinator: {error.strerror}."))
    except Exception as error:
        log.exception("failed")
        reason = f"The coordinator ended by {type(error).__name__}; its log says more."
        return CoordinatorEvent(state="failed", code="coordinator-failed", reason=reason)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
