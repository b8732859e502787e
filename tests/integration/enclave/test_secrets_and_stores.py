"""Secrets, ledger, state and audit log that are missing, damaged or older: a real agent refuses each by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from enclave_federation import PASSPHRASE, until
from freeze_stores import dump_of

from flipnb.contracts.audit import AuditEntry
from flipnb.contracts.envelope import LOSS, seal
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import CountPolicy, Policy
from flipnb.contracts.problem import FlipError
from flipnb.demo.certificates import make_ca
from flipnb.enclave.agent.doctor import examine
from flipnb.enclave.recovery import declaration
from flipnb.enclave.recovery import recover as carry_out
from flipnb.enclave.setup import create_enclave
from flipnb.enclave.stores.audit import AuditLog
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.inspection import inspect
from flipnb.enclave.stores.opening import Stores
from flipnb.enclave.stores.store import Store
from flipnb.link.key_files import load_key

FILES = ("anchor.json", "audit.jsonl", "ledger.sqlite", "state.sqlite", "keys/disclosure.key", "keys/study-heart.key")
RUN = "ab" * 16


class Hospital:
    """An enclave whose agent's process is started here; its hub is nowhere."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place, self._runtime = place, tempfile.mkdtemp(prefix="flip")
        (place / "lock.txt").write_text(f"numpy=={version('numpy')}\n")
        self.enclave: EnclaveDirectory = create_enclave(
            place / "enclave",
            name="north",
            title="North",
            hub_url="https://127.0.0.1:1",
            hub_audience="hub",
            hub_ca=make_ca(place / "ca").certificate,
            controller="anna",
            controller_passphrase=PASSPHRASE,
            policy=Policy(),
            environment="test",
            lock_file=place / "lock.txt",
            runtime_dir=Path(self._runtime),
        )

    def opened(self) -> Any:
        return closing(Stores.open(self.enclave, self.enclave.load_node_key()))

    def work(self) -> None:
        """A study is joined, counts are paid for and released, a run starts and ends."""
        with self.opened() as stores:
            stores.join("heart")
            for cell in ("11", "22"):
                stores.ledger.charge("heart", "v1", {cell * 32: 7}, CountPolicy())
                stores.audit.append("count-released", study="heart", cost=7)
            stores.store.runs.add(RUN, bundle="cd" * 32, study="heart", title="t", point={})
            stores.store.runs.advance(RUN, "approved")
            stores.store.runs.start(RUN, [], estate_version="v1", members=())
            stores.audit.append("run-started", run=RUN, bundle="cd" * 32, estate_version="v1", members=[])
            stores.store.runs.advance(RUN, "running")
            stores.store.runs.advance(RUN, "finished")
            stores.audit.append("run-ended", run=RUN)

    def copy(self, name: str) -> Path:
        kept = self.place / name
        shutil.copytree(self.enclave.directory, kept)
        return kept

    def put_back(self, kept: Path, *names: str) -> None:
        for name in names:
            shutil.copy(kept / name, self.enclave.directory / name)

    def agent(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flipnb.enclave.agent", "--enclave", os.fspath(self.enclave.directory)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refusal(self) -> str:
        """What the agent says that does not start; what is there stays as it is."""
        before = self.content()
        process = self.agent()
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise AssertionError("the agent serves") from None
        finally:
            process.kill()
        assert process.returncode == 1, said
        assert "Traceback" not in said
        assert self.content() == before
        return said

    def content(self) -> dict[str, bytes | str | None]:
        found: dict[str, bytes | str | None] = {}
        for name in FILES:
            path = self.enclave.directory / name
            try:
                found[name] = dump_of(path) if name.endswith(".sqlite") and path.exists() else path.read_bytes()
            except Exception:
                found[name] = path.read_bytes() if path.exists() else None
        return found

    def serves(self) -> None:
        self.enclave.desk_socket.unlink(missing_ok=True)
        process = self.agent()
        desk = httpx.Client(transport=httpx.HTTPTransport(uds=os.fspath(self.enclave.desk_socket)))

        def there() -> bool:
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                return desk.get("http://desk/status").is_success
            except httpx.TransportError:
                return False

        try:
            until(there)
        finally:
            process.terminate()
            process.communicate(timeout=20)
            desk.close()

    def found(self) -> list[str]:
        """What is wrong with secrets and stores, in sentences."""
        try:
            return [problem.detail for problem in inspect(self.enclave, self.enclave.load_node_key()).problems]
        except FlipError as error:
            return [error.message]

    def close(self) -> None:
        shutil.rmtree(self._runtime, ignore_errors=True)


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    made = Hospital(tmp_path / "north")
    yield made
    made.close()


def recover(hospital: Hospital, *more: str) -> dict[str, Any]:
    (hospital.place / "passphrase").write_text(PASSPHRASE)
    done = subprocess.run(
        [
            sys.executable, "-m", "flipnb.cli.main", "enclave", "recover", "--yes", "--json",
            "--enclave", os.fspath(hospital.enclave.directory),
            "--passphrase-file", os.fspath(hospital.place / "passphrase"), *more,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def damage(name: str, content: bytes) -> Callable[[Hospital, Path], object]:
    return lambda hospital, older: (hospital.enclave.directory / name).write_bytes(content)


def lose(*names: str) -> Callable[[Hospital, Path], object]:
    return lambda hospital, older: [(hospital.enclave.directory / name).unlink() for name in names]


def put_back(*names: str) -> Callable[[Hospital, Path], object]:
    return lambda hospital, older: hospital.put_back(older, *names)


ATTACKS: dict[str, tuple[Callable[[Hospital, Path], object], str]] = {
    "an empty secret": (damage("keys/disclosure.key", b""), "disclosure.key has 0 bytes"),
    "a short secret": (damage("keys/disclosure.key", b"\0" * 31), "disclosure.key has 31 bytes"),
    "another secret": (damage("keys/disclosure.key", b"\0" * 32), "disclosure.key is another secret"),
    "no secret": (lose("keys/disclosure.key"), "disclosure.key is not there"),
    "a study without its secret": (lose("keys/study-heart.key"), "study-heart.key is not there"),
    "no node key": (lose("keys/node.pem"), "There is no key at"),
    "half a node key": (damage("keys/node.pem", b"-----BEGIN PRIVATE KEY-----\nMC4C"), "node.pem is damaged"),
    "no ledger": (lose("ledger.sqlite"), "ledger.sqlite is not there"),
    "an empty ledger": (damage("ledger.sqlite", b""), "ledger.sqlite is damaged"),
    "half a ledger": (damage("ledger.sqlite", b"SQLite format 3\0" + b"\1" * 900), "ledger.sqlite is damaged"),
    "an older ledger": (put_back("ledger.sqlite"), "ledger.sqlite is older than what was spent"),
    "no state": (lose("state.sqlite"), "state.sqlite is not there"),
    "an older state": (put_back("state.sqlite"), "state.sqlite is older than the audit log"),
    "no log": (lose("audit.jsonl"), "audit.jsonl is not what was written: it is not there"),
    "an older log": (put_back("audit.jsonl"), "audit.jsonl is not what was written: it has 1 entries, 5 were written"),
    "neither state nor log": (lose("state.sqlite", "audit.jsonl"), "audit.jsonl is not what was written"),
    "older state and log": (put_back("state.sqlite", "audit.jsonl"), "audit.jsonl is not what was written"),
    "no anchor": (lose("anchor.json"), "anchor.json is not there"),
    "an older anchor": (put_back("anchor.json"), "anchor.json is older than the audit log"),
    "another anchor": (damage("anchor.json", b"{}"), "anchor.json does not hold"),
    "neither state, log nor anchor": (lose("state.sqlite", "audit.jsonl", "anchor.json"), "it is not there"),
}  # fmt: skip


AT_A_REAL_AGENT = (
    "an empty secret", "no secret", "half a node key", "no ledger", "an older ledger", "an older state",
    "neither state nor log", "no anchor",
)  # fmt: skip
"""Where an agent's process was seen to serve; the others take the same way in this one."""


def test_what_is_missing_damaged_or_older_is_refused_by_name(hospital: Hospital) -> None:
    """Each in turn at one enclave, whose agent starts again once the file is put back."""
    older = hospital.copy("older")
    hospital.work()
    whole = hospital.copy("whole")
    for what, (attack, named) in ATTACKS.items():
        attack(hospital, older)
        assert any(named in said for said in hospital.found()), (what, hospital.found())
        before = hospital.content()
        with pytest.raises(FlipError), hospital.opened():
            raise AssertionError(what)
        assert hospital.content() == before, "nothing is made anew"
        if what in AT_A_REAL_AGENT:
            assert named in hospital.refusal(), what
        hospital.put_back(whole, *FILES, "keys/node.pem")
        assert hospital.found() == [], what
    hospital.serves()


def test_the_doctor_names_each_file(hospital: Hospital) -> None:
    hospital.work()
    lose("ledger.sqlite", "keys/study-heart.key")(hospital, hospital.place)
    hospital.enclave.disclosure.write_bytes(b"")
    wrong = {finding.what: finding for finding in examine(hospital.enclave.directory) if not finding.good}
    assert {"ledger.sqlite", "study-heart.key", "disclosure.key"} <= set(wrong)
    assert "flip enclave recover" in wrong["ledger.sqlite"].remedy


def test_the_doctor_tells_of_a_clock_that_was_set_back(hospital: Hospital) -> None:
    hospital.work()
    lines = hospital.enclave.audit.read_bytes().splitlines()
    last = json.loads(lines[-1])
    ahead = AuditEntry(**last | {"index": len(lines), "at": datetime.now(UTC) + timedelta(days=2, hours=1)})
    with hospital.enclave.audit.open("ab") as log:
        log.write(ahead.to_bytes() + b"\n")
    clock = next(finding for finding in examine(hospital.enclave.directory) if finding.what == "clock")
    assert not clock.good
    assert "clock is 2 days, " in clock.detail


def test_a_secret_that_others_can_read_is_refused(hospital: Hospital) -> None:
    hospital.enclave.disclosure.chmod(0o644)
    assert "others can read it" in hospital.refusal()
    hospital.enclave.disclosure.chmod(0o600)


def test_a_second_agent_is_refused_and_writes_nothing(hospital: Hospital) -> None:
    first = hospital.agent()
    try:
        until(hospital.enclave.desk_socket.exists)
        log, lock = hospital.enclave.logs / "agent.log", hospital.enclave.directory / "agent.lock"
        until(lambda: b"serves" in log.read_bytes())
        second = hospital.agent()
        _, said = second.communicate(timeout=60)
        assert "An agent runs in" in said
        assert [entry["kind"] for entry in audited(hospital)].count("agent-started") == 1
        assert b"does not start" not in log.read_bytes()
        assert lock.read_text() == f"{first.pid}\n"
    finally:
        first.terminate()
        first.communicate(timeout=20)


def left(hospital: Hospital) -> int:
    with hospital.opened() as stores:
        return int(stores.ledger.left_to_all(hospital.enclave.policy().counts))


def audited(hospital: Hospital) -> list[dict[str, Any]]:
    return [json.loads(line) for line in hospital.enclave.audit.read_bytes().splitlines()]


def declared(hospital: Hospital) -> dict[str, Any]:
    entry = audited(hospital)[-1]
    assert entry["kind"] == "loss-declared"
    assert entry["details"]["controller"] == "anna"
    return dict(entry["details"])


@pytest.mark.parametrize("what", ["no ledger", "an empty ledger", "an older ledger", "no secret"])
def test_a_lost_ledger_or_secret_is_declared_and_counts_as_a_whole_budget(hospital: Hospital, what: str) -> None:
    older = hospital.copy("older")
    hospital.work()
    assert left(hospital) == CountPolicy().budget - 14
    attack, _ = ATTACKS[what]
    attack(hospital, older)
    done = recover(hospital)
    assert (done["spent"], done["withdrawn"], done["log"]) == (True, False, False)
    assert declared(hospital)["spent"] is True
    assert hospital.found() == []
    assert left(hospital) == 0
    assert len(hospital.enclave.disclosure_key()) == 32
    hospital.serves()


@pytest.mark.parametrize("what", ["no state", "an older state", "neither state, log nor anchor"])
def test_a_lost_state_is_declared_and_no_run_starts_again(hospital: Hospital, what: str) -> None:
    older = hospital.copy("older")
    hospital.work()
    attack, _ = ATTACKS[what]
    attack(hospital, older)
    nobody_vouches = "anchor" in what
    done = recover(hospital)
    assert (done["spent"], done["withdrawn"]) == (nobody_vouches, True)
    assert left(hospital) == (0 if nobody_vouches else CountPolicy().budget - 14)
    if not nobody_vouches:  # else no log says that it has started
        with hospital.opened() as stores:
            stored = stores.store.runs.get(RUN)
            assert (stored.state, stored.code) == ("stopped", "state-lost")
            assert not stores.store.runs.advance(RUN, "approved")
    assert hospital.found() == []


def test_a_lost_log_begins_anew_and_the_old_one_is_kept(hospital: Hospital) -> None:
    hospital.work()
    lines = hospital.enclave.audit.read_bytes().splitlines(keepends=True)
    hospital.enclave.audit.write_bytes(b"".join(lines[:3]))
    assert "5 were written" in hospital.refusal()
    done = recover(hospital)
    assert (done["log"], done["spent"], done["withdrawn"]) == (True, False, False)
    (kept,) = hospital.enclave.directory.glob("audit.jsonl.lost-*")
    assert kept.read_bytes() == b"".join(lines[:3])
    assert declared(hospital)["files"] == [{"name": "audit.jsonl", "fault": "damaged"}]


def test_an_enclave_that_was_put_back_whole_is_declared_so(hospital: Hospital) -> None:
    """Nothing in the directory tells, unless the anchor lies elsewhere."""
    older = hospital.copy("older")
    hospital.work()
    hospital.put_back(older, "anchor.json", "audit.jsonl", "ledger.sqlite", "state.sqlite")
    assert left(hospital) == CountPolicy().budget
    done = recover(hospital, "--restored")
    assert (done["spent"], done["withdrawn"]) == (True, True)
    assert left(hospital) == 0


def test_an_anchor_on_another_disk_tells_of_an_enclave_that_was_put_back_whole(hospital: Hospital) -> None:
    elsewhere = hospital.place / "elsewhere.json"
    (hospital.enclave.directory / "anchor.json").rename(elsewhere)
    file = hospital.enclave.directory / "enclave.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"anchor_file": os.fspath(elsewhere)}))
    hospital.enclave = EnclaveDirectory.open(hospital.enclave.directory)
    older = hospital.copy("older")
    hospital.work()
    hospital.put_back(older, "audit.jsonl", "ledger.sqlite", "state.sqlite")
    assert "audit.jsonl is not what was written" in hospital.refusal()


def test_a_recovery_that_was_killed_goes_on(hospital: Hospital) -> None:
    """``kill -9`` before each of its writes in turn; the agent refuses to start meanwhile."""
    older = hospital.copy("older")
    hospital.work()
    ATTACKS["neither state, log nor anchor"][0](hospital, older)
    hospital.put_back(older, "ledger.sqlite")
    killed_at_each_write(hospital, RECOVERING)


@pytest.mark.parametrize("before_anchors", [False, True])
def test_an_enclave_that_was_killed_at_any_write_starts_again(hospital: Hospital, before_anchors: bool) -> None:
    hospital.work()
    if before_anchors:
        forget_anchors(hospital)
    killed_at_each_write(hospital, WORKING)


def killed_at_each_write(hospital: Hospital, script: str) -> None:
    """Real processes, each killed one write later; ``script`` looks at what every one of them has left."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_WRITE + script + "each_write()", os.fspath(hospital.enclave.directory)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20, "writes"


KILLED_AT_EACH_WRITE = """
import os, shutil, signal, sqlite3, sys
from contextlib import closing
from pathlib import Path
from flipnb.contracts.envelope import LOSS, seal
from flipnb.contracts.policy import CountPolicy
from flipnb.enclave.recovery import declaration, recover
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.inspection import inspect
from flipnb.enclave.stores.opening import Stores
from flipnb.link.key_files import load_key

enclave = EnclaveDirectory.open(Path(sys.argv[1]))
node, controller = enclave.load_node_key(), load_key(enclave.keys / "controller-anna.pem", "correct horse")

def faults():
    return [problem.fault for problem in inspect(enclave, node).problems]

def count_down(writes):
    def tick():
        nonlocal writes
        writes -= 1
        if writes < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(call):
        def counted(*arguments, **named):
            tick()
            return call(*arguments, **named)
        return counted

    for owner, names in ((os, ("write", "fsync", "unlink", "rename")), (Path, ("replace", "unlink", "rename"))):
        for name in names:
            setattr(owner, name, before(getattr(owner, name)))
    connect = sqlite3.connect
    def traced(*arguments, **named):
        database = connect(*arguments, **named)
        database.set_trace_callback(lambda said: tick() if said.split()[0] in ("BEGIN", "COMMIT") else None)
        return database
    sqlite3.connect = traced

def each_write():
    whole = enclave.directory.with_name("as-it-was")
    shutil.copytree(enclave.directory, whole)
    for writes in range(1000):
        shutil.rmtree(enclave.directory)
        shutil.copytree(whole, enclave.directory)
        if (child := os.fork()) == 0:
            count_down(writes)
            work()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
        look(writes)
        if status == 0:
            print(writes)
            return
"""

RECOVERING = """
def work():
    recover(enclave, seal(declaration(enclave, restored=False), LOSS, controller))

def look(writes):
    if faults() == ["recovery-unfinished"]:
        recover(enclave)
    elif faults():  # it was not begun: the person declares it again
        work()
    assert faults() == [], (writes, faults())
    with closing(Stores.open(enclave, node)) as stores:
        left = stores.ledger.left_to_all(CountPolicy())
        assert left == 0, (writes, left)
"""

WORKING = """
def work():
    with closing(Stores.open(enclave, node)) as stores:
        stores.join("lung")
        stores.ledger.charge("heart", "v1", {"33" * 32: 7}, CountPolicy())
        stores.audit.append("count-released", then=lambda: stores.store.requests.decide("none", "waiting"), cost=7)
        run = "ef" * 16
        stores.store.runs.add(run, bundle="cd" * 32, study="heart", title="t", point={})
        stores.store.runs.advance(run, "approved")
        stores.store.runs.start(run, [], estate_version="v1", members=())
        stores.audit.append("run-started", run=run, bundle="cd" * 32, estate_version="v1", members=[])

def look(writes):
    assert faults() == [], (writes, faults())
    with closing(Stores.open(enclave, node)) as stores:
        stores.audit.append("agent-started")
    assert faults() == [], (writes, faults())
"""


def forget_anchors(hospital: Hospital) -> None:
    """The enclave as it would be if it had been made, and had worked, before there were anchors."""
    enclave, key = hospital.enclave, hospital.enclave.load_node_key()
    entries = [json.loads(line) for line in enclave.audit.read_bytes().splitlines()]
    with closing(Store(enclave.state)) as store:
        store.anchor.clear()
        enclave.anchor.unlink()
        enclave.audit.unlink()
        log = AuditLog(enclave.audit, key, store.anchor)
        for entry in entries:
            if entry["kind"] != "anchored":
                log.append(entry["kind"], **entry["details"])
        log.close()
    enclave.study_file("heart").unlink()


def test_an_enclave_of_before_there_were_anchors_is_taken_over_once(hospital: Hospital) -> None:
    hospital.work()
    forget_anchors(hospital)
    before = hospital.copy("before")
    assert hospital.found() == []
    hospital.serves()
    kinds = [entry["kind"] for entry in audited(hospital) if entry["kind"] != "told"]
    assert kinds == ["count-released", "count-released", "run-started", "run-ended", "anchored", "agent-started"]
    hospital.enclave.anchor.unlink()
    assert "anchor.json is not there" in hospital.refusal()
    hospital.put_back(before, "state.sqlite")
    assert "anchor.json is not there" in hospital.refusal()
    assert any("state.sqlite is older" in said for said in hospital.found())


@pytest.mark.parametrize("lost", ["ledger.sqlite", "state.sqlite", "audit.jsonl", "keys/disclosure.key"])
def test_an_enclave_of_before_there_were_anchors_that_has_lost_something_is_not(hospital: Hospital, lost: str) -> None:
    hospital.work()
    forget_anchors(hospital)
    (hospital.enclave.directory / lost).unlink()
    assert Path(lost).name in hospital.refusal()


def spent_over_years(hospital: Hospital) -> None:
    """More than one whole budget, as any Trust has spent after some periods."""
    with hospital.opened() as stores:
        for years in (4, 3, 2):
            past = datetime.now(UTC) - timedelta(days=400 * years)
            for study in ("heart", "lung"):
                stores.ledger.charge(study, "v1", {f"{study}{years}": 80}, CountPolicy(), now=past)
                stores.audit.append("count-released", study=study, cost=80)


@pytest.mark.parametrize("what", ["no ledger", "an older ledger"])
def test_an_enclave_of_some_years_starts_again_after_a_loss(hospital: Hospital, what: str) -> None:
    """The ledger that is made anew knows less than the audit log has seen spent: that is no second loss."""
    older = hospital.copy("older")
    spent_over_years(hospital)
    ATTACKS[what][0](hospital, older)
    controller = load_key(hospital.enclave.keys / "controller-anna.pem", PASSPHRASE)
    carry_out(hospital.enclave, seal(declaration(hospital.enclave, restored=False), LOSS, controller))
    assert hospital.found() == []
    assert left(hospital) == 0
    whole = hospital.copy("whole")
    with hospital.opened() as stores:
        stores.ledger.charge("heart", "v2", {"later": 3}, CountPolicy(), now=datetime.now(UTC) + timedelta(days=400))
        stores.audit.append("count-released", study="heart", cost=3)
    hospital.put_back(whole, "ledger.sqlite")
    assert any("ledger.sqlite is older than what was spent" in said for said in hospital.found())


def test_a_declaration_that_was_carried_out_is_not_carried_out_again(hospital: Hospital) -> None:
    """Whoever can read the log has it; put in its place it would vouch for whatever ledger lies there then."""
    hospital.work()
    hospital.enclave.ledger.unlink()
    recover(hospital)
    spent = hospital.copy("spent")
    sealed = declared(hospital)["declaration"].encode()
    with hospital.opened() as stores:
        later = datetime.now(UTC) + timedelta(days=400)
        stores.ledger.charge("heart", "v2", {"later": 90}, CountPolicy(), now=later)
        stores.audit.append("count-released", study="heart", cost=90)
    hospital.put_back(spent, "ledger.sqlite")
    hospital.enclave.recovery.write_bytes(sealed)
    for again in (None, sealed):
        with pytest.raises(FlipError, match="carried out before"):
            carry_out(hospital.enclave, again)
    hospital.enclave.recovery.unlink()
    assert "ledger.sqlite is older than what was spent" in hospital.refusal()


def test_a_declaration_is_of_what_is_lost_now_and_of_a_controller(hospital: Hospital) -> None:
    enclave = hospital.enclave
    controller = load_key(enclave.keys / "controller-anna.pem", PASSPHRASE)
    hospital.work()
    whole = hospital.copy("whole")
    enclave.ledger.unlink()
    loss = declaration(enclave, restored=False)
    before = hospital.content()
    for stranger in (enclave.load_node_key(), SigningKey.generate()):
        with pytest.raises(FlipError, match="key"):
            carry_out(enclave, seal(loss, LOSS, stranger))
    hospital.put_back(whole, "ledger.sqlite")
    hospital.enclave.study_file("heart").unlink()
    with pytest.raises(FlipError, match="not what was declared"):
        carry_out(enclave, seal(loss, LOSS, controller))
    hospital.put_back(whole, "keys/study-heart.key")
    assert hospital.found() == []
    assert hospital.content() == before | {"ledger.sqlite": hospital.content()["ledger.sqlite"]}


def test_a_new_state_with_a_new_log_is_no_enclave_of_before_there_were_anchors(hospital: Hospital) -> None:
    """Anybody can write an entry and make an empty database: what was there before the node's key has signed."""
    hospital.work()
    enclave = hospital.enclave
    entry = AuditEntry(index=0, at=datetime.now(UTC), trust=enclave.load_node_key().key_id, kind="joined", details={})
    for log in (b"", entry.to_bytes() + b"\n"):
        for file in (enclave.anchor, *enclave.directory.glob("*.sqlite*")):
            file.unlink(missing_ok=True)
        Store(enclave.state).close()
        enclave.audit.write_bytes(log)
        assert any("anchor.json is not there" in said for said in hospital.found())
        assert any("ledger.sqlite is not there" in said for said in hospital.found())


def test_a_state_from_just_before_the_last_entry_is_older(hospital: Hospital) -> None:
    """One entry behind is where a power cut may leave it, but not once what the entry tells of was done."""
    hospital.work()
    for kind in ("declined", "round-released"):
        before = hospital.copy(kind)
        with hospital.opened() as stores:
            stores.audit.append(kind, then=lambda: None)
        assert hospital.found() == []
        hospital.put_back(before, "state.sqlite")
        assert any("state.sqlite is older than the audit log" in said for said in hospital.found())
        shutil.rmtree(hospital.enclave.directory)
        shutil.copytree(before, hospital.enclave.directory)


def test_a_full_disk_is_no_damage_and_no_loss(tmp_path: Path) -> None:
    """SQLite needs a few blocks beside a database even to read it; the doctor says so, and nothing is declared lost."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", ON_A_FULL_DISK, os.fspath(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


ON_A_FULL_DISK = """
import subprocess, sys
from pathlib import Path
import pytest
from test_secrets_and_stores import Hospital, PASSPHRASE, LOSS, declaration, carry_out, load_key, seal
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.doctor import examine

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
hospital = Hospital(disk / "north")
hospital.work()
controller = load_key(hospital.enclave.keys / "controller-anna.pem", PASSPHRASE)
filler = disk / "filler"

def fill():
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

fill()
said = [finding for finding in examine(hospital.enclave.directory) if finding.what.endswith(".sqlite")]
assert {finding.what for finding in said} == {"ledger.sqlite", "state.sqlite"}, said
assert all("the disk is full" in finding.detail and "recover" not in finding.remedy for finding in said), said
assert "is damaged" not in hospital.refusal()
with pytest.raises(FlipError, match="the disk is full"):
    declaration(hospital.enclave, restored=True)
filler.unlink()
assert hospital.found() == []

hospital.enclave.ledger.unlink()
sealed = seal(declaration(hospital.enclave, restored=False), LOSS, controller)
fill()
with pytest.raises(FlipError, match="disk is full"):
    carry_out(hospital.enclave, sealed)
filler.unlink()
carry_out(hospital.enclave, None if hospital.enclave.recovery.exists() else sealed)
assert hospital.found() == []
"""
