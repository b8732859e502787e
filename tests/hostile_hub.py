"""A hub that has turned, for attacks on a real agent with a real kernel.

It speaks the hub's protocol, holds every envelope that it ever relayed, and may ask anything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from enclave_federation import Trust, fill_estate, notebook, until
from enclave_scenario import SPEC, WEIGHTS, Study, sha
from pydantic_core import to_jsonable_python
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flipnb.contracts.bundle import Bundle
from flipnb.contracts.policy import KernelLimits, Policy
from flipnb.contracts.round import RoundContext
from flipnb.contracts.task import TaskAnswer
from flipnb.demo.certificates import make_ca, make_server_certificate


class HostileHub:
    """Speaks the hub's protocol, hands out whatever tasks a test wants, and believes no signature."""

    def __init__(self, directory: Path) -> None:
        ca = make_ca(directory / "ca")
        self.ca = ca.certificate
        self.certificate = make_server_certificate(directory / "hub", ca, ["127.0.0.1"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.tasks: list[dict[str, Any]] = []
        self.answers: dict[str, TaskAnswer] = {}
        self.answered: dict[str, float] = {}
        """By task, when its answer came, by this process's monotonic clock; as ``fetched``, when weights were."""
        self.fetched: list[float] = []
        self.reports: list[dict[str, Any]] = []
        self.bundles: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.sent_along: dict[str, bytes] = {}
        routes = [
            Route("/v1/tasks", self._tasks),
            Route("/v1/tasks/{task}/answer", self._answer, methods=["POST"]),
            Route("/v1/runs/{run}/reports", self._report, methods=["POST"]),
            Route("/v1/bundles/{digest}", self._bundle),
            Route("/v1/blobs/{digest}", self._blob, methods=["GET"]),
            Route("/v1/studies/{study}/joins", self._fine, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            ssl_certfile=self.certificate.certificate,
            ssl_keyfile=str(self.certificate.key),
            log_config=None,
            timeout_graceful_shutdown=0,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.listener])), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    def ask(self, kind: str, *, seconds: float = 30.0, **fields: Any) -> TaskAnswer:
        """One task, and the agent's answer to it."""
        return self.ask_all({"kind": kind} | fields, seconds=seconds)[0]

    def ask_all(self, *asked: dict[str, Any], seconds: float = 30.0) -> list[TaskAnswer]:
        """Tasks that are fetched as one list, well formed or not, and the agent's answers to them."""
        tasks = self.hand_out(*asked)
        until(lambda: all(task["id"] in self.answers for task in tasks), seconds)
        return [self.answers[task["id"]] for task in tasks]

    def hand_out(self, *asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Tasks that are fetched as one list, well formed or not; nobody waits for their answers."""
        tasks: list[dict[str, Any]] = []
        for fields in asked:
            number = len(self.tasks) + len(tasks) + 1
            plain = {"id": secrets.token_hex(16), "sequence": number, "study": "heart"}
            tasks.append(plain | to_jsonable_python(fields))
        self.tasks += tasks
        return tasks

    async def _tasks(self, request: Request) -> Response:
        after = int(request.query_params["after"])
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            waiting = [t for t in self.tasks if t["sequence"] > after and t["id"] not in self.answers]
            if waiting:
                weights = {digest: urlsafe_b64encode(content).decode() for digest, content in self.sent_along.items()}
                return Response(json.dumps({"tasks": waiting, "weights": weights}))
            await asyncio.sleep(0.02)
        return Response('{"tasks":[]}')

    async def _answer(self, request: Request) -> Response:
        self.answered[request.path_params["task"]] = time.monotonic()
        self.answers[request.path_params["task"]] = TaskAnswer.model_validate_json(await request.body())
        return Response(status_code=204)

    async def _report(self, request: Request) -> Response:
        self.reports.append(json.loads(await request.body()))
        return Response(status_code=204)

    async def _bundle(self, request: Request) -> Response:
        return Response(self.bundles[request.path_params["digest"]])

    async def _blob(self, request: Request) -> Response:
        self.fetched.append(time.monotonic())
        return Response(self.blobs[request.path_params["digest"]])

    async def _fine(self, request: Request) -> Response:
        return Response(status_code=204)


class Scene:
    """The hub and one Trust, whose estate ``fill`` makes."""

    def __init__(self, directory: Path, runtime: Path, fill: Callable[[Path], str] = fill_estate) -> None:
        self.hub = HostileHub(directory)
        policy = Policy(kernel=KernelLimits(memory_bytes=1 << 30, scratch_bytes=16 << 20, shm_bytes=16 << 20))
        self.trust = Trust("north", directory / "north", runtime / "north", self.hub.url, self.hub.ca, policy)
        fill(self.trust.enclave.estate)
        self.study = Study(
            lock=(directory / "lock.txt").read_bytes(), node=self.trust.node, controller=self.trust.controller
        )
        self.hub.blobs[sha(WEIGHTS)] = WEIGHTS

    def bundle(self, **changes: Any) -> Bundle:
        bundle = self.study.bundle(**({"notebook": notebook()} | changes))
        self.hub.bundles[bundle.digest()] = self.study.bundle_envelope(bundle)
        return bundle

    def put(self, bundle: Bundle, nonce: str) -> tuple[str, TaskAnswer]:
        asked = self.study.request(bundle.digest(), nonce=nonce * 32)
        return asked.run, self.hub.ask("run", run=asked.run, run_request=asked.envelope.decode())

    def context(self, run: str, bundle: Bundle, number: int, content: bytes = WEIGHTS, **changes: Any) -> RoundContext:
        plain: dict[str, Any] = {
            "run": run,
            "bundle": bundle.digest(),
            "round": number,
            "of": bundle.plan.rounds,
            "training": number <= bundle.plan.rounds,
            "weights": sha(content),
            "weights_size": len(content),
            "tensors": SPEC.digest(),
            "members": self.study.members(),
        }
        return RoundContext(**(plain | changes))

    def round(self, context: RoundContext) -> TaskAnswer:
        return self.hub.ask("round", run=context.run, context=context)


@contextmanager
def opened(directory: Path, fill: Callable[[Path], str] = fill_estate, **policy: Any) -> Iterator[Scene]:
    """The hub up, and the Trust's agent, which has joined the study; ``policy`` are fields of the Trust's."""
    with tempfile.TemporaryDirectory(prefix="flip") as short:
        scene = Scene(directory, Path(short), fill)
        file = scene.trust.enclave.policy_file
        file.write_text(json.dumps(json.loads(file.read_text()) | policy))
        scene.trust.start()
        try:
            scene.trust.ready()
            scene.trust.join(scene.study)
            yield scene
        finally:
            scene.trust.end()
            scene.hub.close()
