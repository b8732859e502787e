"""Keeps one coordinator process per run that is starting or running; what dies is started again, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable

from sqlalchemy import delete, select

from flipnb.contracts.coordinator import TRY_AGAIN, CoordinatorOrder
from flipnb.contracts.disk import is_full
from flipnb.contracts.keys import SigningKey
from flipnb.files.logs import open_log
from flipnb.hub import run_life
from flipnb.hub.configuration import HubDirectory
from flipnb.hub.run_queue import RunQueue
from flipnb.hub.service import Hub
from flipnb.hub.store.tables import CoordinatorRow, RunRow
from flipnb.hub.waits import EVENTS, RUNS
from flipnb.link.key_files import save_key

log = logging.getLogger("flip.hub.supervisor")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0
_HEALTHY_SECONDS = 60.0
_LAST_WORDS_SECONDS = 5.0
_KILL_SECONDS = 2.0
_TICK_SECONDS = 0.5
_PAUSE_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def _die_with_hub() -> None:
    """A coordinator whose hub is killed must not go on beside the one that the next hub starts."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _at_the_next_ring() -> Callable[[], tuple[bool, None]]:
    """For ``Waits.until``: what it waits for is a ring, whatever it is about."""
    looks = itertools.count()
    return lambda: (next(looks) > 0, None)


class Supervisor:
    """Starts and ends coordinators as the runs' states on disk demand it."""

    def __init__(self, hub: Hub, directory: HubDirectory, url: str) -> None:
        self._hub = hub
        self._directory = directory
        self._url = url
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._unwanted: dict[str, asyncio.Event] = {}
        self._closing = False

    async def run(self) -> None:
        """Until the hub stops. Keys of an earlier hub process's coordinators open nothing."""
        clocks = [asyncio.create_task(self._tick()), asyncio.create_task(self._start_what_can())]
        swept = False
        try:
            while not self._hub.waits.closing:
                try:
                    if not swept:
                        self._sweep()
                        swept = True
                    self._reconcile(self._wanted())
                    await self._hub.waits.until(RUNS, self._changed, 60.0, who="supervisor")
                except Exception:  # a full disk, say; without this loop no run would ever start again
                    log.exception("looking at the runs failed")
                    await asyncio.sleep(_LONGEST_PAUSE)
        finally:
            for clock in clocks:
                clock.cancel()

    def _sweep(self) -> None:
        with self._hub.database.transaction() as session:
            session.execute(delete(CoordinatorRow))

    async def close(self) -> None:
        """End all coordinators; their runs stay as they are and go on with the next hub process."""
        self._closing = True
        for unwanted in self._unwanted.values():
            unwanted.set()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            try:
                with self._hub.database.transaction() as session:
                    run_life.tick(session, self._hub.configuration)
            except Exception:
                log.exception("the clock's steps failed")
            await asyncio.sleep(_TICK_SECONDS)

    async def _start_what_can(self) -> None:
        """Look at the line of runs at each event, but not more often than ten times a second."""
        line = RunQueue(self._hub.configuration, self._hub.presence)
        while True:
            try:
                with self._hub.database.transaction() as session:
                    line.start_what_can(session)
                await self._hub.waits.until(EVENTS, _at_the_next_ring(), _TICK_SECONDS, who="run-queue")
            except Exception:
                log.exception("looking at the line of runs failed")
            await asyncio.sleep(_PAUSE_SECONDS)

    def _changed(self) -> tuple[bool, None]:
        return self._wanted() != {run for run, event in self._unwanted.items() if not event.is_set()}, None

    def _wanted(self) -> set[str]:
        with self._hub.database.transaction() as session:
            return set(session.scalars(select(RunRow.id).where(RunRow.state.in_(("starting", "running")))))

    def _reconcile(self, wanted: set[str]) -> None:
        for run in wanted - set(self._keepers):
            self._unwanted[run] = asyncio.Event()
            self._keepers[run] = asyncio.create_task(self._keep(run))
        for run in set(self._keepers) - wanted:
            self._unwanted[run].set()

    async def _keep(self, run: str) -> None:
        try:
            await self._restart_until_unwanted(run)
        except Exception as error:
            log.exception("a coordinator could not be kept", extra={"run": run})
            if is_full(error):
                await asyncio.sleep(_LONGEST_PAUSE)  # the run goes on when there is room again
            else:
                self._fail(run, f"Its coordinator could not be started: {type(error).__name__}.")
        finally:
            del self._keepers[run], self._unwanted[run]
            if not self._closing:
                self._settle(run)

    async def _restart_until_unwanted(self, run: str) -> None:
        unwanted = self._unwanted[run]
        deaths = 0
        while not unwanted.is_set():
            began, rounds_before = time.monotonic(), self._rounds_done(run)
            process = await self._start(run)
            log.info("coordinator started", extra={"run": run, "pid": process.pid, "deaths": deaths})
            try:
                await self._watch(run, process)
            finally:
                self._dismiss(run)
            if unwanted.is_set() or run not in self._wanted():
                return
            healthy = time.monotonic() - began > _HEALTHY_SECONDS or self._rounds_done(run) > rounds_before
            if process.returncode != TRY_AGAIN:
                deaths = 1 if healthy else deaths + 1
            log.warning("coordinator died", extra={"run": run, "exit": process.returncode, "deaths": deaths})
            if deaths > self._hub.configuration.coordinator_restarts:
                self._fail(run, f"Its coordinator died {deaths} times, at last with exit code {process.returncode}.")
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_FIRST_PAUSE * 2 ** max(deaths - 1, 0), _LONGEST_PAUSE)):
                    await unwanted.wait()

    async def _start(self, run: str) -> asyncio.subprocess.Process:
        """A new process with a new key; that of the process before it is void from here on."""
        place = self._directory.runs / run
        place.mkdir(parents=True, exist_ok=True)
        key = SigningKey.generate()
        key_file = place / "key.pem"
        key_file.unlink(missing_ok=True)
        save_key(key, key_file)
        order = CoordinatorOrder(
            hub_url=self._url,
            audience=self._hub.configuration.audience,
            ca=str(self._hub.configuration.ca),
            run=run,
            work_dir=str(place / "work"),
            blobs=str(self._directory.blobs),
            key=str(key_file),
        )
        (place / "work").mkdir(exist_ok=True)
        order_file = place / "order.json"
        order_file.write_text(order.model_dump_json())
        with self._hub.database.transaction() as session:
            session.merge(CoordinatorRow(run=run, key_id=key.key_id, public_key=key.public_key, started=time.time()))
        self._hub.ring.admit_coordinator(run, key.public_key)
        with open_log(self._directory.logs / f"coordinator-{run}.log") as output:
            return await asyncio.create_subprocess_exec(
                *self._hub.configuration.coordinator,
                str(order_file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_hub,
            )

    async def _watch(self, run: str, process: asyncio.subprocess.Process) -> None:
        """Until the process has ended by itself, or was ended because its run no longer wants it."""
        ended = asyncio.create_task(process.wait())
        unwanted = asyncio.create_task(self._unwanted[run].wait())
        try:
            await asyncio.wait({ended, unwanted}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and self._has_succeeded(run) and not self._closing:
                await asyncio.wait({ended}, timeout=_LAST_WORDS_SECONDS)
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not ended.done():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)
                    await asyncio.wait({ended}, timeout=_KILL_SECONDS)
        finally:
            unwanted.cancel()

    def _dismiss(self, run: str) -> None:
        self._hub.ring.dismiss_coordinator(run)
        with self._hub.database.transaction() as session:
            session.execute(delete(CoordinatorRow).where(CoordinatorRow.run == run))
        (self._directory.runs / run / "key.pem").unlink(missing_ok=True)

    def _fail(self, run: str, reason: str) -> None:
        with self._hub.database.transaction() as session:
            run_life.fail(session, session.get_one(RunRow, run), "coordinator-died", reason)

    def _settle(self, run: str) -> None:
        with self._hub.database.transaction() as session:
            row = session.get_one(RunRow, run)
            run_life.settle_stop(session, row)
            over = row.state not in ("starting", "running")
        if over:
            shutil.rmtree(self._directory.runs / run, ignore_errors=True)
        self._hub.waits.ring(RUNS)

    def _rounds_done(self, run: str) -> int:
        with self._hub.database.transaction() as session:
            return session.get_one(RunRow, run).rounds_done

    def _has_succeeded(self, run: str) -> bool:
        with self._hub.database.transaction() as session:
            return session.get_one(RunRow, run).state == "succeeded"
