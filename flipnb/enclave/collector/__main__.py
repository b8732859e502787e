"""The collector's process: one order on its standard input, one line on its standard output, SIGTERM to stop."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.enclave.collector.configuration import Collector, pacs_of, read_collector
from flipnb.enclave.collector.headers import questions, write_headers
from flipnb.enclave.collector.order import HEADERS, AskHeaders, GoOn, LookAt, Order, PutScript, Told
from flipnb.enclave.collector.pacs.archive import Away, NotGiven, connected
from flipnb.enclave.collector.pulling import Puller
from flipnb.enclave.collector.quarantine import STORE, DiskFull, Quarantine, Stopped
from flipnb.enclave.collector.store import PullStore
from flipnb.enclave.collector.watch import Watched, looked_after
from flipnb.enclave.collector.xnat.configuration import Xnat
from flipnb.files.logs import log_to_stderr

_MOST_ORDER = 64 << 20
_LOCK = "collector.lock"


def main() -> int:
    """Arguments: the configuration, the collector's directory."""
    configuration, directory = Path(sys.argv[1]), Path(sys.argv[2])
    log_to_stderr()
    warnings.simplefilter("ignore")
    _bound_memory()
    os.umask(0o077)
    tempfile.tempdir = os.fspath(directory)
    try:
        order = Order.model_validate_json(sys.stdin.buffer.read(_MOST_ORDER)).order
        collector = read_collector(configuration)
        if isinstance(order, LookAt | PutScript):
            told = _site(order, collector, configuration)
        else:
            with _alone(directory):
                if isinstance(order, AskHeaders):
                    told = _headers(order, collector, configuration, directory)
                else:
                    told = _pull(order, collector, configuration, directory)
    except FlipError as error:
        told = Told(problem=error.problem())
    except DiskFull:
        told = Told(problem=FlipError("disk-full", "This Trust's disk is full.", remedy="Make room.").problem())
    except Stopped:
        told = Told(state="stopped")
    except Away as error:
        told = Told(problem=FlipError("archive-away", f"The archive can't be asked: {error}.").problem())
    except NotGiven as error:
        told = Told(problem=FlipError("archive-refused", f"The archive can't be asked so: {error}.").problem())
    print(told.model_dump_json(), flush=True)  # noqa: T201 (its answer)
    return 0


def _site(order: LookAt | PutScript, collector: Collector, configuration: Path) -> Told:
    """What only an XNAT answers; a pull may go on meanwhile."""
    xnat = pacs_of(collector, order.pacs, configuration)
    if not isinstance(xnat, Xnat):
        raise FlipError("no-xnat", f"{order.pacs} is no XNAT: it has no script, and nothing to look at.")
    from flipnb.enclave.collector.xnat.anonymisation import examine, put_site_script

    if isinstance(order, LookAt):
        return Told(state="done", looks=tuple(examine(xnat, configuration.parent)))
    return Told(state=put_site_script(xnat, configuration.parent, order.script).sha256)


def _headers(order: AskHeaders, collector: Collector, configuration: Path, directory: Path) -> Told:
    pacs = pacs_of(collector, order.pacs, configuration)
    asked = () if order.by_days or order.accessions else order.patients
    found = list(questions(asked, order.accessions, order.since, order.until))
    watched = Watched(connected(pacs, configuration.parent), pacs.patience_s)
    signal.signal(signal.SIGTERM, lambda *_: watched.stop())
    try:
        with looked_after(watched):
            report = write_headers(
                watched, found, directory / HEADERS, frozenset(order.patients), most=pacs.most_answers
            )
    finally:
        watched.archive.close()
    return Told(
        state="done",
        studies=report.studies,
        series=report.series,
        instances=report.instances,
        left_out=dict(report.left_out),
    )


def _pull(order: GoOn, collector: Collector, configuration: Path, directory: Path) -> Told:
    store = PullStore(directory / STORE)
    try:
        pacs = pacs_of(collector, store.pull(order.pull).pacs, configuration)
        puller = Puller(store, Quarantine(directory), pacs, configuration.parent, order.pull)
        signal.signal(signal.SIGTERM, lambda *_: puller.stop())
        return Told(state=puller.run())
    finally:
        if (receiving := sys.modules.get("flipnb.enclave.collector.pacs.receiver")) is not None:
            receiving.Receiver.close_all()
        store.close()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One collector works in a directory. Raises FlipError ``collector-busy``."""
    handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FlipError(
            "collector-busy",
            f"A collector works in {directory} already.",
            remedy="Wait for it, or stop it: flip images stop.",
            status=409,
        ) from None
    finally:
        os.close(handle)


def _bound_memory() -> None:
    """Whatever an archive sends: beyond this the process ends, and the pull goes on with the next one."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = 2 << 30
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
