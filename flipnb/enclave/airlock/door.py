"""The airlock's one door: a run's airlock, and the broker through which each of its kernels reaches it, one at a time.

An agent opens a door over the store and the audit log that all its runs share. A Trust without an agent, as a
simulation has, opens one that has its own: the rounds and totals that it is asked go in and out by it, and nothing
else of an enclave is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flipnb.contracts.broker import Tell
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.outputs import Part
from flipnb.contracts.parameters import Scalar
from flipnb.contracts.policy import Policy
from flipnb.contracts.round import RoundContext
from flipnb.contracts.total import TotalContext, TotalSum
from flipnb.enclave.airlock.airlock import Airlock, stored_reply
from flipnb.enclave.airlock.broker import Broker, state_bytes
from flipnb.enclave.airlock.facts import RunFacts
from flipnb.enclave.airlock.lease import sealed_copy
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.store import Store


@dataclass(frozen=True)
class Hearers:
    """What a broker calls, from its own thread: as ``Broker`` says."""

    misbehaviour: Callable[[str, str], None]
    round: Callable[[int], None] = lambda number: None
    tell: Callable[[Tell], None] = lambda message: None
    submit: Callable[[int, bool], None] = lambda number, leave: None


class Door:
    """One run's. ``socket`` is where its kernels knock."""

    def __init__(
        self,
        facts: RunFacts,
        socket: Path,
        hearers: Hearers,
        *,
        key: SigningKey,
        store: Store,
        audit: AuditLog,
        policy: Policy,
    ) -> None:
        self.airlock = Airlock(facts, key=key, store=store, audit=audit, policy=policy)
        self._socket, self._hearers, self._policy = socket, hearers, policy

    def let_in(self, peer: int) -> Broker:
        """Serve one kernel, whose processes run as the uid ``peer``, until the broker is stopped."""
        broker = Broker(
            self._socket,
            self.airlock,
            peer=peer,
            state_bytes=state_bytes(self._policy.kernel.memory_bytes),
            on_round=self._hearers.round,
            on_tell=self._hearers.tell,
            on_submit=self._hearers.submit,
            on_misbehaviour=self._hearers.misbehaviour,
        )
        broker.start()
        return broker

    def close(self) -> None:
        """No round comes any more; the broker is stopped after this."""
        self.airlock.close()


class LoneDoor:
    """The door of a Trust without an agent, over a directory that is this run's alone, open until ``close``.

    ``people`` are counted in the cohort that the kernel reads; all Trusts of the bundle are members. ``point`` and
    ``misbehaviour`` as in a run and in ``Hearers``.
    """

    def __init__(
        self,
        directory: Path,
        socket: Path,
        *,
        run: str,
        bundle: Bundle,
        point: Mapping[str, Scalar],
        people: Mapping[Part, int],
        key: SigningKey,
        policy: Policy,
        peer: int,
        misbehaviour: Callable[[str, str], None],
    ) -> None:
        digest = bundle.digest()
        self._run = run
        self._store = Store(directory / "state.sqlite")
        self._store.runs.add(run, bundle=digest, study=bundle.study, title=bundle.title, point=dict(point))
        self._audit = AuditLog(directory / "audit.jsonl", key, self._store.anchor)
        facts = RunFacts(
            run=run, bundle_digest=digest, bundle=bundle, members=bundle.trusts, people=people, directory=directory
        )
        self._door = Door(
            facts, socket, Hearers(misbehaviour), key=key, store=self._store, audit=self._audit, policy=policy
        )
        self._broker = self._door.let_in(peer)

    def ask(self, context: RoundContext, weights: Path) -> None:
        """Give a round to the kernel, as an agent does. Raises FlipError ``round-refused``.

        A Trust that is first asked in a later round than the first has nothing to measure its weights by.
        """
        airlock = self._door.airlock
        if airlock.take(context) is None and airlock.lacks(context.round):
            with weights.open("rb") as file:
                airlock.offer(context, sealed_copy(file.fileno(), context.weights_size))

    def reply(self, number: int) -> tuple[bytes, Path] | None:
        """The sealed reply to a round and the file of its update, once they are there."""
        stored = self._store.rounds.get(self._run, number)
        if stored is None or stored.reply is None:
            return None
        reply = stored_reply(stored)
        return reply.envelope, reply.update

    def ask_total(self, context: TotalContext) -> None:
        """Ask for a total. Raises FlipError ``total-refused``."""
        self._door.airlock.totals.take(context)

    def total_reply(self, step: int) -> bytes | None:
        """The sealed reply to a total, once it is there."""
        return self._door.airlock.totals.reply(step)

    def give(self, result: TotalSum) -> None:
        """Give a total's sum to the kernel."""
        self._door.airlock.totals.give(result)

    @property
    def left(self) -> bool:
        """Whether the notebook has left the run."""
        return self._door.airlock.left

    def close(self) -> None:
        """Nothing goes in or out any more; all files are closed."""
        self._door.close()
        self._broker.stop()
        self._audit.close()
        self._store.close()
