"""``python -m flipnb.federation.coordinator ORDER.json``: exit code 0 where the run ended, well or badly."""

from __future__ import annotations

import fcntl
import json
import logging
import sys
import time
from pathlib import Path

from flipnb.contracts.coordinator import CoordinatorEvent, CoordinatorOrder
from flipnb.contracts.problem import FlipError
from flipnb.federation.coordinator.hub_link import HubLink
from flipnb.federation.coordinator.rounds import Rounds

log = logging.getLogger("flip.coordinator")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": record.created, "level": record.levelname, "event": record.getMessage()}
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def main(order_file: Path) -> int:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    order = CoordinatorOrder.model_validate_json(order_file.read_bytes())
    work = Path(order.work_dir)
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a coordinator of an earlier hub process may still be ending
        hub = HubLink(order)
        began = time.monotonic()
        try:
            final = Rounds(order, hub).run()
        except FlipError as error:
            if error.status in (401, 404, 409):
                log.error("the hub has ended this run", extra={"code": error.code})
                return 0
            log.error("failed", extra={"code": error.code, "reason": error.message})
            hub.tell(CoordinatorEvent(state="failed", code=error.code, reason=error.message[:400]))
            return 0
        finally:
            log.info("ended", extra={"seconds": round(time.monotonic() - began, 2)})
        hub.tell(CoordinatorEvent(state="succeeded", final_weights=final))
        hub.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
