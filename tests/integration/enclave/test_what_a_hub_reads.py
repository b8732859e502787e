"""A hub keeps every word of a Trust and when it came: what a hostile notebook can tell it, and that each has a leaf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from enclave_federation import NOTEBOOK, Federation, Trust, until
from hub_recorder import Heard, Recorder, recording

from flipnb.contracts.channels import step_bits
from flipnb.contracts.document import canonical_bytes, sha256
from flipnb.contracts.notebook import Cell, FrozenNotebook
from flipnb.contracts.plan import Plan
from flipnb.contracts.run import Progress, TrustReport
from flipnb.contracts.task import TaskAnswer

pytestmark = pytest.mark.timeout(180)

SECRET = 0b1011_0010_1110_0101
BITS = 16
TICK_S = 2.0
SLACK_S = 1.2
"""How much later than its tick a report may be here: the agent looks four times a second, on a machine with load."""
NO_ROUNDS = Plan(rounds=0, clip_norm=1.0)


@pytest.fixture(scope="module")
def overheard(federation: Federation) -> Iterator[Recorder]:
    """The first Trust's agent, started anew with a recorder between it and the hub."""
    trust = federation.trusts[0]
    server = federation.directory / "hub"
    recorder = Recorder(federation.url, federation.ca, trust.enclave.audit)
    with recording(recorder, server / "server.pem", server / "server.key") as url:
        _move(trust, federation.url, url)
        yield recorder
        _move(trust, url, federation.url)


def _move(trust: Trust, before: str, now: str) -> None:
    trust.end()
    file = trust.enclave.directory / "enclave.json"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, now))
    trust.start()
    trust.ready()


@contextmanager
def another_policy(trust: Trust, **changes: float) -> Iterator[None]:
    file = trust.enclave.policy_file
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | changes))
    yield
    file.write_text(before)


def run(federation: Federation, nonce: str, cells: tuple[str, ...], plan: Plan, state: str = "succeeded") -> str:
    """Run a notebook of these code cells to its end; the run's id."""
    code = [Cell(id="a", type="code", source="lr = 0.1", tags=("parameters",))]
    code += [Cell(id=f"c{number}", type="code", source=source.strip()) for number, source in enumerate(cells)]
    bundle, view = federation.submit(nonce=nonce, notebook=FrozenNotebook(cells=tuple(code)), plan=plan)
    for trust in federation.trusts:
        until(lambda trust=trust: trust.waits_for(bundle.digest()))
        assert trust.approve(bundle.digest()).is_success
    assert federation.reaches(view.run, "succeeded", "failed", seconds=120).state == state
    until(lambda: all(part.state in ("finished", "failed", "stopped") for part in federation.view(view.run).trusts))
    return view.run


def reports(recorder: Recorder, run: str) -> list[tuple[Heard, TrustReport]]:
    heard = [heard for heard in recorder.told() if heard.path == f"/v1/runs/{run}/reports"]
    return [(one, TrustReport.model_validate_json(one.body)) for one in heard]


def progress_of(recorder: Recorder, run: str) -> list[tuple[Heard, Progress]]:
    """Each on a tick of its own, and heard soon after it."""
    told = [(one, said.progress) for one, said in reports(recorder, run) if said.progress is not None]
    ticks = [(progress.seconds or 0) / TICK_S for _, progress in told]
    assert all(tick == int(tick) >= 1 for tick in ticks)
    assert len(set(ticks)) == len(ticks)
    lags = [one.at - TICK_S * tick for (one, _), tick in zip(told, ticks, strict=True)]
    assert max(lags) - min(lags) < SLACK_S
    return told


TELLING = f"""
import time
secret = {SECRET}
"""
TOLD_IN_PROGRESS = NOTEBOOK.replace(
    "PLACE",
    """if rnd.number == 1:
        for k in range(16):
            rnd.progress(2 * k + (secret >> k & 1))
            time.sleep(0.55)""",
)


def test_epochs_tell_a_hub_no_number_of_the_notebooks(federation: Federation, overheard: Recorder) -> None:
    """The attack of 2026-11-30: 192 bits in 24 s, all right. Here 16 bits in 9 s: all right, too, at that time."""
    identity = run(federation, "a", (TELLING + TOLD_IN_PROGRESS,), Plan(rounds=1, clip_norm=10.0))
    assert all(progress.eighths is None for _, progress in progress_of(overheard, identity))
    bodies = b"".join(heard.body for heard, _ in reports(overheard, identity))
    assert b"epoch" not in bodies


def test_declared_epochs_leave_as_eighths_on_ticks(federation: Federation, overheard: Recorder) -> None:
    identity = run(federation, "b", (TELLING + TOLD_IN_PROGRESS,), Plan(rounds=1, clip_norm=10.0, epochs=32))
    eighths = [progress.eighths or 0 for _, progress in progress_of(overheard, identity) if progress.round == 1]
    assert eighths == sorted(eighths)
    assert 1 <= len(eighths) <= 9
    assert eighths[-1] in (6, 7)  # 31 of 32 were told, the last of them for a second: less than a tick


WAITING = """
time.sleep(0.9 if secret >> {bit} & 1 else 0.3)
"""


def test_starts_of_cells_are_no_clock(federation: Federation, overheard: Recorder) -> None:
    """The attack of 2026-11-30 told 16 of 16 bits: a long pause before the next cell is a 1, a short one a 0."""
    pauses = tuple(WAITING.format(bit=bit) for bit in range(BITS))
    identity = run(federation, "c", (TELLING, *pauses, NOTEBOOK.replace("PLACE", "pass")), NO_ROUNDS)
    told = progress_of(overheard, identity)
    began = {progress.cell: one.at for one, progress in reversed(told) if progress.cell is not None}
    first = 3  # after the parameters and the secret, a cell for each bit
    read = [bit for bit in range(BITS) if {first + bit, first + bit + 1} <= {*began}]
    assert len(read) < BITS / 2
    cells = [progress.cell or 0 for _, progress in told]
    assert cells == sorted(cells)
    ticks = int(max(progress.seconds or 0 for _, progress in told) / TICK_S)
    assert len({*cells}) <= len(told) <= ticks
    assert step_bits(len(pauses) + 3, ticks) < 4 * ticks  # a better code than this attack's has no more


def test_a_run_ends_and_fails_for_its_hub_on_a_tick(federation: Federation, overheard: Recorder) -> None:
    failing = "if rnd.number == 1: __import__('time').sleep(0.7); raise KeyError(data.train.frame().index[0])"
    place, state = "__import__('time').sleep(0.7)", "succeeded"
    for nonce in ("d", "e"):
        identity = run(federation, nonce, (NOTEBOOK.replace("PLACE", place),), NO_ROUNDS, state)
        over = ("finished", "failed", "stopped")
        (end,) = [one for one, said in reports(overheard, identity) if said.state in over]
        told = progress_of(overheard, identity)
        assert (end.at - told[0][0].at) % TICK_S < SLACK_S or (told[0][0].at - end.at) % TICK_S < SLACK_S / 2
        place, state = failing, "failed"


def test_answers_to_rounds_leave_on_a_grid_from_the_tasks_arrival(federation: Federation, overheard: Recorder) -> None:
    """A grid of 0.1 s is too fine to be seen on a machine with load: here it is one of a second."""
    with another_policy(federation.trusts[0], reply_seconds=1.0):
        pauses = "__import__('time').sleep([0, 0, 0.3, 0.6, 0][rnd.number])"
        run(federation, "0", (NOTEBOOK.replace("PLACE", pauses),), Plan(rounds=3, clip_norm=10.0))
    answers = [one.at for one in overheard.told() if one.path.endswith("/answer") and b'"update":"' in one.body]
    between = [after - before for before, after in zip(answers[-4:], answers[-3:], strict=False)]
    # A round's task comes when the one before is summed up; whatever the pause, its answer takes a second and no less.
    assert len(between) == 3
    assert min(between) > 1.0
    assert max(between) < 1.0 + SLACK_S


def named_in(log: bytes) -> dict[str, int]:
    """By SHA-256: how long the log was when an entry first named it."""
    found: dict[str, int] = {}
    end = 0
    for line in log.splitlines(keepends=True):
        end += len(line)
        for value in json.loads(line)["details"].values():
            if isinstance(value, str) and len(value) == 64:
                found.setdefault(value, end)
    return found


def parts_of(heard: Heard) -> list[str]:
    """The SHA-256 of each thing that a request brings."""
    if heard.path.startswith("/v1/blobs/"):
        return [heard.path.removeprefix("/v1/blobs/")]
    if not heard.path.endswith("/answer"):
        return [sha256(heard.body)]
    answer = TaskAnswer.model_validate_json(heard.body)
    parts = [answer.envelope.encode()] if answer.envelope is not None else []
    parts += [answer.update] if answer.update is not None else []
    words = answer.model_dump(include={"code", "reason"}, exclude_none=True)
    return [sha256(part) for part in (*parts, *([canonical_bytes(words)] if words or not parts else []))]


def test_everything_in_the_hubs_inbox_has_a_leaf(federation: Federation, overheard: Recorder) -> None:
    """Each thing that the Trust ever brought here: an entry names its SHA-256, and was on disk before it came."""
    north = federation.trusts[0]
    bundle, declined = federation.submit(nonce="1", place="pass  # declined, with a leaf", plan=NO_ROUNDS)
    until(lambda: north.waits_for(bundle.digest()))
    assert north.decline(bundle.digest(), "Not in our interest.").is_success
    federation.reaches(declined.run, "failed")
    dying = "__import__('os').kill(__import__('os').getpid(), 9)"
    run(federation, "3", (NOTEBOOK.replace("PLACE", dying),), Plan(rounds=1, clip_norm=10.0), "failed")
    named = named_in(north.enclave.audit.read_bytes())
    told = overheard.told()
    without = [
        (one.path, one.body[:200]) for one in told for part in parts_of(one) if named.get(part, 1 << 60) > one.audited
    ]
    assert without == []
    assert {one.path.split("/")[2] for one in told} >= {"runs", "tasks", "card", "studies"}
    said = [
        said for one in told if one.path.endswith("/reports") for said in [TrustReport.model_validate_json(one.body)]
    ]
    assert {"waiting", "approved", "starting", "running", "finished", "failed", "declined"} <= {
        one.state for one in said
    }
    assert {one.code for one in said} >= {"notebook-failed", "recovering"}
