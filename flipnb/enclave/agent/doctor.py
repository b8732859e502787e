"""Whether an enclave can do its work on this machine, and what to mend where it can't."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Timer

from flipnb.contracts.bound import best_guess
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.hub_link import HubQuestions
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.collector.configuration import CONFIGURATION, read_collector
from flipnb.enclave.collector.order import LookAt, Order
from flipnb.enclave.collector.process import CollectorProcess
from flipnb.enclave.counting.pace import Turn
from flipnb.enclave.estate_worker.process import EstateWorker
from flipnb.enclave.sandbox.limits import OPEN_FILES
from flipnb.enclave.sandbox.probe import probe, refuse_if_weaker
from flipnb.enclave.sandbox.uids import collector_uid, estate_worker_uid, run_uid
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.enclave.stores.inspection import inspect
from flipnb.enclave.stores.installation import require_environment
from flipnb.enclave.stores.ledger import Ledger, Took
from flipnb.link.exchange import NotNow
from flipnb.link.key_files import stretched

_HUB_S = 10.0
_ARCHIVE_S = 60.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``detail`` says what was found, ``remedy`` what to do where ``good`` is False."""

    what: str
    good: bool
    detail: str
    remedy: str = ""


class _Unhealthy(Exception):
    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail, self.remedy = detail, remedy


def examine(directory: Path) -> list[Finding]:
    """Look at everything that an agent needs; changes nothing, and may run beside the agent."""
    try:
        enclave = EnclaveDirectory.open(directory)
    except FlipError as error:
        return [Finding("directory", False, error.message, error.remedy)]
    looks: list[tuple[str, Callable[[EnclaveDirectory], str]]] = [
        ("directory", lambda e: f"{e.directory}, of this user alone"),
        ("keys", _keys),
        ("policy", lambda e: f"digest {e.policy().digest()[:16]}…"),
        ("controllers", _controllers),
        ("memberships", _memberships),
        ("environments", _environments),
        ("runtime directory", _runtime),
        ("open files", _open_files),
        ("counts", _counts),
        ("answer time", _answer_time),
        ("sandbox", _sandbox),
        ("estate", _estate),
        ("collector", _collector),
        ("hub", _hub),
    ]
    return [*_stores(enclave), *(_finding(what, look, enclave) for what, look in looks), *_archives(enclave)]


def _finding(what: str, look: Callable[[EnclaveDirectory], str], enclave: EnclaveDirectory) -> Finding:
    try:
        return Finding(what, True, look(enclave))
    except FlipError as error:
        return Finding(what, False, error.message, error.remedy)
    except _Unhealthy as error:
        return Finding(what, False, error.detail, error.remedy)
    except OSError as error:
        return Finding(what, False, f"{error.filename or what}: {error.strerror}", "Look at the file and its owner.")


def _keys(enclave: EnclaveDirectory) -> str:
    key = enclave.load_node_key()
    for path in enclave.keys.iterdir():
        if path.stat().st_mode & 0o077:
            raise _Unhealthy(f"{path} can be read by other users.", f"chmod 0600 {path}")
    kept = [enclave.keys / controller.key_file for controller in enclave.controllers()]
    old = [path.name for path in kept if path.exists() and not stretched(path)]
    if old:
        raise _Unhealthy(
            f"{', '.join(old)}: the passphrase is guessed in bulk, for the key is of an earlier version, or damaged.",
            "Its data controller uses it once, as for an approval: it is locked anew then. Restore it where it fails.",
        )
    return f"node key {key.key_id[:16]}…"


def _collector(enclave: EnclaveDirectory) -> str:
    path = enclave.directory / CONFIGURATION
    if not path.exists():
        return "no collector.json: no archive of images is asked"
    return f"archives of images: {', '.join(sorted(read_collector(path).pacs))}"


def _controllers(enclave: EnclaveDirectory) -> str:
    names = [controller.name for controller in enclave.controllers()]
    demanded = enclave.policy().approvals
    if len(names) < demanded:
        raise _Unhealthy(
            f"The policy demands {demanded} data controllers' approvals, and there is {', '.join(names)} alone: "
            "nothing can be approved.",
            "Add another with `flip enclave add-controller NAME`.",
        )
    return f"{', '.join(names)}; {demanded} must approve"


def _memberships(enclave: EnclaveDirectory) -> str:
    memberships = Memberships(
        enclave.memberships,
        controllers=enclave.controllers,
        own_key=enclave.load_node_key().key_id,
    )
    if void := memberships.void():
        raise _Unhealthy(
            f"Who signed the membership in {', '.join(void)} decides here no more.",
            "Join again with `flip study join`, after comparing fingerprints.",
        )
    return f"joined: {', '.join(sorted(memberships.studies())) or 'no study yet'}"


def _environments(enclave: EnclaveDirectory) -> str:
    locks = enclave.environment_locks()
    if not locks:
        raise _Unhealthy(
            "There is no environment.", f"Put its lock into {enclave.environments}/NAME/lock.txt, and install it."
        )
    for name in locks:
        require_environment(enclave.environments / name / "lock.txt")
    return f"installed as locked: {', '.join(locks)}"


def _runtime(enclave: EnclaveDirectory) -> str:
    enclave.make_runtime()
    return str(enclave.runtime)


def _open_files(_: EnclaveDirectory) -> str:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < OPEN_FILES:
        raise _Unhealthy(
            f"The agent may have {most} open files, and needs {OPEN_FILES}: one run could keep the others from rounds.",
            "Set LimitNOFILE=65536 in its service unit, or `ulimit -Hn 65536` before it starts.",
        )
    return f"{most} may be open"


def _stores(enclave: EnclaveDirectory) -> list[Finding]:
    """One for each file that is missing, damaged or older than what was written last; else one that all is well."""
    try:
        found = inspect(enclave, enclave.load_node_key())
    except FlipError as error:
        return [Finding("stores", False, error.message, error.remedy)]
    if found.problems:
        return [Finding(problem.file.name, False, problem.detail, problem.remedy) for problem in found.problems]
    assert found.log is not None
    behind = found.clock_behind()
    clock = []
    if behind is not None:
        detail = (
            f"This machine's clock is {behind} behind the last entry of the audit log: approvals, requests and "
            "sessions that were over hold again."
        )
        clock = [Finding("clock", False, detail, "Set it right before the agent starts, and find out who changed it.")]
    size = f"{found.log.tree.size} entries in the audit log, unchanged"
    how = "to be anchored when the agent starts" if found.adopt else "none older than its anchor"
    return [Finding("stores", True, f"secrets, ledger and state whole, {how}; {size}"), *clock]


def _counts(enclave: EnclaveDirectory) -> str:
    policy = enclave.policy().counts
    if policy.noise == 0 or policy.seed == "members":
        why = "have no noise" if policy.noise == 0 else "have noise by members"
        raise _Unhealthy(
            f"Counts {why}: nothing bounds what they tell of a person.",
            "Set counts.noise and counts.seed in policy.json.",
        )
    left = policy.budget
    if enclave.ledger.exists():
        ledger = Ledger(enclave.ledger, upgrade=False)
        try:
            left = ledger.left_to_all(policy)
        finally:
            ledger.close()
    guess = best_guess(policy.budget, policy.noise)
    return (
        f"{left} of {policy.budget} left in {policy.period_days} days; whoever is told all of it is right about one "
        f"person at most {guess:.1%} of the time (guessing: 50%)"
    )


def _answer_time(enclave: EnclaveDirectory) -> str:
    """Whether this Trust's usual questions are answered well within the time that each statement gets."""
    turn = enclave.policy().counts.answer_seconds
    least = turn * Turn.LEAST
    times: list[Took] = []
    if enclave.ledger.exists():
        ledger = Ledger(enclave.ledger, upgrade=False)
        try:
            times = [took for took in ledger.times() if took.turn == turn]
        finally:
            ledger.close()
    if not times:
        return f"every count is answered {turn:g} s after its turn begins; none was asked under this time yet"
    stopped = [took for took in times if not took.whole]
    usual = sorted(took.seconds for took in times)[max(0, ceil(0.95 * len(times)) - 1)]
    most = "19 of 20" if len(times) >= 20 else "all"
    said = f"{most} of the last {len(times)} questions were counted within {usual:.2g} s"
    remedy = (
        "Raise counts.answer_seconds in policy.json: what was stopped is then counted anew, for nothing, when it is "
        "asked again; as any change of policy, it ends all approvals. Or give the estate worker more memory "
        "(estate_memory in enclave.json)."
    )
    if stopped:
        raise _Unhealthy(
            f"{len(stopped)} of the last {len(times)} questions were stopped or failed, the last on "
            f"{stopped[-1].asked:%d %B %Y %H:%M} UTC, and were answered as small numbers are.",
            f"{remedy} logs/agent.log and logs/estate-worker.log say why.",
        )
    if usual > least / 2:
        raise _Unhealthy(f"{said}; some are stopped after {least:.2g} s, whatever number they would have.", remedy)
    return f"{said}; none is stopped before {least:.2g} s"


def _sandbox(enclave: EnclaveDirectory) -> str:
    report = probe(uid=run_uid(enclave.directory, 0), outside=(enclave.directory, enclave.node_key))
    refuse_if_weaker(report, enclave.policy().kernel)
    return f"as strong as the policy demands; memory is limited by a {report.memory}"


def _estate(enclave: EnclaveDirectory) -> str:
    async def current() -> str | None:
        uid = estate_worker_uid(enclave.directory)
        worker = EstateWorker(
            enclave.estate,
            enclave.frozen,
            memory=enclave.configuration.estate_memory,
            uid=uid,
            hidden=(enclave.keys,),
        )
        try:
            return await worker.open()
        except FlipError as error:
            # Outside nobody is told why.
            raise error.__cause__ if isinstance(error.__cause__, FlipError) else error from None
        finally:
            await worker.close()

    version = asyncio.run(current())
    if version is None:
        raise _Unhealthy("The estate is empty.", "Fill it with `flip estate load`.")
    return f"version {version}"


def _archives(enclave: EnclaveDirectory) -> list[Finding]:
    """How the hospital's XNATs are, as a collector tells of them."""
    path = enclave.directory / CONFIGURATION
    if not path.exists():
        return []
    try:
        names = read_collector(path).xnat
    except FlipError as error:
        return [Finding("archives of images", False, error.message, error.remedy)]
    return [one for name in names for one in _xnat(enclave, name)]


def _xnat(enclave: EnclaveDirectory, name: str) -> list[Finding]:
    order = Order(order=LookAt(pacs=name))
    try:
        collector = CollectorProcess(
            enclave.directory,
            order,
            uid=collector_uid(enclave.directory),
            log=enclave.directory / "logs" / "collector.log",
        )
        over = Timer(_ARCHIVE_S, collector.kill)
        over.start()
        try:
            looks = collector.told().looks
        finally:
            over.cancel()
    except FlipError as error:
        return [Finding(f"XNAT {name}", False, error.message, error.remedy)]
    return [Finding(f"{look.what}, {name}", look.good, look.detail, look.remedy) for look in looks]


def _hub(enclave: EnclaveDirectory) -> str:
    configuration = enclave.configuration

    async def ask() -> None:
        link = HubQuestions(
            configuration.hub_url, audience=configuration.hub_audience, ca=enclave.hub_ca, key=enclave.load_node_key()
        )
        try:
            await asyncio.wait_for(link.greet(), _HUB_S)
        finally:
            await link.close()

    try:
        asyncio.run(ask())
    except (NotNow, TimeoutError) as error:
        said = error.message if isinstance(error, NotNow) else "No answer."
        raise _Unhealthy(
            f"{configuration.hub_url} does not let this Trust in. {said}",
            "Is the hub up, its certificate of the CA in enclave.json, this node's key entered by its operator, "
            "and the clock right?",
        ) from None
    return f"{configuration.hub_url} knows this Trust"
