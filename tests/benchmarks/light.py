"""Many Trusts without kernels, in one process: what hub and coordinator cost as Trusts grow.

Each does what an agent does on the wire (signed long-polls, one upload and one sealed reply per round), and no more.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from enclave_scenario import COHORT
from round_scenario import Principal

from benchmarks.federation import STUDY, Model
from flipnb.contracts.bundle import Bundle, Environment
from flipnb.contracts.dataset import Dataset, Shares, Split, Variable
from flipnb.contracts.envelope import BUNDLE, ROSTER, ROUND_REPLY, RUN_REQUEST, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.round import RoundReply
from flipnb.contracts.run import RunEvent, RunRequest, RunView, TrustReport
from flipnb.contracts.study import Join, Researcher, Roster
from flipnb.contracts.study import Trust as Listed
from flipnb.contracts.task import RoundTask, RunTask, StartTask, Task, TaskAnswer, UnreadableTask
from flipnb.demo.certificates import make_ca, make_server_certificate
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.agent.leaves import Leaves
from flipnb.enclave.stores.stored import OutgoingReport
from flipnb.federation.encoding import encode_update
from flipnb.federation.weights import write_weights

AUDIENCE = "hub.test"
"""That of round_scenario.Principal."""

OUTPUTS = (DeclaredOutput(name="loss", minimum=0, maximum=1, decimals=2),)


class _NoLeaves(Leaves):
    """A light Trust keeps no audit log: what is measured is its hub."""

    def __init__(self) -> None: ...

    def of_digest(self, *_: Any, **__: Any) -> None: ...

    def of_refusal(self, *_: Any, **__: Any) -> None: ...


class LightTrust:
    """Answers every round with the same update: only the context differs."""

    def __init__(self, directory: Path, url: str, ca: Path, key: SigningKey) -> None:
        self.link = HubLink(url, audience=AUDIENCE, ca=ca, key=key, leaves=_NoLeaves())
        self.key, self._directory = key, directory
        self.bundle: Bundle | None = None
        self._reports = 0

    async def live(self) -> None:
        seen = 0
        while True:
            for task in (await self.link.tasks(seen)).tasks:
                seen = task.sequence
                await self._do(task)

    async def _do(self, task: Task | UnreadableTask) -> None:
        if not isinstance(task, RoundTask):
            await self.link.answer(task.id, TaskAnswer())
            if isinstance(task, RunTask | StartTask):
                for state in ("waiting", "approved") if task.kind == "run" else ("starting", "running"):
                    await self._report(task.run, state)
            return
        context, bundle = task.context, self.bundle
        assert bundle is not None
        size = bundle.tensors.update_layout()[1]
        path = self._directory / f"{self.key.key_id[:12]}-{context.round}"
        people = {"train": 40, "validation": 0, "test": 0}
        encoded = encode_update(
            path, spec=bundle.tensors, plan=bundle.plan, people=people, report={"loss": 50}, outputs=OUTPUTS,
            change=memoryview(bytes(size)) if context.training else None,
        )  # fmt: skip
        update = path.read_bytes()
        path.unlink()
        reply = RoundReply(
            trust=self.key.key_id, context=context, update=encoded.sha256, update_size=encoded.size, metrics=None
        )
        sealed = seal(reply, ROUND_REPLY, self.key).decode()
        await self.link.answer(task.id, TaskAnswer(envelope=sealed, update=update))
        if not context.training:
            await self._report(task.run, "finished")

    async def _report(self, run: str, state: str) -> None:
        self._reports += 1
        body = TrustReport(run=run, sequence=self._reports, state=state).to_bytes()
        await self.link.report(OutgoingReport(self._reports, run, body, progress_only=False))


@contextmanager
def _hub(directory: Path, principals: list[dict[str, str]]) -> Iterator[tuple[str, Path]]:
    ca = make_ca(directory / "ca")
    server = make_server_certificate(directory / "server", ca, ["127.0.0.1"])
    place = directory / "hub"
    place.mkdir()
    configuration = {"name": "Bench hub", "audience": AUDIENCE, "certificate": str(server.certificate),
                     "key": str(server.key), "ca": str(ca.certificate), "principals": principals}  # fmt: skip
    (place / "hub.json").write_text(json.dumps(configuration))
    hub = subprocess.Popen([sys.executable, "-m", "flipnb.hub", "--directory", str(place)])
    try:
        until = time.monotonic() + 60
        while not (place / "address.json").exists():
            assert hub.poll() is None and time.monotonic() < until, "the hub did not come up"
            time.sleep(0.05)
        yield json.loads((place / "address.json").read_text())["url"], ca.certificate
    finally:
        hub.send_signal(signal.SIGTERM)
        hub.wait(20)


def light_rounds(model: Model, trusts: int, rounds: int) -> list[float]:
    """Seconds from each training round's end to the next one's, with ``trusts`` light Trusts."""
    directory = Path("build/bench/light").absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    researcher, nodes = SigningKey.generate(), [SigningKey.generate() for _ in range(trusts)]
    principals = [{"name": "researcher", "role": "researcher", "public_key": researcher.public_key}]
    principals += [{"name": f"trust-{i}", "role": "trust", "public_key": k.public_key} for i, k in enumerate(nodes)]
    try:
        with _hub(directory, principals) as (url, ca):
            return _measured(directory, url, ca, researcher, nodes, model, rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measured(
    directory: Path, url: str, ca: Path, researcher: SigningKey, nodes: list[SigningKey], model: Model, rounds: int
) -> list[float]:
    person = Principal(url, ca, researcher)
    roster = Roster(
        study=STUDY,
        purpose="To measure",
        researchers=(Researcher(name="R. Esearcher", public_key=researcher.public_key),),
        trusts=tuple(Listed(name=f"trust-{i}", title="A Trust", public_key=k.public_key) for i, k in enumerate(nodes)),
    )
    person.call("POST", "/v1/studies", seal(roster, ROSTER, researcher))
    weights = directory / "initial"
    write_weights(weights, model.spec, model.zeros())
    content = weights.read_bytes()
    digest = sha256(content).hexdigest()
    person.call("PUT", f"/v1/blobs/{digest}?study={STUDY}", content)
    now = datetime.now(UTC)
    bundle = Bundle(
        study=STUDY, title="No operation", membership=roster.digest(), trusts=tuple(sorted(k.key_id for k in nodes)),
        minimum_trusts=len(nodes), notebook=model.notebook("pass", ""), parameters=(), cohort=COHORT,
        dataset=Dataset(variables=(Variable(name="age", source="age"),)), split=Split(seed=1, shares=Shares(train=1)),
        plan=Plan(rounds=rounds, clip_norm=100.0), tensors=model.spec, initial_weights=digest, outputs=OUTPUTS,
        environment=Environment(name="test", lock="0" * 64), not_before=now - timedelta(minutes=1),
        expires=now + timedelta(days=1),
    )  # fmt: skip
    person.call("POST", f"/v1/studies/{STUDY}/bundles", seal(bundle, BUNDLE, researcher))

    async def follow() -> list[float]:
        trusts = [LightTrust(directory, url, ca, key) for key in nodes]
        for trust in trusts:
            trust.bundle = bundle
            await trust.link.join(Join(study=STUDY, roster=roster.digest()))
        living = [asyncio.create_task(trust.live()) for trust in trusts]
        request = RunRequest(study=STUDY, bundle=bundle.digest(), point={}, requested=now, nonce=token_hex(16))
        ends: list[float] = []
        try:
            made = await asyncio.to_thread(
                person.call, "POST", f"/v1/studies/{STUDY}/runs", seal(request, RUN_REQUEST, researcher)
            )
            run, after = RunView.model_validate_json(made).run, 0
            while True:
                body = await asyncio.to_thread(person.call, "GET", f"/v1/runs/{run}/events?after={after}&wait=20")
                heard = time.monotonic()
                for event in (RunEvent.model_validate(e) for e in json.loads(body)["events"]):
                    after = event.number
                    assert event.state not in ("failed", "stopped"), f"{event.code}: {event.reason}"
                    if event.round is not None and event.round.training:
                        ends.append(heard)
                    if event.state == "succeeded":
                        return [b - a for a, b in itertools.pairwise(ends)]
        finally:
            for task in living:
                task.cancel()
            await asyncio.gather(*living, return_exceptions=True)
            for trust in trusts:
                await trust.link.close()
            person.close()

    return asyncio.run(follow())
