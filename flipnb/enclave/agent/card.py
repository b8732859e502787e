"""The Trust's card: what the agent says of this enclave to the members of its studies."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from flipnb.contracts.document import sha256
from flipnb.contracts.policy import Policy
from flipnb.contracts.trust_card import Allowance, BuiltEnvironment, TrustCard
from flipnb.enclave.kernels.gpu import gpu_count
from flipnb.enclave.stores.configuration import EnclaveDirectory
from flipnb.estate.versions import Estate

_DISTRIBUTION = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?"
    r"(?:\s*==\s*(?P<release>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,59})(?=[\s;\\]|$))?"
)


def make_card(directory: EnclaveDirectory, trust: str) -> TrustCard:
    """Read anew what may have changed: policy, estate, environments. Raises FlipError ``no-policy``."""
    policy = directory.policy()
    return TrustCard(
        trust=trust,
        made=datetime.now(UTC),
        data=_loaded(directory.estate),
        gpus=gpu_count(),
        slots=policy.slots,
        environments=tuple(_built(lock) for lock in sorted(directory.environments.glob("*/lock.txt"))),
        allowance=allowance(policy),
    )


def allowance(policy: Policy) -> Allowance:
    """What of a policy a researcher is told before anything is sent: all by which it may refuse a bundle."""
    return Allowance(
        per_trust_metrics=policy.per_trust_metrics,
        individual_updates=policy.individual_updates,
        minimum_trusts=policy.minimum_trusts,
        one_trust_runs=policy.one_trust_runs,
        minimum_train=policy.minimum_train,
        maximum_clip_norm=policy.maximum_clip_norm,
        maximum_integer_clip=policy.maximum_integer_clip,
        maximum_rounds=policy.maximum_rounds,
        bits_per_run=policy.bits_per_run,
        attached_bytes=policy.attached_bytes,
    )


def _loaded(estate: Path) -> datetime | None:
    """When the current version was written; an estate elsewhere than in a file has no such time."""
    version = Estate.open(estate).current()
    if version is None:
        return None
    try:
        return datetime.fromtimestamp((estate / "versions" / version).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _built(lock: Path) -> BuiltEnvironment:
    content = lock.read_bytes()
    found = [match for line in content.decode().splitlines() if (match := _DISTRIBUTION.match(line))]
    releases = {_normal(match["name"]): match["release"] for match in found}
    return BuiltEnvironment(
        name=lock.parent.name,
        lock=sha256(content),
        distributions=tuple(sorted(releases)),
        releases={name: release for name, release in sorted(releases.items()) if release},
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
